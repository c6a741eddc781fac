# ruff: noqa: C901, PLR0911 - kernels end where the plain case does, in many places
"""Remote write's series that were met before, read by compiled code.

Of a series that comes again only times and values are new. What names it is looked up as bytes
in a tree, and beside its node is the series' number: in version 1 its labels as they came; in
version 2 the numbers of its symbols' nodes, for which place a symbol has in the table is
different in every request.

Only plain series are read here: every field known, in the order in which encoders write them,
nothing but samples. The others of a request are left to the format's own reader, in a message
of their own; of what that finds the plain series are learned, if both agree on every time and
value. A request whose order is another is left to it whole.

Source: Prometheus remote write specifications 1.0 and 2.0; Protocol Buffers, "Encoding".
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agents.scorer.jit import compiled, inlined, kept
from streams.formats.columns import ELEMENT, Rows, Scanned
from streams.formats.epoch import MILLIS, SECONDS
from streams.formats.protobuf_scan import ASCII, SMALLEST, inside, varint
from streams.formats.series import SeriesIndex
from streams.formats.tree import ARENA, NODES, NONE, ROOT, SOURCES, Tree, child, whole

SYMBOL = b"\x22"  # stands before one, and may stand elsewhere
SYMBOLS = 64  # that are learned of a request for each of its series, at most
REFS = 256  # of a series in version 2, at most; one with more is read slowly
ALL, SOME, NOTHING = 0, 1, 2  # of a message that was read
ANY = 1 << 60  # samples of a message


class Left(NamedTuple):
    """What the format's own reader has to read of a message."""

    message: bytes
    elements: npt.NDArray[np.int64] | None  # which of the request's series it has; None: all
    read: int = 0  # samples of the request that are read already


class Found(NamedTuple):
    """What a scan found: samples, and series that it left."""

    samples: Scanned  # with their nodes in the place of their series
    fate: npt.NDArray[np.int8]  # of the messages
    table: npt.NDArray[np.int64]  # bytes of them that are symbols
    series: npt.NDArray[np.int64]  # [left, 4] message, element, and where its field is in it


class KnownSeries:
    """The tree of what names series in requests of one version."""

    def __init__(self, version: int) -> None:
        self._version = version
        self.clear()

    def clear(self) -> None:
        """Forget all: numbers of series that were learned are void."""
        self._tree = Tree()

    def read(self, messages: Sequence[bytes], most: int) -> tuple[Scanned, dict[int, Left]]:
        """Samples of known series, and by message's place what else is in it.

        A message with over `most` samples is not read.
        """
        found = self._scanned(messages, most, learn=False)
        left = {i: Left(messages[i], None) for i in np.flatnonzero(found.fate == NOTHING).tolist()}
        partly = np.flatnonzero(found.fate == SOME)
        if len(partly):
            of = found.series[:, 0]
            bounds = np.searchsorted(of, [partly, partly + 1]).tolist()
            read = np.bincount(found.samples.origin % ELEMENT, minlength=len(messages))
            for i, first, last in zip(partly.tolist(), *bounds, strict=True):
                message, rest = messages[i], found.series[first:last]
                fields = (message[a:b] for a, b in rest[:, 2:].tolist())
                own = b"".join((message[: int(found.table[i])], *fields))
                left[i] = Left(own, rest[:, 1], int(read[i]))
        code = self._tree.nodes[found.samples.code, 4]
        return found.samples._replace(code=code), left

    def learn(self, left: Left, rows: Rows, start: int) -> None:
        """Remember what was noted in `rows`, from `start` on, of the plain series of a message.

        Of each that was noted with exactly the samples that we see in it.
        """
        theirs = np.array(rows.origin[start:], np.int64) // ELEMENT - 1
        parts = series = len(np.unique(theirs))
        if self._version != 1:
            parts += min(SYMBOLS * series, left.message.count(SYMBOL))
        if not 0 < parts < NODES or len(left.message) > ARENA:
            return
        self._tree.room(parts, len(left.message))
        ours = self._scanned([left.message], ANY, learn=True).samples
        element = ours.origin // ELEMENT - 1
        if left.elements is not None:
            element = left.elements[element]
        both, its = np.isin(element, theirs), np.isin(theirs, element)
        agreed = (
            np.array_equal(element[both], theirs[its])
            and np.array_equal(ours.at[both], np.array(rows.at[start:], np.int64)[its])
            and np.array_equal(
                ours.value[both].view(np.int64),
                np.array(rows.value[start:], np.float64)[its].view(np.int64),
            )
        )
        if agreed:
            self._tree.nodes[ours.code[both], 4] = np.array(rows.code[start:], np.int64)[its]

    def _scanned(self, messages: Sequence[bytes], most: int, *, learn: bool) -> Found:
        size = np.fromiter(map(len, messages), np.int64, len(messages))
        end = np.cumsum(size)
        data = np.frombuffer(b"".join(messages), np.uint8)
        room = len(data) // SMALLEST + 1
        node, at, origin = (np.empty(room, np.int64) for _ in range(3))
        value, series = np.empty(room), np.empty((room, 4), np.int64)
        fate, table = np.empty(len(messages), np.int8), np.empty(len(messages), np.int64)
        tables = int(size.max(initial=0)) // 2 + 1 if self._version == 2 else 1  # noqa: PLR2004
        symbol, key = np.empty(tables, np.int64), np.empty(REFS, np.int32)
        tree = self._tree
        n, gone = _kernel()(
            self._version, data, end - size, end, learn, most, ELEMENT, tree.slots, tree.nodes,
            tree.arena, tree.used, symbol, key, key.view(np.uint8), node, at,
            value.view(np.int64), origin, fate, table, series,
        )  # fmt: skip
        samples = Scanned(node[:n], at[:n], value[:n], origin[:n])
        return Found(samples, fate, table, series[:gone])


