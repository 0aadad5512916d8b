"""A file of the user's that Python took for a module of the standard library, named where it does harm.

A `signal.py` beside a script is what `import signal` finds there, also in the files of others. What is
wrong is then said by whoever misses something in it: "module 'signal' has no attribute 'SIGINT'", from
deep within. Python 3.13 says it by itself, for some of these.

Imported only once something has gone wrong, and without a module that could be such a file: all that is
used here, Python itself has loaded at its start. Tested by `tests/flow/test_shadowed.py`.
"""

import os
import sys

Module = type(sys)


def explain(error: BaseException) -> None:
    """Raise an `ImportError` that names the file, if that is what has gone wrong."""
    if (why := shadowed(error)) is not None:
        raise ImportError(why) from error


def shadowed(error: BaseException) -> str | None:
    """Say which file stands for a module of the standard library, if that is what has gone wrong."""
    for name, path in _suspects(error):
        if name in sys.stdlib_module_names and path.endswith(".py") and not _is_standard(path):
            return (
                f"{path} has the name of the standard library's module {name!r}, and Python takes it "
                "for that: give the file another name"
            )
    return None


def _suspects(error: BaseException) -> list[tuple[str, str]]:
    """Return the names and files of modules that lack something, or were being imported."""
    found = []
    if isinstance(error, AttributeError) and isinstance(error.obj, Module):
        found.append((error.obj.__name__, getattr(error.obj, "__file__", None) or ""))
    if isinstance(error, ImportError):
        name = (error.name or "").partition(".")[0]
        found.append((name, getattr(sys.modules.get(name), "__file__", None) or ""))
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name == "<module>":
            found.append((str(frame.f_globals.get("__name__")), frame.f_code.co_filename))
        trace = trace.tb_next
    return found


def _is_standard(path: str) -> bool:
    """Say whether a file is one of the standard library."""
    home = os.path.dirname(os.__file__)  # noqa: PTH120 - see above: no pathlib
    return path.startswith(home) and "site-packages" not in path
