"""Where strings and values of JSON end, found eight bytes at a time.

A word holds a byte of a kind where a bit is set that stands for it. Above the lowest of these
bits others may be wrong, since a borrow goes on to the next byte; the lowest one is right.

Source: "Determine if a word has a zero byte", S. E. Anderson, Bit Twiddling Hacks.
"""

from typing import Any

import numpy as np

from agents.scorer.jit import inlined, lean
from streams.formats.tree import NONE, whole

QUOTE, ESCAPE, OPEN, CLOSE, LIST, LISTED, COMMA = 34, 92, 123, 125, 91, 93, 44
WORD = 8
ONES, HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
QUOTES, ESCAPES = ONES * np.uint64(QUOTE), ONES * np.uint64(ESCAPE)
BLANKS = ONES * np.uint64(32)  # what is below is a control character
PLACES = np.uint64(0x0001020304050607)  # times 256 to the n: n in the highest byte
SEVEN, TOP = np.uint64(7), np.uint64(56)
ESCAPED = np.zeros(256, np.uint8)  # what stands behind an escape, and what it means
for _written, _meant in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
    ESCAPED[_written] = _meant


@inlined
def _ends(word: Any) -> Any:
    """Bits for the quotes and escapes of a word."""
    quote, escape = word ^ QUOTES, word ^ ESCAPES
    return ((quote - ONES) & ~quote | (escape - ONES) & ~escape) & HIGHS


@inlined
def _first(bits: Any) -> Any:
    """The byte of the lowest bit."""
    lowest = bits & (~bits + np.uint64(1))
    return np.int64(((lowest >> SEVEN) * PLACES) >> TOP)


@lean
def string(data: Any, place: Any, stop: Any, escapes: Any) -> Any:
    """Behind a string's last quote, or NONE; with `escapes` those of one character may be in it."""
    if data[np.uint64(place)] != QUOTE:
        return NONE
    i = place + 1
    while i < stop:
        if i + WORD <= stop:
            word = np.uint64(whole(data, i))
            bits = _ends(word) | (word - BLANKS) & ~word & HIGHS
            if not bits:
                i += WORD
                continue
            i += _first(bits)
        byte = data[np.uint64(i)]
        if byte == QUOTE:
            return i + 1
        if byte < 32:  # noqa: PLR2004 - a control character
            return NONE
        if byte == ESCAPE:
            if not escapes or i + 1 >= stop or ESCAPED[data[np.uint64(i + 1)]] == 0:
                return NONE
            i += 1
        i += 1
    return NONE


@lean
def span(data: Any, place: Any, stop: Any) -> Any:
    """Behind a value; whether it is one at all is known of its like that was learned."""
    depth = 0
    i = place
    while i < stop:
        byte = data[np.uint64(i)]
        if byte == QUOTE:
            i = _last_quote(data, i + 1, stop)
            if i >= stop:
                return NONE
            if depth == 0:
                return i + 1
        elif byte in (OPEN, LIST):
            depth += 1
        elif byte in (CLOSE, LISTED):
            if depth <= 1:
                return i + depth if i + depth > place else NONE
            depth -= 1
        elif depth == 0 and byte in (COMMA, 32, 10, 13, 9):
            return i if i > place else NONE
        i += 1
    return NONE


@lean
def _last_quote(data: Any, i: Any, stop: Any) -> Any:
    """Where the string ends that `i` is in; not before `stop` when it does not."""
    while i < stop:
        if i + WORD <= stop:
            bits = _ends(np.uint64(whole(data, i)))
            if not bits:
                i += WORD
                continue
            i += _first(bits)
        byte = data[np.uint64(i)]
        if byte == QUOTE:
            break
        i += 2 if byte == ESCAPE else 1
    return i
