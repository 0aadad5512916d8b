"""joblib's backend made of an executor: `parallel_config(backend="outpace")`, scikit-learn's route.

joblib batches the calls and orders the results; here is only who carries the batches out. Worker
processes are kept for the next `Parallel` that wants the like (`futures.kept`): what one has imported
there, the next finds. Each has its workers for itself meanwhile. Abandoning a call (an error, a timeout,
a generator that is dropped) kills those that are busy, and the next call gets new ones. Large arrays are
mapped, not sent (`futures.joblib_arrays`).

joblib is imported in these two files and nowhere else. Tested by `tests/test_joblib.py`, and by
joblib's own tests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Self

from joblib._parallel_backends import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)
from joblib.parallel import register_parallel_backend

from outpace.errors import UsageError
from outpace.futures import kept
from outpace.futures.calls import InEnvironment, unpickled
from outpace.futures.executor import Executor
from outpace.futures.joblib_arrays import Arrays, pickle_results
from outpace.hosts.channel.handshake import working_directory
from outpace.machine.cpus import usable_cpus
from outpace.registry import find

KEPT_S = 300.0  # seconds that idle workers stay, as loky's do under joblib


class OutpaceBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc] # it has no types
    """Carry out joblib's batches under any concurrency model.

    `model`: a name of `outpace.models()`. `initializer`, `initargs`: a function that each worker calls
    once. `inner_max_num_threads`, `idle_worker_timeout`: as for joblib's own backend of processes.
    """

    supports_retrieve_callback = True

    def __init__(
        self,
        model: str = "processes",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        idle_worker_timeout: float | None = None,
        **options: Any,
    ) -> None:
        """Check the model; start nothing yet."""
        self.supports_inner_max_num_threads = self._hosted = find(model).host is not None
        super().__init__(**options)
        if self.backend_kwargs:
            raise UsageError(
                f"joblib's backend of outpace has no option {', '.join(self.backend_kwargs)}"
            )
        self.supports_sharedmem = self.uses_threads = not self._hosted
        self._model = model
        self._prepare = initializer, initargs
        self._idle_worker_timeout = KEPT_S if idle_worker_timeout is None else idle_worker_timeout
        # The mutable state, of the `Parallel` that there is now: what carries its calls out, what that
        # was made with, and its large arrays.
        self._workers: Executor | None = None
        self._kind: Any = None
        self._kept_s = KEPT_S
        self._arrays: Arrays | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Say how many calls run at once; negative numbers count down from that of the CPUs."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(usable_cpus() + 1 + n_jobs, 1)

    def configure(  # noqa: PLR0917 - joblib's
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: object = None,  # noqa: ARG002 - whoever names a backend has chosen
        require: object = None,  # noqa: ARG002
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_nbytes: float | None = 1e6,
        mmap_mode: str | None = "r",
        temp_folder: str | None = None,
        verbose: int = 0,
        idle_worker_timeout: float | None = None,
        **_others: Any,
    ) -> int:
        """Make ready for a `Parallel`: take workers that are there, if they are the right ones."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        prepare, initargs = (initializer, initargs) if initializer else self._prepare
        env = self._prepare_worker_env(n_jobs) if self._hosted else {}

        def make() -> Executor:
            first = InEnvironment(env, prepare) if env else prepare
            return Executor(
                self._model, n_jobs, in_flight=n_jobs, initializer=first, initargs=initargs
            )

        if not self._hosted:
            self._workers = make()
            return n_jobs
        self._kept_s = self._idle_worker_timeout
        if idle_worker_timeout is not None:
            self._kept_s = idle_worker_timeout
        # What workers see of the caller when they start belongs to it: where it finds its modules.
        surroundings = env, tuple(sys.path), working_directory()
        self._kind = self._model, n_jobs, prepare, initargs, surroundings
        self._workers = kept.take(self._kind, make)
        self._arrays = Arrays(max_nbytes, mmap_mode, temp_folder, verbose)
        return n_jobs

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Future[Any]:
        """Have a batch carried out."""
        assert self._workers is not None
        if self._arrays is None:
            future = self._workers.submit(func)
        else:
            batch = _Batch(func, self._arrays)
            future = self._workers.submit(batch)
            future.add_done_callback(batch.forget)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """Return the results of a batch; raise its error."""
        return out.result()

    def terminate(self) -> None:
        """Be done with a `Parallel`; worker processes stay for the next one."""
        workers, self._workers = self._workers, None
        if workers is not None and self._hosted:
            kept.put_back(self._kind, workers, self._kept_s)
        elif workers is not None:
            workers.shutdown(wait=False)
        self._forget_arrays()
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: FBT001, FBT002 - joblib's
        """Stop what is running."""
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.terminate_workers()
        self._forget_arrays()
        if ensure_ready:
            parallel = self.parallel
            self.configure(
                n_jobs=parallel.n_jobs,
                parallel=parallel,
                **parallel._backend_kwargs,  # noqa: SLF001
            )

    def _forget_arrays(self) -> None:
        """Remove the files of large arrays."""
        arrays, self._arrays = self._arrays, None
        if arrays is not None:
            arrays.close()


class _Batch(partial[Any]):
    """A batch on its way to a worker process; there it unpickles as the batch, or what carries it out.

    A partial of its functions, so that those of unimportable modules are seen when it leaves. It keeps
    the batch until that is done, since files of large arrays go with their arrays.
    """

    def __new__(cls, batch: Any, arrays: Arrays) -> Self:
        functions = {id(call[0]): call[0] for call in getattr(batch, "items", ())}
        self = super().__new__(cls, unpickled, *functions.values())
        self._batch = batch
        self._arrays = arrays
        self._reduced = None  # another attempt is sent as the first was
        return self

    _batch: Any
    _arrays: Arrays
    _reduced: Any

    def __reduce_ex__(self, _protocol: Any) -> Any:
        """Have arrays pickled in joblib's way, and buffers travel beside the pickle as ever."""
        if self._reduced is None:
            pickled, buffers, mapped = self._arrays.pickle(self._batch)
            self._reduced = _mapped if mapped else unpickled, (pickled, *buffers)
        return self._reduced

    def forget(self, _future: object) -> None:
        """Let go of the batch."""
        self._batch = self._reduced = None


class _Results:
    """What a batch with mapped arrays has returned, on its way back."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def __reduce_ex__(self, _protocol: Any) -> Any:
        """Unpickle as the values, none of which needs a file of joblib's."""
        pickled, buffers = pickle_results(self._values)
        return unpickled, (pickled, *buffers)


def _mapped(data: bytes, *buffers: Any) -> Callable[[], Any]:
    """Return a batch whose results need to be looked at."""
    return partial(_carry_out_mapped, unpickled(data, *buffers))


def _carry_out_mapped(batch: Callable[[], Any]) -> _Results:
    """Carry out a batch with mapped arrays."""
    return _Results(batch())


def register() -> None:
    """Make the backend known to joblib by the name `outpace`; refuse a joblib that knows no `submit`."""
    if not hasattr(ParallelBackendBase, "submit"):
        raise UsageError("this joblib is older than 1.5: `pip install --upgrade joblib` renews it")
    register_parallel_backend("outpace", OutpaceBackend)
