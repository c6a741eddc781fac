# ruff: noqa: C901, PLR0911, PLR0912 - kernels end where the plain case does, in many places
"""Export requests of OTLP metrics whose series were met before, read by compiled code.

Most of a request repeats what the one before said: of a series only time and value are new.
What names a series (a resource, a scope, a metric's head, a point's attributes) is looked up
as bytes in a tree, part by part, and at its leaf is the series' number, or where the numbers
of a histogram's series stand (streams/formats/otlp_histogram_scan.py).

Only the plain case is read here: every field known, in an order in which encoders write
them (the collector's own is the reverse of the others'), every series
met before. Anything else leaves the whole record to the format's own
reader, and what that finds is learned, if both agree on every time and value. A histogram's
quantiles are of what it counted since it last spoke, so records are read in their order, and
we wait at one that is not plain until it has been read.

Source: OpenTelemetry protocol 1.x; Protocol Buffers, "Encoding".
"""

from collections.abc import Iterator, Sequence, Sized
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.scorer.jit import compiled, kept
from streams.formats.columns import ELEMENT, Rows, Scanned
from streams.formats.histogram import QUANTILES
from streams.formats.histogram_scan import (
    CROWDED,
    EXEMPLARS,
    FULL,
    TOP,
    Memory,
    Out,
    put,
    scratch,
    taken_back,
)
from streams.formats.otlp_histogram_scan import (
    EXPONENTIAL,
    FIRST,
    HISTOGRAM,
    SUMMARY,
    classic_point,
    exponential_point,
    summary_point,
)
from streams.formats.otlp_point_scan import number_point
from streams.formats.protobuf_scan import ASCII, SMALLEST, inside
from streams.formats.series import SeriesIndex
from streams.formats.spoken import Spoken
from streams.formats.tree import ARENA, NODES, NONE, ROOT, SOURCES, Tree, child

PARTS = 7  # of a point at most: resource, scope, metric (2), that it grows, bounds, attributes
BOUND = 8  # bytes that name a bucket of an exponential histogram
ROWS = 1 << 22  # numbers of histograms' series that are known at most; then all are forgotten
GAUGE, SUM = 5 << 3 | 2, 7 << 3 | 2  # a metric's data
NAMING = (0x0A, 0x12, 0x1A, 0x62)  # its name, description and unit; metadata
MONOTONIC = np.frombuffer(b"\x18\x01", np.uint8).copy()  # of a sum
DELTA, CUMULATIVE = 1, 2
UNREAD, READ, PASSED = 0, 1, 2  # of a message: passed when it is somebody else's to read
ANY = 1 << 60  # points of a message


