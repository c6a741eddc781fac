"""Tokens: the pieces of a template, and what is known of a piece by itself.

A piece is a word, a delimiter, other punctuation, `MASK` (variable by its shape) or `ANY`
(learned to vary). Neither mark can come out of a line: `<` and `>` are pieces of their own.
"""

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.logs.letters import ASCII, CLASSES, LETTER, PLANE, SOURCES, hashed, packing, points
from agents.scorer.jit import kept, lean

Codes = npt.NDArray[np.int64]

MASK = "<*>"
ANY = "<+>"

REST, WORD, MASKED, LEARNED = range(4)  # kinds, the two low bits of a code
KIND = 3  # mask of these bits
STATE, SEPARATOR = 4, 8  # and the two above: what is known besides
SEED = hash(MASK)  # as Python's own, another in each process: nobody can write words that collide

# A word that names a state or an operation is not a value: "link up" and "link down" are two
# statements, however many such words are seen in one place.
_NAMES = (
    "true false yes no on off none null nil up down in out ok success fail failure error"
    " warn warning info debug fatal start stop begin end enter exit open close read write add"
    " remove enable disable active inactive online offline local remote get put post delete"
    " patch head options connect trace"
)
_STATES = tuple(map(packing, _NAMES.split()))
_LONGEST = 8  # letters that are looked at
_ENDINGS = tuple((packing(ending), len(ending)) for ending in ("ed", "ing", "ion", "able"))
_SEPARATORS = tuple(map(ord, ":-([{@#"))  # between a label and its value
_A, _Z, _SMALL_A, _SMALL_Z, _LESS, _STAR = map(ord, "AZaz<*")
_MARK = len(MASK)
_SHIFT, _BITS = 4, (1 << 59) - 1


@lean
def facts(text: Any, kinds: Any, first: Any, end: Any) -> Any:
    """WORD or REST, with STATE and SEPARATOR, of a piece of a text that is no mark."""
    for i in range(first, end):
        if kinds[i] & LETTER:
            return WORD | STATE if _names_a_state(text, first, end) else WORD
    separates = end - first == 1 and text[first] in _SEPARATORS
    return SEPARATOR if separates else REST


@lean
def _names_a_state(text: Any, first: Any, end: Any) -> Any:
    """Whether it is one of the words above, or ends as what is done to something does."""
    size = min(end - first, _LONGEST)
    word: Any = 0
    for k in range(size):
        point = np.int64(text[end - size + k])
        if _A <= point <= _Z:
            point += _SMALL_A - _A
        word |= (point if point < ASCII else 1) << (8 * k)
    if size == end - first and word in _STATES:
        return True
    for ending, length in _ENDINGS:
        if length < size and word >> (8 * (size - length)) == ending:
            return _SMALL_A <= (word >> (8 * (size - length - 1))) & 0xFF <= _SMALL_Z
    return False


@lean
def _code(text: Any, kinds: Any, first: Any, end: Any, seed: Any) -> Any:
    if end - first == _MARK and text[first] == _LESS:
        known = MASKED if text[first + 1] == _STAR else LEARNED
    else:
        known = facts(text, kinds, first, end)
    return (hashed(text, first, end, seed) & _BITS) << _SHIFT | known


@cache
def _kernel() -> Any:
    """Build the kernel, loading its machine code if that is there; seconds if it is not."""
    sources = SOURCES

    def coded(text: Any, classes: Any, ends: Any, seed: Any, out: Any) -> Any:
        kinds = np.zeros(text.size, np.uint16)
        for i in range(text.size):
            kinds[i] = classes[min(text[i], PLANE)]
        first = 0
        for i in range(ends.size):
            out[i] = _code(text, kinds, first, ends[i], seed)
            first = ends[i]
        return sources  # named here so that it is in the key of the cache: see jit.py

    return kept(coded)


def codes(tokens: Sequence[str]) -> Codes:
    """Tokens as 63 bits each: equal for equal tokens; in the lowest kind, STATE and SEPARATOR.

    int64 [n]. The hash is this process's own, so a code is never stored.
    """
    ends = np.cumsum(np.fromiter(map(len, tokens), np.int64, len(tokens)))
    out = np.empty(len(tokens), np.int64)
    _kernel()(points("".join(tokens)), CLASSES, ends, SEED, out)
    return out


@lru_cache(maxsize=16_384)
def code(token: str) -> int:
    """The code of one token."""
    return int(codes((token,))[0])


def kind(token: str) -> int:
    """REST, WORD, MASKED or LEARNED.

    >>> kind("user"), kind("="), kind("--"), kind(MASK), kind(ANY)
    (1, 0, 0, 2, 3)
    """
    return code(token) & KIND


def is_state(token: str) -> bool:
    """Whether a word names a state or an operation.

    >>> is_state("Connected"), is_state("DOWN"), is_state("checkout"), is_state("ion")
    (True, True, False, False)
    """
    return code(token) & STATE > 0


def is_word(token: str) -> bool:
    """Whether a token holds a letter and is no mark."""
    return kind(token) == WORD


def words(tokens: Iterable[str]) -> int:
    """How many tokens are words: what a template says for certain."""
    return sum(kind(token) == WORD for token in tokens)


def blend(*rows: tuple[str, ...]) -> tuple[str, ...]:
    """Rows of one length that differ in ANY alone, as one: ANY wins.

    >>> blend(("a", "b"), ("a", ANY))
    ('a', '<+>')
    """
    return tuple(ANY if ANY in column else column[0] for column in zip(*rows, strict=True))