def known_series(series: SeriesIndex, version: int, service: str) -> KnownSeries:
    """What is known of requests of a version, of topics with the same service of their own."""
    return series.known(("write", version, service), lambda: KnownSeries(version))


@cache
def _kernel() -> Any:
    """Build the kernel, loading its machine code if that is there; seconds if it is not."""
    sources = SOURCES

    def scan(
        version: Any, data: Any, begin: Any, end: Any, learn: Any, most: Any, element: Any,
        slots: Any, nodes: Any, arena: Any, used: Any, symbol: Any, key: Any, packed: Any,
        node: Any, at: Any, bits: Any, origin: Any, fate: Any, table: Any, series: Any,
    ) -> Any:  # fmt: skip
        # Its sources are named so that they are in the key of the cache: see tree.py
        count = gone = np.int64(sources * 0)
        field = 1 if version == 1 else 5
        for i in range(begin.size):
            before, had = count, gone
            start, parent, symbols, new = begin[i], ROOT, np.int64(0), False
            if version != 1:
                start, symbols, new = _symbols(
                    data, begin[i], end[i], learn, slots, nodes, arena, used, symbol
                )
                parent = symbol[0]
            table[i] = start - begin[i]
            place, number = start, np.int64(0)
            while start >= 0 and place < end[i]:
                first, last = inside(data, place, end[i], field)
                number += 1
                if first < 0 or gone >= series.shape[0]:
                    start = NONE
                    break
                if version == 1:
                    leaf, inner = _labels(data, first, last, learn, slots, nodes, arena, used)
                else:
                    leaf, inner = _refs(
                        data, first, last, parent, symbol, symbols, key, packed, learn, slots,
                        nodes, arena, used,
                    )  # fmt: skip
                now = NONE
                if leaf >= 0 and (learn or nodes[leaf, 4] >= 0):
                    now = _samples(
                        data, inner, last, version, leaf, i + element * number, count, node, at,
                        bits, origin,
                    )  # fmt: skip
                if now < 0:
                    series[gone, 0], series[gone, 1] = i, number - 1
                    series[gone, 2], series[gone, 3] = place - begin[i], last - begin[i]
                    gone += 1
                else:
                    count = now
                place = last
            # Symbols that nobody has met may be no text, which costs the whole request
            sound = learn or gone > had or not new
            if start < 0 or not before < count <= before + most or not sound:
                fate[i], count, gone = NOTHING, before, had
            else:
                fate[i] = SOME if gone > had else ALL
        return count, gone

    return kept(scan)


