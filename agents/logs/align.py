"""Align: where a template differs from each of its bucket, as compiled kernels.

Two templates are laid on each other from both ends; what is left between, the cores, says
whether they may be one. ANY is equal to any word or mask. A token is its code: its kind in
the two low bits, so a kernel needs to know no text.
"""

from typing import Any, NamedTuple

import numpy as np

from agents.logs import tokens
from agents.scorer.jit import compiled, kept

# The kernels are compiled once and kept, so what they know stands in this file.
WORD, LEARNED = 1, 3
KIND = 3  # mask of the two low bits
SHIFT = 3  # the most tokens by which lengths of two templates may differ
SHORT, LONG = 1, 4  # tokens of two cores of which one may be the other's mask

EQUAL, ONE, TWO, CORES, FAR = range(5)  # how two templates differ


class Near(NamedTuple):
    """A template that is nearly the one looked at."""

    slot: int
    how: int  # EQUAL; ONE place; TWO places, all between alike; CORES of unequal length
    prefix: int  # tokens alike from the start
    suffix: int  # and from the end


@compiled
def _alike(a: Any, b: Any) -> Any:
    if a == b:
        return True
    return (a & KIND == LEARNED and b & KIND > 0) or (b & KIND == LEARNED and a & KIND > 0)


@compiled
def _two(mine: Any, other: Any, first: Any, last: Any) -> Any:
    """Whether there are words at both places, and what is between them is the same."""
    for place in (first, last):
        if mine[place] & KIND != WORD or other[place] & KIND != WORD:
            return False
    for place in range(first + 1, last):  # noqa: SIM110 - numba compiles no generators
        if mine[place] != other[place]:
            return False
    return True


@compiled
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


@kept
def _near(codes: Any, lengths: Any, slots: Any, mine: Any, out: Any) -> Any:
    found = 0
    for at in range(slots.size):
        slot = slots[at]
        if slot == mine or abs(lengths[mine] - lengths[slot]) > SHIFT:
            continue
        how, i, j = _lie(codes[mine], lengths[mine], codes[slot], lengths[slot])
        if how != FAR:
            out[found, 0], out[found, 1] = slot, how
            out[found, 2], out[found, 3] = i, j
            found += 1
    return found


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


def near(codes: Any, lengths: Any, slots: Any, mine: int) -> list[Near]:
    """Those of `slots` that differ from slot `mine` so little that they may be one with it."""
    out = np.empty((len(slots), 4), np.int32)
    found = int(_near(codes, lengths, slots, mine, out))
    return [Near(*row) for row in out[:found].tolist()]


def warm_up() -> None:
    """Compile the kernels, or load what an earlier process compiled; about 2 s and 0.2 s."""
    codes, lengths = np.zeros((2, 2), np.int64), np.ones(2, np.int32)
    slots = np.arange(2, dtype=np.int32)
    near(codes, lengths, slots, 0)
    accepting(codes, slots, codes[0])


assert (WORD, LEARNED) == (tokens.WORD, tokens.LEARNED), "kinds by number"  # noqa: S101 - see above
