"""The typed face of numba's compiler, and a stamp of the sources that a kernel is compiled from.

Numba keys a cached kernel by its own file alone: change a function that it calls from
another file and the stale machine code is loaded without a word. So only the outermost
kernel is kept on disk, and it closes over `SOURCES`, which numba makes part of the key.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def stamp(folder: Path) -> int:
    """A number that changes with any source of a folder, and with this one."""
    sources = [Path(__file__), *sorted(folder.glob("*.py"))]
    return zlib.crc32(b"".join(file.read_bytes() for file in sources))


SOURCES = stamp(Path(__file__).parent)


def compiled(function: Function) -> Function:
    """Compile as a part of a kernel; division by zero gives inf or NaN, as in numpy."""
    return cast("Function", njit(function, error_model="numpy"))


def lean(function: Function) -> Function:
    """The same for a part that allocates nothing and is called for each character, or the like.

    References to arrays are not counted: in each call that would cost more than the part does.
    """
    return cast("Function", njit(function, error_model="numpy", _nrt=False))


def inlined(function: Function) -> Function:
    """Compile as a part of a kernel, in the place of its call: many arrays are dear to hand over.

    For what is called once a sample, from one or two places; the rest is smaller when `compiled`.
    """
    return cast("Function", njit(function, error_model="numpy", inline="always"))


def kept(function: Function) -> Function:
    """Compile an outermost kernel that runs without the GIL, and keep the machine code on disk.

    Beside the source, else in the user's cache or `NUMBA_CACHE_DIR`. Where none of these can
    be written, every process compiles for itself, which costs seconds and changes nothing else.
    """
    try:
        return cast("Function", njit(function, error_model="numpy", nogil=True, cache=True))
    except RuntimeError:  # "no locator available": nowhere to write
        return cast("Function", njit(function, error_model="numpy", nogil=True))
