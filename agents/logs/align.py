"""Align: where a template differs from each of its bucket, as compiled kernels.

Two templates are laid on each other from both ends; what is left between, the cores, says
whether they may be one. ANY is equal to any word or mask. A token is its code: its kind in
the two low bits, so a kernel needs to know no text.
"""

from typing import Any, NamedTuple

import numpy as np

from agents.logs.tokens import LEARNED, MASKED, WORD
from agents.scorer.jit import kept

KIND = 3  # mask of the two low bits
SHIFT = 3  # the most tokens by which lengths of two templates may differ

EQUAL, ONE, TWO, CORES = range(4)  # how two templates differ


class Near(NamedTuple):
    """A template that is nearly the one looked at."""

    slot: int
    how: int  # EQUAL; ONE place; TWO places, all between alike; CORES of unequal length
    prefix: int  # tokens alike from the start
    suffix: int  # and from the end


@kept
def _accepting(codes: Any, slots: Any, row: Any) -> Any:
    best, least = -1, row.size + 1
    for at in range(slots.size):
        slot = slots[at]
        learned = 0
        for i in range(row.size):
            mine, other = row[i], codes[slot, i]
            if other & 3 == 3:  # LEARNED
                learned += 1
                if mine & 3 == 0:  # takes words and masks, no punctuation
                    learned = least
                    break
            elif mine != other:
                learned = least
                break
        if learned < least:
            best, least = slot, learned
    return best


@kept
def _near(codes: Any, lengths: Any, slots: Any, mine: Any, out: Any) -> Any:
    found = 0
    n = lengths[mine]
    for at in range(slots.size):
        slot = slots[at]
        m = lengths[slot]
        if slot == mine or n - m > 3 or m - n > 3:  # SHIFT
            continue
        least = min(n, m)
        i = 1
        while i < least:
            a, b = codes[mine, i], codes[slot, i]
            if a != b and not (a & 3 == 3 and b & 3 > 0) and not (b & 3 == 3 and a & 3 > 0):
                break
            i += 1
        j = 0
        while j < least - i:
            a, b = codes[mine, n - 1 - j], codes[slot, m - 1 - j]
            if a != b and not (a & 3 == 3 and b & 3 > 0) and not (b & 3 == 3 and a & 3 > 0):
                break
            j += 1
        x, y = n - i - j, m - i - j
        how = -1
        if x == 0 and y == 0:
            how = 0
        elif x == 1 and y == 1:
            how = 1
        elif x == y:
            # words at both ends of the cores, and what is between them alike
            last = n - 1 - j
            if (
                codes[mine, i] & 3 == 1
                and codes[slot, i] & 3 == 1
                and codes[mine, last] & 3 == 1
                and codes[slot, last] & 3 == 1
            ):
                how = 2
                for k in range(i + 1, last):
                    if codes[mine, k] != codes[slot, k]:
                        how = -1
                        break
        elif min(x, y) < 2 and max(x, y) < 5:
            how = 3
        if how >= 0:
            out[found, 0], out[found, 1] = slot, how
            out[found, 2], out[found, 3] = i, j
            found += 1
    return found


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


assert (LEARNED, MASKED, WORD) == (3, 2, 1), "the kernels know kinds by number"  # noqa: S101 - they are compiled apart
