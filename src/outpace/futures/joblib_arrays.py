"""Large arrays on their way to joblib's calls: written to a file once, and mapped by every worker.

How an array becomes a file and a file an array is joblib's own (`max_nbytes`, `mmap_mode`,
`temp_folder`). When a file goes is ours: with the array that it was made of, or else with its
`Parallel`. So the workers have nothing to say about it, and one that is killed leaves nothing behind; if
the caller itself is killed, joblib's resource tracker removes the files.

Tested by `tests/test_joblib_arrays.py`.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import pickle
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle
from joblib._memmapping_reducer import (
    TemporaryResourcesManager,
    get_memmapping_reducers,
    has_shareable_memory,
    reduce_array_memmap_backward,
)
from joblib.externals.loky.backend import resource_tracker
from joblib.numpy_pickle import load_temporary_memmap

from outpace.errors import OutpaceError
from outpace.hosts.channel.source import SourcePickler

Reducer = Callable[[Any], Any]

_open: weakref.WeakSet[Arrays] = weakref.WeakSet()


class Arrays:
    """The large arrays of one `Parallel`."""

    def __init__(
        self,
        max_nbytes: float | None,
        mmap_mode: str | None,
        temp_folder: str | None,
        verbose: int = 0,
    ) -> None:
        """Write nothing yet."""
        self._max_nbytes = max_nbytes
        self._temp_folder = temp_folder
        forward, _ = get_memmapping_reducers(
            max_nbytes=max_nbytes,
            mmap_mode=mmap_mode,
            temp_folder_resolver=self._folder,
            verbose=verbose,
            # Else workers would tell joblib's resource tracker, and each of ours start one of its own.
            unlink_on_gc_collect=False,
        )
        self._joblibs: dict[type, Reducer] = forward
        self._reducers: dict[type, Reducer] = dict.fromkeys(forward, self._reduce)
        # Batches are pickled by the thread of an executor, while any thread may end the `Parallel`.
        self._lock = threading.RLock()
        self._files: TemporaryResourcesManager | None = None
        self._removals: dict[str, Any] = {}  # by the names of the files
        self._closed = False
        self._mapped = False  # something in what is being pickled
        _open.add(self)

    def pickle(self, value: Any) -> tuple[bytes, list[pickle.PickleBuffer], bool]:
        """Pickle a value, with buffers beside it; say whether there are mapped arrays in it."""
        with self._lock:
            self._mapped = False
            return *_pickle(value, self._reducers), self._mapped

    def close(self) -> None:
        """Remove what is left, whoever has it mapped."""
        with self._lock:
            self._closed = True
            for name, removal in list(self._removals.items()):
                if removal.detach():  # not called: at exit that would do nothing any more
                    self._remove(name)
            if self._files is not None:
                self._files._clean_temporary_resources(force=True)  # noqa: SLF001 - as joblib's own backend
                self._files = None

    def _folder(self) -> str:
        """Return where the files are; it is chosen when the first is to be written."""
        if self._files is None:
            self._files = TemporaryResourcesManager(self._temp_folder)
        folder: str = self._files.resolve_temp_folder_name()
        return folder

    def _reduce(self, array: Any) -> Any:
        """Say how an array is to be unpickled: from a file if it is large, or mapped already."""
        large = self._max_nbytes is not None and array.nbytes > self._max_nbytes
        if not (large and not array.dtype.hasobject) and not has_shareable_memory(array):
            return NotImplemented
        if self._closed:
            raise OutpaceError("the call of joblib.Parallel that this array was for is over")
        reduced = self._joblibs[type(array)](array)
        self._mapped = True
        if reduced[0] is load_temporary_memmap and (name := reduced[1][0]) not in self._removals:
            removal = weakref.finalize(array, self._remove, name)
            removal.atexit = False  # then joblib removes the folder
            self._removals[name] = removal
        return reduced

    def _remove(self, name: str) -> None:
        """Remove a file: a worker that has it mapped still has what is in it."""
        del self._removals[name]
        try:
            os.unlink(name)  # noqa: PTH108 - pathlib would be the only use of it here
        except FileNotFoundError:
            pass  # it went with its folder
        except OSError:
            return  # Windows keeps what is mapped: it goes with its folder
        resource_tracker.unregister(name, "file")


def pickle_results(values: Any) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Pickle what a batch with mapped arrays has returned, so that nothing of it needs the files."""
    return _pickle(values, dict.fromkeys(_array_types(), _reduce_result))


def _array_types() -> list[type]:
    """Return the types that may be mapped."""
    return list(get_memmapping_reducers()[1])


def _reduce_result(array: Any) -> Any:
    """Say how an array is to be unpickled that a call returns."""
    return reduce_array_memmap_backward(array) if has_shareable_memory(array) else NotImplemented


def _pickle(
    value: Any, reducers: Mapping[type, Reducer]
) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Pickle a value plainly; by cloudpickle where that cannot do it, or its module is to go along."""
    buffers: list[pickle.PickleBuffer] = []
    if not cloudpickle.list_registry_pickle_by_value():
        file = io.BytesIO()
        with contextlib.suppress(Exception):  # then cloudpickle, whose error is the one to show
            _Plain(file, reducers, buffers.append).dump(value)
            if b"__main__" not in (plain := file.getvalue()):
                return plain, buffers
        buffers.clear()
    file = io.BytesIO()
    _ByValue(file, reducers, buffers.append).dump(value)
    return file.getvalue(), buffers


@atexit.register
def _close_all() -> None:
    """Remove the files of whoever has not ended: a generator that nobody has asked to its end."""
    for arrays in list(_open):
        arrays.close()


class _Plain(pickle.Pickler):
    """A pickler with reducers of its own."""

    def __init__(
        self, file: io.BytesIO, reducers: Mapping[type, Reducer], aside: Callable[[Any], object]
    ) -> None:
        super().__init__(file, 5, buffer_callback=aside)
        self._reducers = reducers

    def reducer_override(self, value: Any) -> Any:
        """Ask the reducer of its type; where there is none, it is pickled as usual."""
        reduce = self._reducers.get(type(value))
        return NotImplemented if reduce is None else reduce(value)


class _ByValue(SourcePickler):
    """The same for what must travel by value."""

    def __init__(
        self, file: io.BytesIO, reducers: Mapping[type, Reducer], aside: Callable[[Any], object]
    ) -> None:
        super().__init__(file, 5, buffer_callback=aside)
        self._reducers = reducers

    def reducer_override(self, value: Any) -> Any:
        """Ask the reducer of its type; where there is none, it is pickled as usual."""
        reduce = self._reducers.get(type(value))
        return super().reducer_override(value) if reduce is None else reduce(value)
