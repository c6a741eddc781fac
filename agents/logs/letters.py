"""Letters: text as arrays of code points, and what is known of each, for compiled kernels.

Above the basic plane, emoji mostly, nothing is known.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.scorer.jit import lean, stamp

PLANE = 0x10000
WORD, DIGIT, SPACE, LETTER = 1, 2, 4, 8  # bits of a class; a letter is no digit and no underscore
HEX, DELIMITER, PATH_MARK, NO_URL, HOST = 16, 32, 64, 128, 256
KINDS = (
    (WORD, r"\w+"),
    (DIGIT, r"\d+"),
    (SPACE, r"\s+"),
    (LETTER, r"[^\W\d_]+"),
    (HEX, r"[0-9A-Fa-f]+"),
    (DELIMITER, r"[=:,;()\[\]{}<>\"'|]+"),
    (PATH_MARK, r"[.\-~%+@$/\\!#&]+"),  # within a path, before the next name
    (NO_URL, r"[\s\"'<>()|]+"),
    (HOST, r"[a-z0]+"),
)

MIX, FINISH = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15  # splitmix64's, as signed numbers
ASCII = 128  # the first point beyond it
SOURCES = stamp(Path(__file__).parent)  # of the kernels of this folder: see jit.py

Points = npt.NDArray[np.uint32]


def _classes() -> npt.NDArray[np.uint16]:
    plane = "".join(map(chr, range(PLANE)))
    classes = np.zeros(PLANE + 1, np.uint16)  # the last stands for all others
    for bit, pattern in KINDS:
        for run in re.finditer(pattern, plane):
            classes[run.start() : run.end()] |= bit
    return classes


CLASSES = _classes()


def points(text: str) -> Points:
    """The code points of a text, uint32 [n]; `?` for half a surrogate pair.

    Such a half can be neither hashed nor stored.

    >>> points("a€").tolist()
    [97, 8364]
    """
    return np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)


def text_of(found: Points) -> str:
    """Undo `points`."""
    return found.tobytes().decode("utf-32-le")


@lean
def packed(text: Any, first: Any, size: Any) -> Any:
    """Up to eight characters as one number, as `packing` gives it; -1 where one is not ASCII."""
    word: Any = 0
    for k in range(size):
        if text[first + k] >= ASCII:
            return -1
        word |= np.int64(text[first + k]) << (8 * k)
    return word


@lean
def hashed(text: Any, first: Any, end: Any, seed: Any) -> Any:
    """64 bits of a text, by the steps of splitmix64 (Steele, Lea and Flood, 2014)."""
    h = np.int64(seed)
    for i in range(first, end):
        h = (h ^ np.int64(text[i])) * MIX
        h ^= h >> 30
    h = (h ^ (h >> 27)) * FINISH
    return h ^ (h >> 31)


def packing(word: str) -> int:
    """A word of up to eight ASCII characters as one number.

    >>> hex(packing("ab"))
    '0x6261'
    """
    return int.from_bytes(word.encode("ascii"), "little")
