"""Run the same work under any concurrency model, race the models, and use the best one."""

from outpace.api import amap, arun, fetch, map, race, run  # noqa: A004 - the public name
from outpace.errors import OutpaceError
from outpace.flow.data import Cancelled, Done, Failed, Lost, Outcome, Summary, TimedOut
from outpace.flow.retry import Retry
from outpace.flow.run import Run
from outpace.registry import models

__all__ = [
    "Cancelled",
    "Done",
    "Failed",
    "Lost",
    "Outcome",
    "OutpaceError",
    "Retry",
    "Run",
    "Summary",
    "TimedOut",
    "amap",
    "arun",
    "fetch",
    "map",
    "models",
    "race",
    "run",
]

__version__ = "0.1.0"
