# ruff: noqa: C901, PLR0911, PLR0912 - kernels end where the plain case does, in many places
"""Data points of OTLP's histograms and summaries, read by compiled code.

The series of a point are found as a number's are: metric, bounds (or a summary's quantiles) and
attributes are looked up as bytes, and at the leaf is a row of the series' numbers. Buckets of an
exponential histogram, whose bounds move, are nodes below the leaf. What was counted before is
changed as points are read; who calls takes it back when the message turns out not to be plain.

Source: OpenTelemetry protocol 1.x, metrics.proto.
"""

from typing import Any

import numpy as np

from agents.scorer.jit import compiled, lean
from streams.formats.histogram import MOST_BUCKETS
from streams.formats.histogram_scan import (
    BUCKETS,
    FIRST_SCALE,
    FULL,
    LAST_SCALE,
    WHOLE,
    laid_out,
    put,
    told,
)
from streams.formats.otlp_point_scan import (
    OBSERVED,
    TOTAL,
    double,
    exemplars,
    fields,
    fixed,
    leaf_row,
    met,
    moment,
    place_of,
    rules,
)
from streams.formats.protobuf_scan import ASCII, inside, varint
from streams.formats.tree import NONE, child, whole

SUM, COUNT, FIRST = 0, 1, 5  # places in a row: behind the count its quantiles, then the buckets
HISTOGRAM, EXPONENTIAL, SUMMARY = 9 << 3 | 2, 10 << 3 | 2, 11 << 3 | 2  # a metric's data
C_COUNTS, C_BOUNDS, C_EXEMPLARS, C_ATTRIBUTES, C_FLAGS, C_LOW, C_HIGH = 6, 7, 8, 9, 10, 11, 12
E_ATTRIBUTES, E_SCALE, E_ZEROS, E_UP, E_DOWN, E_FLAGS, E_EXEMPLARS = 1, 6, 7, 8, 9, 10, 11
E_LOW, E_HIGH, E_THRESHOLD = 12, 13, 14
S_QUANTILES, S_ATTRIBUTES, S_FLAGS = 6, 7, 8
CLASSIC_FIELDS = rules(
    (C_FLAGS,), (C_LOW, C_HIGH), (C_COUNTS, C_BOUNDS), (C_EXEMPLARS, C_ATTRIBUTES)
)
EXPONENTIAL_FIELDS = rules(
    (E_SCALE, E_FLAGS), (E_ZEROS, E_LOW, E_HIGH, E_THRESHOLD), (E_UP, E_DOWN),
    (E_EXEMPLARS, E_ATTRIBUTES),
)  # fmt: skip
SUMMARY_FIELDS = rules((S_FLAGS,), (), (), (S_QUANTILES, S_ATTRIBUTES))


