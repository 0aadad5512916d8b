"""The registry: every model is a driver, optionally hosted, and every name is made here.

A driver is found by being a file in `outpace/drivers`, a host by being one in `outpace/hosts`; nothing
lists them by hand. `serial` in a host goes by the host's name alone (`processes`), any other driver by
both (`processes+asyncio`). The command line's choices, the rows of every table, the conformance tests
and the benchmarks are all parametrised on `names()`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from outpace import drivers, hosts
from outpace.drivers._loop import loop_is_running
from outpace.errors import (
    ModelUnavailableError,
    UnknownModelError,
    UsageError,
    did_you_mean,
)
from outpace.flow.amounts import check_positive
from outpace.flow.protocol import AsyncWorkers, Call, Care, Driver, Host, Workers
from outpace.flow.show import shown
from outpace.machine.cpus import usable_cpus

if TYPE_CHECKING:
    from outpace.drivers._elsewhere import Elsewhere

ORDER = ("serial", "threads", "asyncio", "processes", "interpreters", "ray", "dask")

CALLED = {"curl": "fetch"}  # a driver of requests goes by what its models are for

THREADS = 32  # items at once in threads when nobody says: what concurrent.futures caps its own at
ANY = Care()  # workers are kept as long as they live
TASKS = 128  # tasks at once when nobody says: aiohttp and curl default to 100 and 50
MOST = 10**6  # items at once, whoever asks for more: what each needs is laid out before work starts
MOST_WORKERS = 2**15  # processes of one run: as many as Linux has numbers for by default


@dataclass(slots=True, frozen=True)
class Model:
    """Be one way to run many at once: a driver, in a host or not."""

    name: str
    driver: Driver
    host: Host | None = None

    @property
    def summary(self) -> str:
        """Say in a few words what it is."""
        return f"{self.host.summary}: {self.driver.summary}" if self.host else self.driver.summary

    def unavailable(self) -> str | None:
        """Say why it cannot run here and what to do, or None when it can."""
        return self.driver.unavailable() or (self.host.unavailable() if self.host else None)


@dataclass(slots=True)
class Opening:
    """Be a model with its setting: that many workers, and that many items at once in all of them."""

    of: Model
    workers: int
    slots: int
    reasons: list[str] = field(default_factory=list)
    care: Care = ANY
    startup_s: float = 0.0

    @property
    def model(self) -> str:
        """Name the model."""
        return self.of.name

    @property
    def shared(self) -> bool:
        """Say whether the lanes of a worker take from one queue, item by item."""
        return self.of.driver.scattered

    def open(self, call: Call) -> Workers:
        """Open the workers, in a thread of their own where this one has a loop running already."""
        try:
            return self._opened(call)
        except (AttributeError, ImportError) as error:
            from outpace.flow.shadowed import explain  # noqa: PLC0415 - for who has such a file

            explain(error)
            raise

    def _opened(self, call: Call) -> Workers:
        """Do what `open` promises."""
        if self.of.host is not None:
            return self.of.host.open(call, self.of.driver, self.workers, self.slots, self.care)
        from outpace.drivers._setup import needs_loop  # noqa: PLC0415 - the driver has it; we need not

        if loop_is_running() and (self.of.driver.native_async or needs_loop(call)):
            return elsewhere(lambda: self.of.driver.open(call, self.slots)).open()
        return self.of.driver.open(call, self.slots)

    async def aopen(self, call: Call) -> AsyncWorkers:
        """Open the workers for somebody who awaits: on the running loop, or in a thread."""
        on_loop = None if self.of.host else self.of.driver.on_loop(call, self.slots)
        if on_loop is not None:
            return await on_loop
        return await elsewhere(lambda: self.open(call)).aopen()


@dataclass(slots=True, frozen=True)
class Listed:
    """Be a row of `outpace.models()`: `reason` says why a model is not available and what to do."""

    name: str
    summary: str
    available: bool
    reason: str | None


def models() -> list[Listed]:
    """List every model: its name, what it is, whether it can run here, and if not why."""
    rows = []
    for model in all_models():
        reason = model.unavailable()
        rows.append(Listed(model.name, model.summary, reason is None, reason))
    return rows


def all_models() -> list[Model]:
    """Return every model of functions there is, the simple ones first."""
    return _models(for_requests=False)


def request_names() -> list[str]:
    """Return the names of the models that carry out requests of their own, and no functions."""
    return [model.name for model in _models(for_requests=True)]


def is_request(fn: object) -> bool:
    """Say whether what a job calls its function is for a driver of requests."""
    return hasattr(fn, "transfer") and hasattr(fn, "policy")


def _models(*, for_requests: bool) -> list[Model]:
    """Return the models of functions, or those of requests."""
    usable = [one for one in _found(drivers, "driver") if takes_functions(one) != for_requests]
    found = [Model(_called(driver), driver) for driver in usable]
    for host in _found(hosts, "host"):
        for driver in usable:
            name = host.name if driver.name == "serial" else f"{host.name}+{_called(driver)}"
            found.append(Model(name, driver, host))
    return found


def names() -> list[str]:
    """Return the names of all models, the simple ones first."""
    return [model.name for model in all_models()]


def find(name: str, *, for_requests: bool = False) -> Model:
    """Return the model of this name; raise `UnknownModelError` when there is none.

    A driver that carries out requests of its own, and no functions, is found only by who asks for it.
    """
    if isinstance(name, str):
        host_name, plus, driver_name = name.rpartition("+")
        file = next((file for file, called in CALLED.items() if called == driver_name), driver_name)
        model = _named(host_name, file) if host_name or not plus else None
        if (
            model is not None
            and model.name == name
            and (for_requests or takes_functions(model.driver))
        ):
            return model
    known = ["auto", *names(), *(request_names() if for_requests else ())]
    meant = ""
    if isinstance(name, str):
        meant = did_you_mean(name, known)
    raise UnknownModelError(
        f"there is no model {shown(name)}; the models are {', '.join(known)}{meant}"
    )


def takes_functions(driver: Driver) -> bool:
    """Say whether it carries out functions, as all do that do not say otherwise."""
    return driver.takes_functions


def _called(driver: Driver) -> str:
    """Say what a driver is called where its models are named."""
    return CALLED.get(driver.name, driver.name)


def opening(
    name: str,
    workers: int | None = None,
    in_flight: int | None = None,
    care: Care = ANY,
    *,
    total: int | None = None,
    for_requests: bool = False,
) -> Opening:
    """Settle how many workers and items at once a model gets; raise when it cannot run here.

    `in_flight` is an upper bound: a model that cannot use it all (serial, processes) takes less. There
    are no more worker processes than the `total` of items, if that is known.
    """
    workers = check_positive("workers", workers)
    in_flight = check_positive("in_flight", in_flight)
    in_flight = in_flight and min(in_flight, MOST)
    model = find(name, for_requests=for_requests)
    if (reason := model.unavailable()) is not None:
        msg = f"{name} cannot run here: {reason}"
        raise ModelUnavailableError(msg)
    if model.host is None:
        if care != ANY:
            msg = (
                f"max_items, max_memory and max_crashes are about worker processes, and {name} has "
                "none; leave them out, or use processes"
            )
            raise UsageError(msg)
        return Opening(
            model,
            1,
            min(MOST, _lanes(model.driver, in_flight or workers)) if model.driver.overlaps else 1,
        )
    count = workers or usable_cpus()
    needed = count if total is None else max(1, min(count, total))
    if needed > MOST_WORKERS:
        msg = f"workers={shown(workers)} is more processes than a machine can have; give fewer"
        raise UsageError(msg)
    if not model.driver.overlaps:
        needed = min(needed, in_flight or count)
        return Opening(model, needed, needed, care=care)
    slots = in_flight or max(needed, _lanes(model.driver, None))
    return Opening(model, min(needed, slots), slots, care=care)


def elsewhere(open_workers: Callable[[], Workers]) -> Elsewhere:
    """Return workers that will live in a thread of their own."""
    from outpace.drivers._elsewhere import Elsewhere  # noqa: PLC0415 - brings concurrent.futures

    return Elsewhere(open_workers)


def _lanes(driver: Driver, asked: int | None) -> int:
    """Say how many lanes a driver gets in all."""
    return asked or (TASKS if driver.native_async else THREADS)


def _named(host_name: str, driver_name: str) -> Model | None:
    """Find a model by the two parts of its name, importing no more than these two files."""
    if host_name:
        host, driver = _load(hosts, host_name, "host"), _load(drivers, driver_name, "driver")
        found = host is not None and driver is not None and driver_name != "serial"
        return Model(f"{host_name}+{_called(driver)}", driver, host) if found else None
    if (driver := _load(drivers, driver_name, "driver")) is not None:
        return Model(_called(driver), driver)
    if (host := _load(hosts, driver_name, "host")) is not None:
        return Model(driver_name, _load(drivers, "serial", "driver"), host)
    return None


def _load(package: Any, name: str, kind: str) -> Any:
    """Import one driver or host file; None when there is no such file."""
    if name.startswith("_") or not name.isidentifier():
        return None
    full = f"{package.__name__}.{name}"
    try:
        return getattr(importlib.import_module(full), kind, None)  # a package has none
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        return None


def _found(package: Any, kind: str) -> list[Any]:
    """Import every driver or host file; known names first, then by name."""
    import pkgutil  # noqa: PLC0415 - only a listing of all models needs it

    found = pkgutil.iter_modules(package.__path__)
    files = [one.name for one in found if not (one.ispkg or one.name.startswith("_"))]
    rank = {name: n for n, name in enumerate(ORDER)}
    files.sort(key=lambda name: (rank.get(name, len(rank)), name))
    return [_load(package, name, kind) for name in files]