@compiled
def _symbols(
    data: Any, start: Any, end: Any, learn: Any, slots: Any, nodes: Any, arena: Any, used: Any,
    symbol: Any,
) -> Any:  # fmt: skip
    """Where a request's symbols end, or NONE; how many there are, and whether one is new."""
    count, new = np.int64(0), False
    place = start
    while place < end and data[place] == 0x22:  # noqa: PLR2004 - field 4, delimited
        a, b = inside(data, place, end, 4)
        if a < 0 or (count == 0 and a < b):  # the first one is empty
            return NONE, count, new
        symbol[count] = child(data, a, b, ROOT, learn, slots, nodes, arena, used)
        new |= symbol[count] < 0
        count += 1
        place = b
    if count == 0 or symbol[0] < 0:
        return NONE, count, new
    return place, count, new


@inlined
def _labels(
    data: Any, start: Any, end: Any, learn: Any, slots: Any, nodes: Any, arena: Any, used: Any
) -> Any:
    """The node of a series of version 1, or NONE; and where its labels end."""
    place = start
    while place < end and data[place] == 0x0A:  # noqa: PLR2004 - field 1, delimited
        a, b = inside(data, place, end, 1)
        if a < 0:
            return NONE, place
        place = b
    return child(data, start, place, ROOT, learn, slots, nodes, arena, used), place


@inlined
def _refs(
    data: Any, start: Any, end: Any, parent: Any, symbol: Any, symbols: Any, key: Any, packed: Any,
    learn: Any, slots: Any, nodes: Any, arena: Any, used: Any,
) -> Any:  # fmt: skip
    """The node of a series of version 2, or NONE; and where its labels end.

    It is below the empty symbol, which no symbol is.
    """
    place, last = inside(data, start, end, 1)
    if place < 0:
        return NONE, start
    size = np.int64(0)
    while place < last:
        ref = np.int64(data[place])
        place += 1
        if ref >= ASCII:
            ref, place = varint(data, place - 1, last)
        if place < 0 or ref >= symbols or size >= key.size or symbol[ref] < 0:
            return NONE, start
        key[size] = symbol[ref]
        size += 1
    if size == 0 or size % 2:
        return NONE, start
    return child(packed, np.int64(0), 4 * size, parent, learn, slots, nodes, arena, used), last


@inlined
def _samples(
    data: Any, start: Any, end: Any, version: Any, leaf: Any, stamp: Any, count: Any, node: Any,
    at: Any, bits: Any, origin: Any,
) -> Any:  # fmt: skip
    """Note the samples of a series; how many there are in all then, or NONE."""
    place, before = start, count
    while place < end and data[place] == 0x12:  # noqa: PLR2004 - field 2, delimited
        a, b = inside(data, place, end, 2)
        if a < 0 or count >= node.size:
            return NONE
        place = b
        number = np.int64(0)  # a value of zero is left out
        if b - a > 9 and data[a] == 0x09:  # noqa: PLR2004 - a double
            number = whole(data, a + 1)
            a += 9
        if b - a < 2 or data[a] != 0x10:  # noqa: PLR2004 - the time
            return NONE
        moment, behind = varint(data, a + 1, b)
        if behind < 0 or not SECONDS <= moment < MILLIS:
            return NONE
        if version != 1 and behind < b and data[behind] == 0x18:  # noqa: PLR2004 - when it began
            _, behind = varint(data, behind + 1, b)
        if behind != b:
            return NONE
        node[count], at[count], bits[count], origin[count] = leaf, moment, number, stamp
        count += 1
    if version != 1 and place < end and data[place] == 0x2A:  # noqa: PLR2004 - what it is: field 5
        a, b = inside(data, place, end, 5)
        if a < 0:
            return NONE
        while 0 <= a < b and data[a] in (0x08, 0x18, 0x20):  # type, help, unit
            _, a = varint(data, a + 1, b)
        if a != b:
            return NONE
        place = b
    if version != 1 and place < end and data[place] == 0x30:  # noqa: PLR2004 - when it was created
        _, place = varint(data, place + 1, end)
    return count if place == end and count > before else NONE
