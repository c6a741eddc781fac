# ruff: noqa: C901, PLR0911, PLR0912 - kernels end where the plain case does, in many places
"""Export requests of OTLP metrics whose series were met before, read by compiled code.

Most of a request repeats what the one before said: of a series only time and value are new.
What names a series (a resource, a scope, a metric's head, a point's attributes) is looked up
as bytes in a tree, part by part, and at its leaf is the series' number.

Only the plain case is read here: every field known, in the order in which encoders write
them, every series met before. Anything else leaves the whole record to the format's own
reader, and what that finds is learned, if both agree on every time and value.

Source: OpenTelemetry protocol 1.x; Protocol Buffers, "Encoding".
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.scorer.jit import compiled, inlined, kept
from streams.formats.columns import ELEMENT, Scanned
from streams.formats.epoch import LATEST
from streams.formats.protobuf_scan import ASCII, SMALLEST, inside
from streams.formats.series import SeriesIndex
from streams.formats.tree import ARENA, NODES, NONE, ROOT, SOURCES, Tree, child, whole

PARTS = 5  # of a sample at most: resource, scope, metric, that it only grows, attributes
GAUGE, SUM = 5, 7  # fields of a metric
CUMULATIVE = 2


class KnownPoints:
    """The tree of what names series in export requests."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all: numbers of series that were learned are void."""
        self._tree = Tree()

    def read(self, messages: Sequence[bytes], most: int) -> tuple[Scanned, npt.NDArray[np.bool_]]:
        """Samples of the messages all of whose series are known, and which those are.

        A message with over `most` samples is not read.
        """
        found, read = self._scanned(messages, most, learn=False)
        return found._replace(code=self._tree.nodes[found.code, 4]), read

    def learn(
        self, message: bytes, code: Sequence[int], at: Sequence[Any], value: Sequence[float]
    ) -> None:
        """Remember the series that were found in a message, if it is plain and we agree."""
        parts = PARTS * len(code)
        if not 0 < parts < NODES or len(message) > ARENA:
            return
        self._tree.room(parts, len(message))
        found, _ = self._scanned([message], len(code), learn=True)
        agreed = (
            len(found.code) == len(code) > 0
            and found.at.tolist() == list(at)
            and found.value.tobytes() == np.array(value, np.float64).tobytes()
        )
        if agreed:
            self._tree.nodes[found.code, 4] = code

    def _scanned(
        self, messages: Sequence[bytes], most: int, *, learn: bool
    ) -> tuple[Scanned, npt.NDArray[np.bool_]]:
        """Samples with their nodes in the place of their series, and which messages were read."""
        size = np.fromiter(map(len, messages), np.int64, len(messages))
        end = np.cumsum(size)
        data = np.frombuffer(b"".join(messages), np.uint8)
        room = len(data) // SMALLEST + 1
        node, at, origin = (np.empty(room, np.int64) for _ in range(3))
        value = np.empty(room)
        read = np.zeros(len(messages), np.bool_)
        tree = self._tree
        n = _kernel()(
            data, end - size, end, learn, most, ELEMENT, tree.slots, tree.nodes, tree.arena,
            tree.used, node, at, value, value.view(np.int64), origin, read,
        )  # fmt: skip
        return Scanned(node[:n], at[:n], value[:n], origin[:n]), read


def known_points(series: SeriesIndex, service: str) -> KnownPoints:
    """What is known of export requests, of topics with the same service of their own."""
    return series.known(("otlp points", service), KnownPoints)


@cache
def _kernel() -> Any:
    """Build the kernel, loading its machine code if that is there; seconds if it is not."""
    sources = SOURCES

    def scan(
        data: Any, begin: Any, end: Any, learn: Any, most: Any, element: Any, slots: Any,
        nodes: Any, arena: Any, used: Any, node: Any, at: Any, value: Any, bits: Any, origin: Any,
        read: Any,
    ) -> Any:  # fmt: skip
        # Its sources are named so that they are in the key of the cache: see tree.py
        count = np.int64(sources * 0)
        for i in range(begin.size):
            before = count
            count = _export(
                data, begin[i], end[i], learn, slots, nodes, arena, used, count, node, at, value,
                bits,
            )  # fmt: skip
            read[i] = before < count <= before + most
            if read[i]:
                for k in range(before, count):
                    origin[k] = i + element * (k - before + 1)
            else:
                count = before
        return count

    return kept(scan)


