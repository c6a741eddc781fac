"""Histograms in compiled code: what was observed since they last spoke, and its quantiles.

Whatever bytes they came in. Each gives exactly what streams/formats/histogram.py does, which says
what is meant: counts below 2**53 are whole numbers in a float too, and larger ones are left to it,
like every other thing that is not plain.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agents.scorer.jit import inlined, lean
from streams.formats.histogram import FINEST, HIGH, LOW, MOST_BUCKETS, QUANTILES, SCALES
from streams.formats.spoken import NEVER, PLACE, ROOM, SIZE
from streams.formats.tree import NONE

FULL, CROWDED = np.int64(-2), np.int64(-3)  # no more room for samples, or for what is known
WHOLE = 1 << 53  # counts below are exact in a float
BUCKETS = 2048  # of a histogram, at most; one with more is read slowly
FIELDS = 16  # of a message, those whose tag is one byte
SHARES = np.array([q for _, q in QUANTILES])
HALVES = np.array(HIGH), np.array(LOW)
FIRST_SCALE, LAST_SCALE = SCALES[0], SCALES[-1]
FARTHEST = 1000  # exponents of two whose powers are plain, neither infinite nor next to nothing
POWERS = 2.0 ** np.arange(-FARTHEST, FARTHEST + 1)
TOP = 0  # in `Scratch.marks`: how much of `undo` is used
EXEMPLARS = 1  # how many were left out


class Out(NamedTuple):
    """Samples that were found, as arrays that are filled."""

    code: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    bits: npt.NDArray[np.int64]  # the same memory as `value`
    origin: npt.NDArray[np.int64]
    added: npt.NDArray[np.bool_]


class Memory(NamedTuple):
    """What outlives a batch: the tree's arrays, rows of series' numbers, how histograms spoke."""

    slots: npt.NDArray[np.int64]
    nodes: npt.NDArray[np.int64]
    arena: npt.NDArray[np.uint8]
    used: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    taken: npt.NDArray[np.int64]
    entries: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.float64]
    free: npt.NDArray[np.int64]


class Scratch(NamedTuple):
    """Room for one histogram at a time; and to take back what a message had changed."""

    undo: npt.NDArray[np.float64]
    marks: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64]
    grown: npt.NDArray[np.float64]
    up: npt.NDArray[np.float64]  # counts of exponential buckets above zero
    down: npt.NDArray[np.float64]
    bits: npt.NDArray[np.int64]  # the same memory as `bounds`
    packed: npt.NDArray[np.uint8]  # and again
    spans: npt.NDArray[np.int64]  # [field, 2] where the fields of a point begin and end


def scratch(largest: int) -> Scratch:
    """For messages of so many bytes, of which each bucket of a histogram needs one at least."""
    bounds = np.empty(BUCKETS + 2)
    counts, grown, up, down = (np.empty(BUCKETS + 2) for _ in range(4))
    return Scratch(
        np.empty(2 * largest + 64), np.zeros(2, np.int64), bounds, counts, grown, up, down,
        bounds.view(np.int64), bounds.view(np.uint8), np.zeros((FIELDS, 2), np.int64),
    )  # fmt: skip


@inlined
def put(
    out: Any, count: Any, code: Any, at: Any, value: Any, stamp: Any, added: Any
) -> Any:  # fmt: skip
    """Note a sample; how many there are then."""
    out.code[count], out.at[count], out.origin[count] = code, at, stamp
    out.value[count], out.added[count] = value, added
    return count + 1


@lean
def lately(code: Any, size: Any, memory: Any, scratch: Any) -> Any:
    """Note what a cumulative histogram counts; 1 when what it has grown by is known, 0 if not.

    It counts `size` buckets, as `scratch` has them. NONE or CROWDED where there is no room for it.
    """
    entries, pairs, counts, grown = memory.entries, memory.pairs, scratch.counts, scratch.grown
    place, held = entries[code, PLACE], entries[code, SIZE]
    known, j, some = held != NEVER, np.int64(0), np.int64(0)
    for i in range(size):
        was = 0.0
        some += counts[i] != 0.0
        if j < held and pairs[place + j, 0] == scratch.bounds[i]:
            was = pairs[place + j, 1]
            known &= counts[i] != 0.0
            j += 1
        grown[i] = counts[i] - was
        known &= grown[i] >= 0.0
    known &= j == max(held, 0)  # each bucket that held something is there again
    if not _noted(code, memory, scratch):
        return NONE
    if some > entries[code, ROOM]:
        place = memory.free[0]
        room = size if size <= MOST_BUCKETS else some + MOST_BUCKETS
        if place + room > pairs.shape[0]:
            return CROWDED
        memory.free[0] += room
        entries[code, PLACE], entries[code, ROOM] = place, room
    entries[code, SIZE] = some
    for i in range(size):
        if counts[i] != 0.0:
            pairs[place, 0], pairs[place, 1] = scratch.bounds[i], counts[i]
            place += 1
    return np.int64(known)


@lean
def _noted(code: Any, memory: Any, scratch: Any) -> Any:
    """Note how a histogram spoke, so that it can be taken back; False: no room."""
    undo, top = scratch.undo, scratch.marks[TOP]
    place, held = memory.entries[code, PLACE], memory.entries[code, SIZE]
    if top + 2 * max(held, 0) + 2 > undo.size:
        return False
    for k in range(held):
        undo[top], undo[top + 1] = memory.pairs[place + k, 0], memory.pairs[place + k, 1]
        top += 2
    undo[top], undo[top + 1] = held, code
    scratch.marks[TOP] = top + 2
    return True


@lean
def taken_back(memory: Any, scratch: Any) -> None:
    """Let histograms have spoken as before the message that was not plain in the end."""
    undo, top = scratch.undo, scratch.marks[TOP]
    while top > 0:
        held: Any = np.int64(undo[top - 2])
        code = np.int64(undo[top - 1])
        top -= 2
        memory.entries[code, SIZE] = held
        place = memory.entries[code, PLACE] + held  # room only ever grows
        for k in range(max(held, 0)):
            memory.pairs[place - k - 1, 0] = undo[top - 2]
            memory.pairs[place - k - 1, 1] = undo[top - 1]
            top -= 2
    scratch.marks[TOP] = 0


@lean
def quantile(q: Any, total: Any, bounds: Any, counts: Any, size: Any) -> Any:
    """As `histogram.quantile`, of buckets that hold `total`, more than nothing."""
    rank, seen, lower = q * total, 0.0, -np.inf
    upper, count = np.inf, 0.0
    for i in range(size):
        upper, count = bounds[i], counts[i]
        if count != 0.0 and seen + count >= rank:
            break
        seen += count
        lower = upper
    if upper == np.inf:
        return lower
    if lower == -np.inf:
        lower = min(0.0, upper)
    return lower + (upper - lower) * (rank - seen) / count


@lean
def told(
    out: Any, count: Any, row: Any, at: Any, stamp: Any, size: Any, delta: Any, low: Any,
    high: Any, memory: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Note the quantiles of a histogram whose `size` buckets are in `scratch`; or NONE, or CROWDED.

    Its numbers of the count and of the quantiles stand in `row` and behind.
    """
    counts = scratch.counts
    if not delta:
        known = lately(memory.rows[row], size, memory, scratch)
        if known <= 0:
            return known if known < 0 else count
        counts = scratch.grown
    total = 0.0
    for i in range(size):
        total += counts[i]
    if not total > 0.0 or size < 2:  # noqa: PLR2004 - one bucket tells nothing
        return count
    for k in range(SHARES.size):
        value = quantile(SHARES[k], total, scratch.bounds, counts, size)
        if delta:
            value = max(value, low)
            value = min(value, high)
        code = memory.rows[row + 1 + k]
        if code < 0 or not np.isfinite(value):
            return NONE
        count = put(out, count, code, at, value, stamp, False)  # noqa: FBT003 - as a kernel has it
    return count


