"""Skeleton: the tokens of a line with every value that its shape betrays as MASK.

Delimiters are kept, since they say where a value ends; runs of masks become one, since how
many values a list has is no part of what a statement says.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from agents.logs.letters import CLASSES, DELIMITER, SOURCES, SPACE, points, text_of
from agents.logs.plain import plain
from agents.logs.shapes import PADDING, dateless, is_name
from agents.logs.tokens import MASK, STATE, WORD, facts
from agents.scorer.jit import kept, lean
from schemas.masking import bare

TOKENS = 48  # that count; lines that differ later alone are one template
PIECES = 3 * TOKENS  # that are looked at, before runs are one

# Of a token: where its text begins and ends, whether blanks come before it, whether it is MASK.
FIRST, END, GAP, MASKED = range(4)
ROOM = TOKENS + 4  # for what the last piece may add

_ZERO, _COMMA = map(ord, "0,")
_OPENS, _CLOSES = tuple(map(ord, "([{\"'")), tuple(map(ord, ")]}\"'"))
_BRACKETS = tuple(map(ord, ")]}"))
_LIST, _END_OF_LIST = map(ord, "[]")
_JOINTS = tuple(map(ord, ",:-.|"))  # between two masks: a list or a compound
_FINAL = tuple(map(ord, ".!?*"))  # punctuation that ends what is said


class Skeleton(NamedTuple):
    """Tokens, and for each whether blanks came before it; at least one."""

    tokens: tuple[str, ...]
    gaps: tuple[bool, ...]


def skeleton(signature: str) -> Skeleton:
    """The skeleton of a signature.

    >>> skeleton("Failed login for a@b.c from [0.0.0.0]:0, 0, 0.").tokens
    ('Failed', 'login', 'for', '<*>', 'from', '[', '<*>', ']', ':', '<*>', '.')
    """
    given = points(dateless(bare(signature)))
    room = 2 * len(given) + PADDING
    text, kinds = np.zeros(room, np.uint32), np.zeros(room, np.uint16)
    rows = np.empty((ROOM, 4), np.int64)
    end, count, _ = _kernel()(given, CLASSES, text, kinds, rows)
    if not count:
        return Skeleton(("",), (False,))
    shown = text_of(text[:end])
    first, last, gap, masked = rows[:count].T.tolist()
    tokens = [shown[a:b] for a, b in zip(first, last, strict=True)]
    for place in np.flatnonzero(masked).tolist():
        tokens[place] = MASK
    return Skeleton(tuple(tokens), tuple(map(bool, gap)))


@lean
def _push(rows: Any, count: Any, first: Any, end: Any, gap: Any, masked: Any) -> Any:
    rows[count, FIRST], rows[count, END] = first, end
    rows[count, GAP], rows[count, MASKED] = gap, masked
    return count + 1


@lean
def _character(text: Any, rows: Any, at: Any) -> Any:
    """The one character of a token; 0 for a mask, and for more than one."""
    if rows[at, MASKED] or rows[at, END] - rows[at, FIRST] != 1:
        return 0
    return np.int64(text[rows[at, FIRST]])


@lean
def _closes(opening: Any, closing: Any) -> Any:
    for i in range(len(_OPENS)):
        if opening == _OPENS[i]:
            return closing == _CLOSES[i]
    return False


@lean
def _mask(text: Any, rows: Any, count: Any, first: Any, gap: Any) -> Any:
    """Add a mask, unless it is a part of a run; then its joint goes. How many tokens there are."""
    if count and rows[count - 1, MASKED]:
        return count
    if count > 1 and rows[count - 2, MASKED] and _character(text, rows, count - 1) in _JOINTS:
        return count - 1
    return _push(rows, count, first, first, gap, 1)


@lean
def _is_value(text: Any, kinds: Any, row: Any) -> Any:
    """Whether a token can stand for a value: a mask, or a word that names no state."""
    known = facts(text, kinds, row[FIRST], row[END])
    return row[MASKED] or (known & WORD and not known & STATE)


@lean
def _enumeration(text: Any, kinds: Any, rows: Any, count: Any) -> Any:
    """[a, b, c]: a list of one-word items is one value. How many tokens there are."""
    first = last = count - 2
    while (
        first > 1
        and _character(text, rows, first - 1) == _COMMA
        and _is_value(text, kinds, rows[first])
    ):
        first -= 2
    if not 0 < first < last or _character(text, rows, first - 1) != _LIST:
        return count
    if not _is_value(text, kinds, rows[first]):
        return count
    bracket, gap = rows[count - 1, FIRST], rows[count - 1, GAP]
    count = _push(rows, first, bracket, bracket, 0, 1)
    return _push(rows, count, bracket, bracket + 1, gap, 0)


@lean
def _delimiter(text: Any, kinds: Any, rows: Any, count: Any, first: Any, gap: Any) -> Any:
    """Add a delimiter, and see what it closes. How many tokens there are."""
    point = np.int64(text[first])
    if count and _closes(_character(text, rows, count - 1), point):
        count = _push(rows, count, first, first, 0, 1)  # an empty pair holds an empty value
    count = _push(rows, count, first, first + 1, gap, 0)
    if point not in _BRACKETS or count < 4:  # noqa: PLR2004 - mask, bracket, mask, bracket
        return count
    around = rows[count - 2, MASKED] and rows[count - 4, MASKED]
    if around and _closes(_character(text, rows, count - 3), point):
        return count - 3  # a bracketed mask after a mask restates it
    return _enumeration(text, kinds, rows, count) if point == _END_OF_LIST else count


@lean
def _word(text: Any, kinds: Any, rows: Any, count: Any, first: Any, end: Any, gap: Any) -> Any:
    """Add a piece that is no delimiter, and what ends it apart. How many tokens there are."""
    last = end
    while last > first and text[last - 1] in _FINAL:
        last -= 1
    last = end if last == first else last
    value = is_name(text, kinds, first, last)
    for i in range(first, last):
        value = value or text[i] == _ZERO
    if value:
        count = _mask(text, rows, count, first, gap)
    else:
        count = _push(rows, count, first, last, gap, 0)
    return count if last == end else _push(rows, count, last, end, 0, 0)


@cache
def _kernel() -> Any:
    """Build the kernel, loading its machine code if that is there; seconds if it is not."""
    sources = SOURCES

    def read(given: Any, classes: Any, text: Any, kinds: Any, rows: Any) -> Any:
        """Where the text ends, and how many tokens it has."""
        end = plain(given, classes, text, kinds)
        count = pieces = 0
        i = 1
        while i < end and count < TOKENS and pieces < PIECES:
            if kinds[i] & SPACE:
                i += 1
                continue
            gap, first = kinds[i - 1] & SPACE != 0, i
            i += 1
            if kinds[first] & DELIMITER:
                count = _delimiter(text, kinds, rows, count, first, gap)
            else:
                while i < end and not kinds[i] & (SPACE | DELIMITER):
                    i += 1
                count = _word(text, kinds, rows, count, first, i, gap)
            pieces += 1
        return end, min(count, TOKENS), sources  # its key in the cache: see jit.py

    return kept(read)
