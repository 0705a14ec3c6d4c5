"""Keeps Python from importing what is in the working folder, where a cloned repository may have put an `anyio.py`.

This module imports only what the interpreter has loaded before any of our code runs, and not even `__future__`.
"""

import os
import sys

__all__ = ["drop_working_folder"]


def drop_working_folder() -> None:
    """Remove the working folder from the import path, where `python -m` or PYTHONPATH put it.

    Entries after the standard library stay: those are installed packages, even where the working folder is site-packages.
    """
    here = _real(os.curdir)
    library = os.path.dirname(os.__file__)  # noqa: PTH120 - pathlib is not loaded yet
    installed = sys.path.index(library) if library in sys.path else len(sys.path)
    sys.path[:installed] = [entry for entry in sys.path[:installed] if _real(entry or os.curdir) != here]


def _real(path: str) -> str:
    try:
        return os.path.realpath(path)
    except OSError:  # the working folder was deleted
        return path