class KnownPoints:
    """The tree of what names series in export requests; `spoken` are their histograms."""

    def __init__(self, spoken: Spoken) -> None:
        self.spoken = spoken
        self.clear()

    def clear(self) -> None:
        """Forget all: numbers of series that were learned are void."""
        self._tree = Tree()
        self._rows = np.empty(1 << 12, np.int64)
        self._taken = np.zeros(1, np.int64)

    def through(self, messages: Sequence[bytes], most: int, series: Sized) -> "Passage":
        """A passage through messages, in none of which more than `most` points are read."""
        return Passage(self, messages, most, series)

    def memory(self, series: int) -> Memory:
        """What compiled code reads and changes, with room for how `series` speak."""
        tree, spoken = self._tree, self.spoken
        spoken.room(series, 0)
        return Memory(
            tree.slots, tree.nodes, tree.arena, tree.used, self._rows, self._taken,
            spoken.entries, spoken.pairs, spoken.used,
        )  # fmt: skip

    def learn(self, message: bytes, at: Sequence[int], rows: Rows, start: int) -> None:
        """Remember what was noted in `rows`, from `start` on, of a message if it is plain.

        `at` are the times of these rows, epoch ms.
        """
        theirs = np.array(rows.origin[start:], np.int64) // ELEMENT - 1
        samples, points = len(theirs), len(np.unique(theirs))
        if not samples or not self._room(points, samples, len(message)):
            return
        ours = Passage(self, [message], ANY, ())
        if ours.learned(samples + FIRST):
            self._agreed(ours.found(), theirs, np.array(at, np.int64), rows, start)

    def _room(self, points: int, samples: int, size: int) -> bool:
        """Room for what a message may name; False: it is too large for that."""
        parts, size = PARTS * points + samples, size + BOUND * samples
        more = FIRST * points + samples
        if parts >= NODES or size > ARENA or more > ROWS:
            return False
        if self._taken[0] + more > ROWS or not self._tree.room(parts, size):
            self.clear()
            self._tree.room(parts, size)
        while self._taken[0] + more > len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        return True

    def _agreed(
        self, ours: Scanned, theirs: npt.NDArray[np.int64], at: npt.NDArray[np.int64], rows: Rows,
        start: int,
    ) -> None:  # fmt: skip
        """Write down the series' numbers where they will be found, if both say the same.

        Of quantiles we only see where they would stand, behind a histogram's other samples.
        """
        element = ours.origin // ELEMENT - 1
        size = max(int(element[-1]), int(theirs[-1])) + 1
        mine, its = np.bincount(element, minlength=size), np.bincount(theirs, minlength=size)
        more = its - mine
        if not np.isin(more, (0, len(QUANTILES))).all():
            return
        rank = np.arange(len(theirs)) - np.repeat(np.cumsum(its) - its, its)
        shared = rank < mine[theirs]
        code = np.array(rows.code[start:], np.int64)
        value = np.array(rows.value[start:], np.float64)
        added = np.zeros(len(theirs), np.bool_)
        added[[row - start for row in rows.increments if row >= start]] = True
        same = (
            np.array_equal(at[shared], ours.at)
            and np.array_equal(value[shared].view(np.int64), ours.value.view(np.int64))
            and ours.added is not None
            and np.array_equal(added[shared], ours.added)
        )
        if not same:
            return
        place = np.empty(len(theirs), np.int64)
        place[shared] = ours.code
        last = np.cumsum(mine)[theirs[~shared]] - 1  # the count, behind which quantiles stand
        place[~shared] = ours.code[last] - 1 - (rank - mine[theirs])[~shared]
        row = place < 0
        self._rows[~place[row]] = code[row]
        self._tree.nodes[place[~row], 4] = code[~row]


