"""Run the same work under any concurrency model, race the models, and use the best one."""

try:
    from signal import SIGINT as _SIGINT  # noqa: F401 - what every run needs is missed here already
    from typing import TYPE_CHECKING, Any

    from outpace.api import (
        amap,
        arun,
        fetch,
        map,  # noqa: A004 - the public name
        race,
        register_joblib,
        run,
    )
    from outpace.errors import OutpaceError
    from outpace.flow.data import Cancelled, Done, Failed, Lost, Outcome, Summary, TimedOut
    from outpace.flow.retry import Retry
    from outpace.flow.run import Run
    from outpace.registry import models
except (AttributeError, ImportError) as error:
    from outpace.flow.shadowed import explain

    explain(error)
    raise

if TYPE_CHECKING:
    from outpace.futures.executor import Executor

__all__ = [
    "Cancelled",
    "Done",
    "Executor",
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
    "register_joblib",
    "run",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the executor when it is asked for: it brings concurrent.futures."""
    if name == "Executor":
        from outpace.futures.executor import Executor  # noqa: PLC0415

        globals()["Executor"] = Executor
        return Executor
    raise AttributeError(f"module 'outpace' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, and nothing of how they came here."""
    return __all__
