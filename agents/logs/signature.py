"""Signature: a line with every word that holds a digit replaced by one 0.

Nearly every line of a stream ends here: what varies from one line to the next of the same
statement is mostly numbers, so a look-up of the signature finds the template. It is made and
hashed by compiled code, a batch at once; its text is only wanted where it was not seen before.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.logs.letters import (
    CLASSES,
    DIGIT,
    PLANE,
    SOURCES,
    WORD,
    Points,
    hashed,
    points,
    text_of,
)
from agents.scorer.jit import kept, lean

WIDTH = 768  # characters of a line that count: values may be wide
LENGTH = 384  # of a signature, where values are not: room for the tokens that count
SEED = hash("signature")  # another in each process: nobody can write lines that collide

_ZERO, _BLANK, _FOUR, _SIX, _I, _P, _V = map(ord, "0 46IPV")
_LOWER = 32  # the bit that a small letter has and a capital has not


def signature(line: str) -> str:
    """The signature of a line, at most LENGTH characters long.

    >>> signature("Took 12.5ms to reach db-7 over IPv4")
    'Took 0.0 to reach db-0 over IPv4'
    """
    _, text, size = _signed([line])
    return text_of(text[:size])


def keys_of(lines: Sequence[str]) -> npt.NDArray[np.int64]:
    """A number for each line, equal where the signature is.

    Equal by chance, too, for one of 2^64 pairs: as seldom as two templates have one id.
    """
    return _signed(lines)[0]


def _signed(lines: Sequence[str]) -> tuple[npt.NDArray[np.int64], Points, int]:
    """Keys; the signature of the last line, and its length."""
    counted = [line[: WIDTH + 1] for line in lines]
    ends = np.cumsum(np.fromiter(map(len, counted), np.int64, len(lines)))
    keys, text = np.empty(len(lines), np.int64), np.empty(LENGTH + 1, np.uint32)
    size, _ = _kernel()(points("".join(counted)), ends, CLASSES, SEED, keys, text)
    return keys, text, size


@cache
def _kernel() -> Any:
    """Build the kernel, loading its machine code if that is there; seconds if it is not."""
    sources = SOURCES

    def sign(given: Any, ends: Any, classes: Any, seed: Any, keys: Any, text: Any) -> Any:
        first = size = 0
        for i in range(ends.size):
            end = ends[i]
            if end - first > WIDTH:
                end = first + _cut(given[first : first + WIDTH + 1], WIDTH)
            size = _substituted(given, first, end, classes, text)
            keys[i] = hashed(text, 0, size, seed)
            first = ends[i]
        return size, sources  # its key in the cache: see jit.py

    return kept(sign)


@lean
def _cut(text: Any, length: Any) -> Any:
    """Where to cut: the word that would be cut is left out, half a word is another word."""
    for i in range(length, 0, -1):
        if text[i] == _BLANK:
            return i
    return length


@lean
def _substituted(given: Any, first: Any, end: Any, classes: Any, text: Any) -> Any:
    """Write the signature of a line; its length."""
    size, i = 0, first
    while i < end and size <= LENGTH:
        begin, digits = i, False
        while i < end and classes[min(given[i], PLANE)] & WORD:
            digits = digits or classes[min(given[i], PLANE)] & DIGIT != 0
            i += 1
        if digits and not _names_a_protocol(given, begin, i):
            text[size] = _ZERO
            size += 1
            continue
        i = max(i, begin + 1)
        for k in range(begin, min(i, begin + LENGTH + 1 - size)):
            text[size] = given[k]
            size += 1
    return size if size <= LENGTH else _cut(text, LENGTH)


@lean
def _names_a_protocol(given: Any, first: Any, end: Any) -> Any:
    """IPv4 and IPv6: their digit is no value."""
    if end - first != 4 or given[first + 3] not in (_FOUR, _SIX):  # noqa: PLR2004 - its letters
        return False
    i, p, v = given[first] & ~_LOWER, given[first + 1] & ~_LOWER, given[first + 2] & ~_LOWER
    return i == _I and p == _P and v == _V