class Passage:
    """On the way through a batch of messages, in their order."""

    def __init__(
        self, known: KnownPoints, messages: Sequence[bytes], most: int, series: Sized
    ) -> None:
        self._known, self._most, self._series = known, most, series
        size = np.fromiter(map(len, messages), np.int64, len(messages))
        self._end = np.cumsum(size)
        self._begin = self._end - size
        self._data = np.frombuffer(b"".join(messages), np.uint8)
        self._scratch = scratch(int(size.max(initial=0)))
        self._fate = np.zeros(len(messages), np.int8)
        self._place = self._count = 0
        self._out = _out(len(self._data) // SMALLEST + FIRST + 1)

    @property
    def exemplars(self) -> int:
        """How many exemplars were left out."""
        return int(self._scratch.marks[EXEMPLARS])

    def stops(self) -> Iterator[int]:
        """The messages that are not plain, each to be read before the next one is asked for."""
        while self._on(learn=False):
            yield self._place
            self._place += 1

    def passes(self, others: npt.NDArray[np.bool_]) -> None:
        """Leave out messages that somebody else has read."""
        self._fate[others] = PASSED

    def learned(self, samples: int) -> bool:
        """Whether the only message is plain, its series learned; it has `samples` at most."""
        self._out = _out(samples)
        return not self._on(learn=True, once=True)

    def found(self) -> Scanned:
        """The samples so far; of a message that was learned, with places instead of numbers."""
        out, n = self._out, self._count
        return Scanned(out.code[:n], out.at[:n], out.value[:n], out.origin[:n], out.added[:n])

    def _on(self, *, learn: bool, once: bool = False) -> bool:
        """Whether there is a message that is not plain, before which it stopped."""
        while True:
            memory = self._known.memory(len(self._series))
            self._place, self._count, why = _kernel()(
                self._data, self._begin, self._end, self._fate, self._place, self._count, learn,
                self._most, ELEMENT, memory, self._out, self._scratch,
            )  # fmt: skip
            if why == FULL and not once:
                larger = _out(2 * len(self._out.code))
                for column, old in zip(larger, self._out, strict=True):
                    column[: self._count] = old[: self._count]
                self._out = larger
            elif why != CROWDED or not self._known.spoken.enlarge():
                return bool(self._place < len(self._fate))


def _out(samples: int) -> Out:
    code, at, origin = (np.empty(samples, np.int64) for _ in range(3))
    value = np.empty(samples)
    return Out(code, at, value, value.view(np.int64), origin, np.empty(samples, np.bool_))


def known_points(series: SeriesIndex, service: str) -> KnownPoints:
    """What is known of export requests, of topics with the same service of their own."""
    return series.known(("otlp points", service), lambda: KnownPoints(series.buckets))


@cache
def _kernel() -> Any:
    """Build the kernel, loading its machine code if that is there; seconds if it is not."""
    sources = SOURCES

    def scan(
        data: Any, begin: Any, end: Any, fate: Any, place: Any, count: Any, learn: Any, most: Any,
        element: Any, memory: Any, out: Any, scratch: Any,
    ) -> Any:  # fmt: skip
        # Its sources are named so that they are in the key of the cache: see tree.py
        place += np.int64(sources * 0)
        while place < begin.size:
            if fate[place] == UNREAD:
                before, exemplars = count, scratch.marks[EXEMPLARS]
                scratch.marks[TOP] = 0
                count, points = _export(
                    data, begin[place], end[place], learn, most, place, element, memory, out,
                    count, scratch,
                )  # fmt: skip
                if count <= before or points > most:
                    taken_back(memory, scratch)
                    scratch.marks[EXEMPLARS] = exemplars
                    return place, before, count
                fate[place] = READ
            place += 1
        return place, count, np.int64(0)

    return kept(scan)


@compiled
def _export(
    data: Any, start: Any, end: Any, learn: Any, most: Any, record: Any, element: Any, memory: Any,
    out: Any, count: Any, scratch: Any,
) -> Any:  # fmt: skip
    """An ExportMetricsServiceRequest: samples then, or NONE, or FULL; and its points."""
    slots, nodes, arena, used = memory.slots, memory.nodes, memory.arena, memory.used
    place, points = start, np.int64(0)
    while place < end:
        first, last = inside(data, place, end, 1)
        if first < 0:
            return NONE, points
        place = last
        head, behind, scopes, last = parted(data, first, last)
        if head < 0:
            return NONE, points
        mine = child(data, head, behind, ROOT, learn, slots, nodes, arena, used)
        while mine >= 0 and scopes < last:
            a, b = inside(data, scopes, last, 2)
            scopes = b
            head, behind, metric, b = parted(data, a, b)
            if head < 0:
                return NONE, points
            scope = child(data, head, behind, mine, learn, slots, nodes, arena, used)
            while scope >= 0 and metric < b:
                c, d = inside(data, metric, b, 2)
                metric = d
                count, points = _metric(
                    data, c, d, scope, learn, most, record, element, memory, out, count, points,
                    scratch,
                )  # fmt: skip
                if count < 0:
                    return count, points
            if scope < 0:
                return NONE, points
        if mine < 0:
            return NONE, points
    return count, points


@compiled
def parted(data: Any, start: Any, end: Any) -> Any:
    """Where a resource or scope is, and where what it holds; NONE for what is not plain.

    Either with its tags. The collector writes the former last, everybody else first.
    """
    head, behind, first, last = start, start, start, start
    place, url = start, False
    while place < end:
        tag = data[place]
        a, b = inside(data, place, end, tag >> 3)
        if a < 0:
            return NONE, NONE, NONE, NONE
        if tag == 0x0A and head == behind:  # noqa: PLR2004 - field 1
            head, behind = place, b
        elif tag == 0x12 and first == last:  # noqa: PLR2004 - field 2
            first, last = place, b
        elif tag == 0x12 and place == last:  # noqa: PLR2004 - more of them
            last = b
        elif tag == 0x1A and not url and _ascii(data, a, b):  # noqa: PLR2004 - a schema's URL
            url = True
        else:
            return NONE, NONE, NONE, NONE
        place = b
    return head, behind, first, last


@compiled
def _ascii(data: Any, start: Any, end: Any) -> Any:
    for i in range(start, end):  # noqa: SIM110 - what numba compiles
        if data[i] >= ASCII:
            return False
    return True


@compiled
def _metric(
    data: Any, start: Any, end: Any, parent: Any, learn: Any, most: Any, record: Any, element: Any,
    memory: Any, out: Any, count: Any, points: Any, scratch: Any,
) -> Any:  # fmt: skip
    """A metric: its data, and around it name, description, unit; samples then, and points."""
    place, tagged, kind = start, NONE, np.uint8(0)
    a = b = start
    while place < end:
        c, d = inside(data, place, end, data[place] >> 3)
        if c < 0:
            return NONE, points
        if data[place] in (GAUGE, SUM, HISTOGRAM, EXPONENTIAL, SUMMARY):
            if tagged >= 0:
                return NONE, points
            tagged, kind, a, b = place, data[place], c, d
        elif data[place] not in NAMING:
            return NONE, points
        place = d
    if tagged < 0:
        return NONE, points
    first, last, delta, monotonic = _kind(data, a, b, kind)
    if first < 0:
        return NONE, points
    # What is before the data ends with its tag, so that the kinds are told apart
    slots, nodes, arena, used = memory.slots, memory.nodes, memory.arena, memory.used
    own = child(data, start, tagged + 1, parent, learn, slots, nodes, arena, used)
    if own >= 0 and b < end:
        own = child(data, b, end, own, learn, slots, nodes, arena, used)
    if own >= 0 and monotonic:
        own = child(MONOTONIC, 0, MONOTONIC.size, own, learn, slots, nodes, arena, used)
    if own < 0:
        return NONE, points
    a, b = first, last
    place = a
    while place < b and data[place] == 0x0A:  # noqa: PLR2004 - data points
        c, d = inside(data, place, b, 1)
        place = d
        points += 1
        stamp = record + element * points
        if kind == HISTOGRAM:
            count = classic_point(
                data, c, d, own, learn, delta, most, stamp, out, count, memory, scratch
            )  # fmt: skip
        elif kind == EXPONENTIAL:
            count = exponential_point(
                data, c, d, own, learn, delta, most, stamp, out, count, memory, scratch
            )  # fmt: skip
        elif kind == SUMMARY:
            count = summary_point(
                data, c, d, own, learn, most, stamp, out, count, memory, scratch
            )  # fmt: skip
        elif count >= out.code.size:
            count = FULL
        else:
            leaf = number_point(data, c, d, own, learn, out, count, memory, scratch)
            if leaf < 0 or not (learn or nodes[leaf, 4] >= 0):
                return NONE, points
            code = leaf if learn else nodes[leaf, 4]
            count = put(out, count, code, out.at[count], out.value[count], stamp, delta)
        if count < 0:
            return count, points
    return (count if place > a else NONE), points


@compiled
def _kind(data: Any, start: Any, end: Any, kind: Any) -> Any:
    """Where the points are, whether they are deltas, and of a sum that only grows; or NONE."""
    place, first, last = start, start, start
    temporality, grows = np.uint8(0), np.uint8(0)
    while place < end:
        tag = data[place]
        if tag == 0x0A:  # noqa: PLR2004 - points
            _, b = inside(data, place, end, 1)
            if b < 0 or (first < last and place != last):
                return NONE, NONE, False, False
            if first == last:
                first = place
            place = last = b
            continue
        if end - place < 2:  # noqa: PLR2004 - a tag and a small number
            return NONE, NONE, False, False
        if tag == 0x10 and temporality == 0:  # noqa: PLR2004 - its temporality
            temporality = data[place + 1]
        elif tag == 0x18 and grows == 0 and kind == SUM:  # noqa: PLR2004 - whether it only grows
            grows = data[place + 1]
        else:
            return NONE, NONE, False, False
        place += 2
    told = temporality in (DELTA, CUMULATIVE)
    if told != (kind in (SUM, HISTOGRAM, EXPONENTIAL)) or grows > 1:
        return NONE, NONE, False, False
    return first, last, temporality == DELTA, grows == 1
