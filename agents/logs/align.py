"""Align: where a template differs from each of its bucket, as compiled kernels.

Two templates are laid on each other from both ends; what is left between, the cores, says
whether they may be one. ANY is equal to any word or mask. A token is its code: what is known
of it in the four low bits, so a kernel needs to know no text.
"""

from typing import Any

import numpy as np

from agents.logs import tokens
from agents.scorer.jit import kept, lean

# The kernels are compiled once and kept, so what they know stands in this file.
WORD, MASKED, LEARNED = 1, 2, 3
KIND = 3  # mask of the two low bits
STATE, SEPARATOR = 4, 8  # the bits above
SHIFT = 3  # the most tokens by which lengths of two templates may differ
SHORT, LONG = 1, 4  # tokens of two cores of which one may be the other's mask

CONTEXT = 2  # constant words that what is left needs

# How two templates differ: not; in ONE place; in TWO, all between alike; in CORES of unequal length
EQUAL, ONE, TWO, CORES, FAR = range(5)
SLOT, HOW, PREFIX, SUFFIX = range(4)  # columns of what `near` finds


@lean
def _alike(a: Any, b: Any) -> Any:
    if a == b:
        return True
    return (a & KIND == LEARNED and b & KIND > 0) or (b & KIND == LEARNED and a & KIND > 0)


@lean
def _two(mine: Any, other: Any, first: Any, last: Any) -> Any:
    """Whether there are words at both places, and what is between them is the same."""
    for place in (first, last):
        if mine[place] & KIND != WORD or other[place] & KIND != WORD:
            return False
    for place in range(first + 1, last):  # noqa: SIM110 - numba compiles no generators
        if mine[place] != other[place]:
            return False
    return True


@lean
def _lie(mine: Any, n: Any, other: Any, m: Any) -> Any:
    """How two templates of one first token lie: how, prefix, suffix."""
    least = min(n, m)
    i = 1
    while i < least and _alike(mine[i], other[i]):
        i += 1
    j = 0
    while j < least - i and _alike(mine[n - 1 - j], other[m - 1 - j]):
        j += 1
    x, y = n - i - j, m - i - j
    how = FAR
    if x == y:
        if x <= 1:
            how = ONE if x else EQUAL
        elif _two(mine, other, i, n - 1 - j):
            how = TWO
    elif min(x, y) <= SHORT and max(x, y) <= LONG:
        how = CORES
    return how, i, j


@lean
def _labelled(row: Any, first: Any, size: Any) -> Any:
    """A word, a separator, a mask, perhaps a closing bracket: `LOCAL(7)`, `popup:9`.

    `size` counts the mask that follows a core of two, too.
    """
    if size < 3 or size > 4 or row[first] & KIND != WORD:  # noqa: PLR2004 - as above
        return False
    return row[first + 1] & SEPARATOR > 0 and row[first + 2] & KIND == MASKED


@lean
def _mask_and_value(a: Any, x: Any, b: Any, y: Any, at: Any, after: Any) -> Any:
    """Whether core `a`, not longer, is a mask and `b` its value, with or without a label.

    `x` and `y` are their lengths, both begin `at` a place; `after` tokens are alike behind them.
    """
    if x == y == 1:
        mask, value = a[at], b[at]
        if mask & KIND != MASKED:
            mask, value = value, mask
        return mask & KIND == MASKED and value & (KIND | STATE) == WORD
    if x == 1:
        return a[at] & KIND == MASKED and _labelled(b, at, y)
    masks = after > 0 and a[at] & KIND == MASKED and b[at + y] & KIND == MASKED
    return masks and _labelled(b, at, y + 1)


@lean
def _says_enough(mine: Any, n: Any, other: Any, m: Any, i: Any, j: Any) -> Any:
    """Whether beside the cores there is a word for every learned place, and CONTEXT more."""
    words = 0
    for k in range(i + j):
        a = mine[k] if k < i else mine[n + i - 1 - k]
        b = other[k] if k < i else other[m + i - 1 - k]
        if a & KIND == LEARNED or b & KIND == LEARNED:
            words -= 1
        elif a & KIND == WORD:
            words += 1
    return words >= CONTEXT


@lean
def _at_first_sight(mine: Any, n: Any, other: Any, m: Any, i: Any, j: Any) -> Any:
    x, y = n - i - j, m - i - j
    if x <= y:
        alike = _mask_and_value(mine, x, other, y, i, j)
    else:
        alike = _mask_and_value(other, y, mine, x, i, j)
    return alike and _says_enough(mine, n, other, m, i, j)


@kept
def _near(codes: Any, lengths: Any, slots: Any, mine: Any, out: Any) -> Any:
    found, row, n = 0, codes[mine], lengths[mine]
    for at in range(slots.size):
        slot = slots[at]
        m = lengths[slot]
        if slot == mine or abs(n - m) > SHIFT:
            continue
        how, i, j = _lie(row, n, codes[slot], m)
        if how != FAR:
            out[found, SLOT], out[found, HOW] = slot, how
            out[found, PREFIX], out[found, SUFFIX] = i, j
            found += 1
        if how == EQUAL:
            return found, True
        if (how in (ONE, CORES)) and _at_first_sight(row, n, codes[slot], m, i, j):
            return found, True
    return found, False


@kept
def _accepting(codes: Any, slots: Any, row: Any) -> Any:
    best, least = -1, row.size + 1
    for at in range(slots.size):
        learned = 0
        for i in range(row.size):
            other = codes[slots[at], i]
            if other & KIND == LEARNED and row[i] & KIND > 0:  # takes no punctuation
                learned += 1
            elif row[i] != other:
                learned = least
                break
        if learned < least:
            best, least = slots[at], learned
    return best


def accepting(codes: Any, slots: Any, row: Any) -> int:
    """The slot whose template takes the tokens: fewest ANY, then the earliest; -1 for none.

    `codes` int64 [slots, tokens]; `slots` int32 [n], all of `row`'s length; `row` int64 [tokens].
    """
    return int(_accepting(codes, slots, row))


def near(codes: Any, lengths: Any, slots: Any, mine: int) -> tuple[Any, bool]:
    """Those of `slots` that differ from slot `mine` so little that they may be one with it.

    int32 [n, 4], the columns named above. True if the last of them and `mine` are one at first
    sight: no more is looked at then.
    """
    out = np.empty((len(slots), 4), np.int32)
    found, at_once = _near(codes, lengths, slots, mine, out)
    return out[:found], bool(at_once)


def warm_up() -> None:
    """Compile the kernels, or load what an earlier process compiled; about 2 s and 0.2 s."""
    codes, lengths = np.zeros((2, 2), np.int64), np.ones(2, np.int32)
    slots = np.arange(2, dtype=np.int32)
    near(codes, lengths, slots, 0)
    accepting(codes, slots, codes[0])


assert (WORD, MASKED, LEARNED) == (tokens.WORD, tokens.MASKED, tokens.LEARNED)  # noqa: S101 - see above
assert (STATE, SEPARATOR) == (tokens.STATE, tokens.SEPARATOR)  # noqa: S101 - see above