@compiled
def _export(
    data: Any, start: Any, end: Any, learn: Any, slots: Any, nodes: Any, arena: Any, used: Any,
    count: Any, node: Any, at: Any, value: Any, bits: Any,
) -> Any:  # fmt: skip
    """An ExportMetricsServiceRequest of gauges and cumulative sums; or NONE."""
    place = start
    while place < end:
        first, last = inside(data, place, end, 1)
        if first < 0:
            return NONE
        place = last
        mine, inner = head(data, first, last, ROOT, learn, slots, nodes, arena, used)
        while mine >= 0 and inner < last and data[inner] == 0x12:  # noqa: PLR2004 - scope metrics
            a, b = inside(data, inner, last, 2)
            if a < 0:
                return NONE
            inner = b
            scope, metric = head(data, a, b, mine, learn, slots, nodes, arena, used)
            while scope >= 0 and metric < b and data[metric] == 0x12:  # noqa: PLR2004 - metrics
                c, d = inside(data, metric, b, 2)
                if c < 0:
                    return NONE
                metric = d
                count = _metric(
                    data, c, d, scope, learn, slots, nodes, arena, used, count, node, at,
                    value, bits,
                )  # fmt: skip
                if count < 0:
                    return NONE
            if scope < 0 or not url(data, metric, b):
                return NONE
        if mine < 0 or not url(data, inner, last):
            return NONE
    return count


@compiled
def head(
    data: Any, start: Any, end: Any, parent: Any, learn: Any, slots: Any, nodes: Any, arena: Any,
    used: Any,
) -> Any:  # fmt: skip
    """The node of a message's first field, a resource or a scope that may be missing."""
    behind = start
    if start < end and data[start] == 0x0A:  # noqa: PLR2004 - field 1, delimited
        a, b = inside(data, start, end, 1)
        if a < 0:
            return NONE, start
        behind = b
    return child(data, start, behind, parent, learn, slots, nodes, arena, used), behind


@compiled
def url(data: Any, start: Any, end: Any) -> Any:
    """Whether what is left is nothing, or the URL of a schema."""
    if start == end:
        return True
    a, b = inside(data, start, end, 3)
    if a < 0 or b != end:
        return False
    for i in range(a, b):  # noqa: SIM110 - what numba compiles
        if data[i] >= ASCII:
            return False
    return True


@compiled
def _metric(
    data: Any, start: Any, end: Any, parent: Any, learn: Any, slots: Any, nodes: Any, arena: Any,
    used: Any, count: Any, node: Any, at: Any, value: Any, bits: Any,
) -> Any:  # fmt: skip
    """A metric: name, description and unit, then its data; or NONE."""
    place = start
    while place < end and data[place] in (0x0A, 0x12, 0x1A):
        a, b = inside(data, place, end, data[place] >> 3)
        if a < 0:
            return NONE
        place = b
    if place >= end or data[place] not in (GAUGE << 3 | 2, SUM << 3 | 2):
        return NONE
    a, b = inside(data, place, end, data[place] >> 3)
    if a < 0 or b != end:
        return NONE
    points = a  # behind a sum's points stand what kind of sum it is, which names the series too
    while points < b and data[points] == 0x0A:  # noqa: PLR2004 - data points
        c, d = inside(data, points, b, 1)
        if c < 0:
            return NONE
        points = d
    monotonic = np.int64(0)
    if data[place] == (SUM << 3 | 2):
        if b - points < 2 or data[points] != 0x10 or data[points + 1] != CUMULATIVE:  # noqa: PLR2004
            return NONE
        points += 2
        if b - points == 2 and data[points] == 0x18 and data[points + 1] == 1:  # noqa: PLR2004
            monotonic = np.int64(1)
            points += 2
    if points != b:
        return NONE
    # The head's last byte but one is the data's tag, so that gauge and sum are told apart
    own = child(data, start, place + 1, parent, learn, slots, nodes, arena, used)
    if own >= 0 and monotonic:
        own = child(data, b - 2, b, own, learn, slots, nodes, arena, used)
    if own < 0:
        return NONE
    place = a
    while place < b and data[place] == 0x0A:  # noqa: PLR2004 - data points
        c, d = inside(data, place, b, 1)
        place = d
        if count >= node.size:
            return NONE
        leaf = _point(data, c, d, own, learn, slots, nodes, arena, used, count, at, value, bits)
        if leaf < 0 or not (learn or nodes[leaf, 4] >= 0):
            return NONE
        node[count] = leaf
        count += 1
    return count if place > a else NONE


@inlined
def _point(
    data: Any, start: Any, end: Any, parent: Any, learn: Any, slots: Any, nodes: Any, arena: Any,
    used: Any, count: Any, at: Any, value: Any, bits: Any,
) -> Any:  # fmt: skip
    """A number's node, its time and value noted: start, time, double or integer, attributes."""
    place = start
    if end - place >= 9 and data[place] == 0x11:  # noqa: PLR2004 - when it began to count
        place += 9
    if end - place < 18 or data[place] != 0x19:  # noqa: PLR2004 - time and value
        return NONE
    moment = whole(data, place + 1) // 1_000_000
    place += 9
    if data[place] == 0x21:  # noqa: PLR2004 - a double
        bits[count] = whole(data, place + 1)
    elif data[place] == 0x31:  # noqa: PLR2004 - an integer
        value[count] = np.float64(whole(data, place + 1))
    else:
        return NONE
    place += 9
    if not 0 < moment <= LATEST:
        return NONE
    at[count] = moment
    attributes = place
    while place < end:
        a, b = inside(data, place, end, 7)
        if a < 0:
            return NONE
        place = b
    return child(data, attributes, end, parent, learn, slots, nodes, arena, used)
