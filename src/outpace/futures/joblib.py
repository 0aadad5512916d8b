"""joblib's backend made of an executor: `parallel_config(backend="outpace")`, scikit-learn's route.

joblib batches the calls and orders the results; here is only who carries the batches out. The workers
live as long as the backend does, which is as long as the `with parallel_config(…)` block: what one
`Parallel` has imported there, the next finds. Abandoning a call (an error, a timeout, a generator that
is dropped) kills the workers that are busy, and the next call gets new ones.

joblib is imported here and nowhere else. Tested by `tests/test_joblib.py`, and by joblib's own tests.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from joblib._parallel_backends import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)
from joblib.parallel import register_parallel_backend

from outpace.errors import UsageError
from outpace.futures.executor import Executor
from outpace.machine.cpus import usable_cpus
from outpace.registry import find


class OutpaceBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc] # it has no types
    """Carry out joblib's batches under any concurrency model.

    `model`: a name of `outpace.models()`. `initializer`, `initargs`: a function that each worker calls
    once. `inner_max_num_threads`: as for joblib's own backend of processes.
    """

    supports_retrieve_callback = True

    def __init__(
        self,
        model: str = "processes",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
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
        self._prepare = (initializer, initargs)
        # The mutable state: what carries calls out now, and what is kept for the next `Parallel`.
        self._workers: Executor | None = None
        self._kept: tuple[object, Executor] | None = None

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
        **_memmapping: Any,
    ) -> int:
        """Make ready for a `Parallel`: take the workers that are there, if they are the right ones."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        env = self._prepare_worker_env(n_jobs) if self._hosted else {}
        prepare = (env, initializer, initargs) if initializer else (env, *self._prepare)
        wanted = n_jobs, prepare
        if self._kept is None or self._kept[0] != wanted:
            self._leave()
            made = Executor(
                self._model, n_jobs, in_flight=n_jobs, initializer=_prepare, initargs=prepare
            )
            self._kept = wanted, made
        self._workers = self._kept[1]
        return n_jobs

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Future[Any]:
        """Have a batch carried out."""
        assert self._workers is not None
        functions = {id(call[0]): call[0] for call in getattr(func, "items", ())}
        future = self._workers.submit(_carry_out, func, *functions.values())
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """Return the results of a batch; raise its error."""
        return out.result()

    def terminate(self) -> None:
        """Be done with a `Parallel`; the workers stay for the next one."""
        self._workers = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: FBT001, FBT002 - joblib's
        """Stop what is running."""
        self._workers = None
        self._leave(at_once=True)
        if ensure_ready:
            parallel = self.parallel
            self.configure(
                n_jobs=parallel.n_jobs,
                parallel=parallel,
                **parallel._backend_kwargs,  # noqa: SLF001
            )

    def _leave(self, *, at_once: bool = False) -> None:
        """Let go of the workers."""
        kept, self._kept = self._kept, None
        if kept is not None and at_once:
            kept[1].terminate_workers()
        elif kept is not None:
            kept[1].shutdown(wait=False)


def _prepare(
    env: dict[str, str], initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
) -> None:
    """Make a lane ready: numerical libraries read these variables when they are imported."""
    os.environ.update(env)
    if initializer is not None:
        initializer(*initargs)


def _carry_out(batch: Callable[[], Any], *_functions: object) -> Any:
    """Carry out a batch; its functions come along so that those of unimportable modules are seen."""
    return batch()


def register() -> None:
    """Make the backend known to joblib by the name `outpace`; refuse a joblib that knows no `submit`."""
    if not hasattr(ParallelBackendBase, "submit"):
        raise UsageError("this joblib is older than 1.5: `pip install --upgrade joblib` renews it")
    register_parallel_backend("outpace", OutpaceBackend)