@lean
def laid_out(
    scale: Any, zeros: Any, threshold: Any, first_up: Any, ups: Any, first_down: Any, downs: Any,
    up: Any, down: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Set the buckets of an exponential histogram in order, into `scratch`; their number."""
    bounds, counts = scratch.bounds, scratch.counts
    size, placed = np.int64(0), False
    for k in range(downs - 1, -1, -1):
        bounds[size], counts[size] = -_edge(scale, first_down + k), down[k]
        if bounds[size] == 0.0:
            return NONE
        size += 1
    for k in range(ups):
        bound, its = _edge(scale, first_up + k + 1), up[k]
        if bound == 0.0:
            return NONE
        if not placed and threshold <= bound:
            placed = True
            if threshold == bound:
                its += zeros
            else:
                bounds[size], counts[size] = threshold, zeros
                size += 1
        bounds[size], counts[size] = bound, its
        size += 1
    if not placed:
        bounds[size], counts[size] = threshold, zeros
        size += 1
    bounds[size], counts[size] = np.inf, 0.0
    return size + 1


@lean
def _edge(scale: Any, index: Any) -> Any:
    """As `histogram.edge`; 0 for one that is not plain."""
    part = np.int64(0)
    if scale > 0:
        power = index >> scale
        part = (index - (power << scale)) << (FINEST - scale)
    else:
        if not -FARTHEST <= index <= FARTHEST or scale < FIRST_SCALE:
            return 0.0
        power = index << -scale
    if not -FARTHEST <= power <= FARTHEST:
        return 0.0
    return HALVES[0][part >> 11] * HALVES[1][part & 2047] * POWERS[power + FARTHEST]