@compiled
def classic_point(
    data: Any, start: Any, end: Any, parent: Any, learn: Any, delta: Any, most: Any, stamp: Any,
    out: Any, count: Any, memory: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Note a histogram with explicit bounds; how many samples there are then, NONE or FULL."""
    spans = scratch.spans
    if not fields(data, start, end, CLASSIC_FIELDS, spans):
        return NONE
    at = moment(data, C_FLAGS, scratch)
    if at < 0 or not exemplars(data, C_EXEMPLARS, scratch):
        return NONE
    low = double(data, C_LOW, -np.inf, scratch)
    high = double(data, C_HIGH, np.inf, scratch)
    size = _classic(data, most, scratch)
    if size < 0 or not _agrees(data, size, scratch):
        return NONE
    holder = parent
    if size:  # to have no buckets is another thing than to have no bounds
        holder = child(
            data, spans[C_BOUNDS, 0], spans[C_BOUNDS, 1], parent, learn, memory.slots,
            memory.nodes, memory.arena, memory.used,
        )  # fmt: skip
    if holder < 0:
        return NONE
    _, row = leaf_row(
        data, spans[C_ATTRIBUTES, 0], spans[C_ATTRIBUTES, 1], holder, FIRST + size, learn, memory
    )
    if row < 0:
        return NONE
    if count + size + FIRST > out.code.size:
        return FULL
    within = 0.0
    for k in range(size):
        within += scratch.counts[k]
        code = place_of(row + FIRST + k, learn, memory)
        if not met(code, learn):
            return NONE
        count = put(out, count, code, at, within, stamp, delta)
    return _summed(data, row, size, at, delta, low, high, learn, stamp, out, count, memory, scratch)


@lean
def _classic(data: Any, most: Any, scratch: Any) -> Any:
    """Set the buckets of a histogram in order, into `scratch`; their number, or NONE.

    As `histogram.classic`, but that bounds ascend: those that were learned do.
    """
    spans, bounds, counts = scratch.spans, scratch.bounds, scratch.counts
    a, b = spans[C_COUNTS, 0], spans[C_COUNTS, 1]
    c, d = spans[C_BOUNDS, 0], spans[C_BOUNDS, 1]
    size, limits = (b - a) >> 3, (d - c) >> 3
    if (b - a) & 7 or (d - c) & 7 or size > min(BUCKETS, most) or limits > BUCKETS:
        return NONE
    for k in range(size):
        number = whole(data, a + 8 * k)
        if not 0 <= number < WHOLE:
            return NONE
        counts[k] = np.float64(number)
    for k in range(limits):
        scratch.bits[k] = whole(data, c + 8 * k)
    if size == 0:
        return size if limits == 0 else NONE
    if limits == size:
        if bounds[size - 1] != np.inf:
            bounds[size], counts[size] = np.inf, 0.0
            size += 1
        return size
    if limits != size - 1 or (limits and bounds[limits - 1] == np.inf):
        return NONE
    bounds[limits] = np.inf
    return size


@lean
def _agrees(data: Any, size: Any, scratch: Any) -> Any:
    """Whether buckets hold what was observed, and no more than is exact."""
    within, observed = 0.0, fixed(data, scratch.spans, OBSERVED)
    for k in range(size):
        within += scratch.counts[k]
    return within < WHOLE and (size == 0 or not abs(within - observed) > 1e-9 * observed)


@lean
def _summed(
    data: Any, row: Any, size: Any, at: Any, delta: Any, low: Any, high: Any, learn: Any,
    stamp: Any, out: Any, count: Any, memory: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Note a histogram's sum, count, and quantiles; how many samples there are then, or NONE."""
    if scratch.spans[TOTAL, 1] != 0:
        code = place_of(row + SUM, learn, memory)
        if not met(code, learn):
            return NONE
        count = put(out, count, code, at, 0.0, stamp, delta)
        out.bits[count - 1] = fixed(data, scratch.spans, TOTAL)
    code = place_of(row + COUNT, learn, memory)
    if not met(code, learn):
        return NONE
    observed = np.float64(fixed(data, scratch.spans, OBSERVED))
    count = put(out, count, code, at, observed, stamp, delta)
    if learn:  # its series of quantiles are known by where they stand
        return count
    return told(out, count, row + COUNT, at, stamp, size, delta, low, high, memory, scratch)


@compiled
def exponential_point(
    data: Any, start: Any, end: Any, parent: Any, learn: Any, delta: Any, most: Any, stamp: Any,
    out: Any, count: Any, memory: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Note an exponential histogram; how many samples there are then, NONE or FULL."""
    spans, counts = scratch.spans, scratch.counts
    if not fields(data, start, end, EXPONENTIAL_FIELDS, spans):
        return NONE
    at = moment(data, E_FLAGS, scratch)
    if at < 0 or not exemplars(data, E_EXEMPLARS, scratch):
        return NONE
    low = double(data, E_LOW, -np.inf, scratch)
    high = double(data, E_HIGH, np.inf, scratch)
    threshold = double(data, E_THRESHOLD, 0.0, scratch)
    zeros = fixed(data, spans, E_ZEROS)
    scale = np.int64(0)
    if spans[E_SCALE, 1] != 0:
        scale, behind = _signed(data, spans[E_SCALE, 0], spans[E_SCALE, 1])
        if behind < 0:
            return NONE
    if not 0 <= zeros < WHOLE or not FIRST_SCALE <= scale <= LAST_SCALE:
        return NONE
    first_up, ups = _side(data, spans[E_UP, 0], spans[E_UP, 1], scratch.up)
    first_down, downs = _side(data, spans[E_DOWN, 0], spans[E_DOWN, 1], scratch.down)
    if ups < 0 or downs < 0 or ups + downs > min(most, BUCKETS - 2):
        return NONE
    if not 0.0 <= threshold < np.inf:
        return NONE
    leaf, row = leaf_row(
        data, spans[E_ATTRIBUTES, 0], spans[E_ATTRIBUTES, 1], parent, FIRST, learn, memory
    )
    if row < 0:
        return NONE
    size = _coarse(scale, np.float64(zeros), threshold, first_up, ups, first_down, downs, scratch)
    if size < 0 or not _agrees(data, size, scratch):
        return NONE
    if count + size + FIRST > out.code.size:
        return FULL
    within = 0.0
    for k in range(size):
        within += counts[k]
        node = child(
            scratch.packed, 8 * k, 8 * k + 8, leaf, learn, memory.slots, memory.nodes,
            memory.arena, memory.used,
        )  # fmt: skip
        if node < 0:
            return NONE
        code = node if learn else memory.nodes[node, 4]
        if code < 0:
            return NONE
        count = put(out, count, code, at, within, stamp, delta)
    size = laid_out(
        scale, np.float64(zeros), threshold, first_up, ups, first_down, downs, scratch.up,
        scratch.down, scratch,
    )  # fmt: skip
    if size < 0:
        return NONE
    return _summed(data, row, size, at, delta, low, high, learn, stamp, out, count, memory, scratch)


@compiled
def _coarse(
    scale: Any, zeros: Any, threshold: Any, first_up: Any, ups: Any, first_down: Any, downs: Any,
    scratch: Any,
) -> Any:  # fmt: skip
    """Set merged buckets in order, those that are series; their number, or NONE."""
    halvings = max(scale, 0)
    while _width(first_up, ups, halvings) + _width(first_down, downs, halvings) > MOST_BUCKETS:
        halvings += 1
    up, down = scratch.grown[:MOST_BUCKETS], scratch.grown[MOST_BUCKETS : 2 * MOST_BUCKETS]
    merged_ups = _merged(first_up, ups, halvings, scratch.up, up)
    merged_downs = _merged(first_down, downs, halvings, scratch.down, down)
    return laid_out(
        scale - halvings, zeros, threshold, first_up >> halvings, merged_ups,
        first_down >> halvings, merged_downs, up, down, scratch,
    )  # fmt: skip


@lean
def _signed(data: Any, place: Any, end: Any) -> Any:
    """A zigzag number of 32 bits and where it ends; 0, NONE for another."""
    number, behind = varint(data, place, end)
    if behind < 0 or number >= 1 << 32:
        return np.int64(0), NONE
    return (number >> 1) ^ -(number & 1), behind


@lean
def _side(data: Any, start: Any, end: Any, counts: Any) -> Any:
    """The number of the first bucket of a side, and how many there are; 0, NONE: not plain."""
    first, size, place = np.int64(0), np.int64(0), start
    while place < end:
        if data[place] == 0x08:  # noqa: PLR2004 - where it begins
            first, place = _signed(data, place + 1, end)
            if place < 0:
                return np.int64(0), NONE
            continue
        place, last = inside(data, place, end, 2)
        if place < 0 or size > 0:
            return np.int64(0), NONE
        while place < last:
            number = np.int64(data[place])
            place += 1
            if number >= ASCII:
                number, place = varint(data, place - 1, last)
            if place < 0 or number >= WHOLE or size >= BUCKETS:
                return np.int64(0), NONE
            counts[size] = np.float64(number)
            size += 1
    return first, size


@lean
def _width(first: Any, size: Any, halvings: Any) -> Any:
    """How many buckets there are when they are merged in pairs so often."""
    if size == 0:
        return np.int64(0)
    return ((first + size - 1) >> halvings) - (first >> halvings) + 1


@lean
def _merged(first: Any, size: Any, halvings: Any, counts: Any, merged: Any) -> Any:
    """Merge the buckets of a side; how many there are then."""
    width = _width(first, size, halvings)
    merged[:width] = 0.0
    for k in range(size):
        merged[((first + k) >> halvings) - (first >> halvings)] += counts[k]
    return width


@compiled
def summary_point(
    data: Any, start: Any, end: Any, parent: Any, learn: Any, most: Any, stamp: Any, out: Any,
    count: Any, memory: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Note a summary; how many samples there are then, NONE or FULL."""
    spans = scratch.spans
    if not fields(data, start, end, SUMMARY_FIELDS, spans):
        return NONE
    at = moment(data, S_FLAGS, scratch)
    if at < 0:
        return NONE
    size = _shares(data, min(BUCKETS, most), scratch)
    if size < 0:
        return NONE
    shares = child(
        scratch.packed, np.int64(0), 8 * size, parent, learn, memory.slots, memory.nodes,
        memory.arena, memory.used,
    )  # fmt: skip
    if shares < 0:
        return NONE
    _, row = leaf_row(
        data, spans[S_ATTRIBUTES, 0], spans[S_ATTRIBUTES, 1], shares, FIRST + size, learn, memory
    )
    if row < 0:
        return NONE
    if count + size + FIRST > out.code.size:
        return FULL
    for k in range(size + 2):
        place = FIRST + k if k < size else COUNT + size - k
        code = place_of(row + place, learn, memory)
        if not met(code, learn):
            return NONE
        value = scratch.counts[k] if k < size else np.float64(fixed(data, spans, OBSERVED))
        count = put(out, count, code, at, value, stamp, False)  # noqa: FBT003 - as a kernel has it
    out.bits[count - 1] = fixed(data, spans, TOTAL)
    return count


@lean
def _shares(data: Any, most: Any, scratch: Any) -> Any:
    """Set the quantiles of a summary and their values, into `scratch`; their number, or NONE."""
    place, end = scratch.spans[S_QUANTILES, 0], scratch.spans[S_QUANTILES, 1]
    size = np.int64(0)
    while place < end:
        a, b = inside(data, place, end, S_QUANTILES)
        if size >= most:
            return NONE
        share = value = np.int64(0)  # what is zero is left out
        while b - a >= 9:  # noqa: PLR2004 - a tag and a double
            if data[a] == 0x09:  # noqa: PLR2004 - the quantile
                share = whole(data, a + 1)
            elif data[a] == 0x11:  # noqa: PLR2004 - its value
                value = whole(data, a + 1)
            else:
                return NONE
            a += 9
        if a != b:
            return NONE
        scratch.bits[size] = value
        scratch.counts[size] = scratch.bounds[size]
        scratch.bits[size] = share
        size += 1
        place = b
    return size
