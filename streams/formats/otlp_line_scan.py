# ruff: noqa: C901, PLR0911, PLR0912, PLR0915, PLR2004 - kernels end where the plain case does, in many places
"""Export requests of OTLP log records of known origin, read by compiled code.

As otlp_scan.py does with metrics: resource, scope and a record's attributes are looked up as bytes,
one below the other, and what they mean is beside the last one. Only the plain case is read:
every field known, bodies that are text, nothing said twice. One record that is not plain, or
whose origin is new, leaves its request to the format's own reader, and what that finds is
learned, if both agree on every time, level and text.

Source: OpenTelemetry protocol 1.x; Protocol Buffers, "Encoding".
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.scorer.jit import compiled, kept
from streams.formats.columns import ELEMENT, Rows
from streams.formats.limits import Limits
from streams.formats.line_scan import (
    ASCII,
    END,
    LEVEL,
    LEVELS,
    SPACE,
    FoundLines,
    named,
    severities,
    texts,
    utf8,
)
from streams.formats.otlp import LEVELS as NUMBERED
from streams.formats.otlp_scan import parted
from streams.formats.protobuf_scan import SMALLEST, inside, varint
from streams.formats.tree import NONE, ROOT, SOURCES, Tree, child, whole

ORIGINS = 50_000  # known at most; then all are forgotten
PARTS = 3  # of a record's origin: resource, scope, attributes
CREDIT = 100_000  # records that may be learned before any was met again
EARNED = 0.02  # credit for one that was: whoever never repeats is not learned for long
OF_NUMBER = np.array([LEVELS.index(level) for level in NUMBERED])  # of four numbers each
TIME, NUMBER, STATED, BODY, ATTRIBUTE, DROPPED, FLAGS, TRACE, SPAN, SEEN = (
    0x09, 0x10, 0x1A, 0x2A, 0x32, 0x38, 0x45, 0x4A, 0x52, 0x59,
)  # fmt: skip


class KnownLogRecords:
    """The origins of log records."""

    def __init__(self) -> None:
        self._credit = float(CREDIT)
        self.clear()
        self._scanned([b""], Limits(), learn=False)  # loads the kernel, before records wait for it

    def clear(self) -> None:
        """Forget all."""
        self._tree = Tree()
        self._number: dict[tuple[str, str], int] = {}
        self._service: list[str] = []
        self._labels: list[str] = []

    def read(
        self, messages: Sequence[bytes], limits: Limits
    ) -> tuple[FoundLines, npt.NDArray[np.bool_]]:
        """The lines of plain requests of known origins, their times in ns; which those are."""
        if not self._service:
            return FoundLines([], [], [], [], [], []), np.zeros(len(messages), np.bool_)
        node, at, level, record, out, read = self._scanned(messages, limits, learn=False)
        self._credit = min(self._credit + EARNED * len(node), CREDIT)
        origin = self._tree.nodes[node, 4].tolist()
        service = list(map(self._service.__getitem__, origin))
        labels = list(map(self._labels.__getitem__, origin))
        found = FoundLines(
            record.tolist(), service, at.tolist(), severities(level), texts(out), labels
        )
        return found, read

    def learn(self, message: bytes, limits: Limits, rows: Rows, start: int) -> None:
        """Remember the origins of what was noted in `rows`, from `start` on, of a message."""
        count = len(rows.line_origin) - start
        if not 0 < count <= self._credit:
            return
        self._credit -= count
        if len(self._service) + count > ORIGINS or not self._tree.room(PARTS * count, len(message)):
            self.clear()
            self._tree.room(PARTS * count, len(message))
        node, at, level, _, out, _ = self._scanned([message], limits, learn=True)
        agreed = (
            at.tolist() == rows.line_at[start:]
            and severities(level) == rows.severity[start:]
            and texts(out) == rows.text[start:]
        )
        if not agreed:
            return
        origins = zip(rows.service[start:], rows.labels[start:], strict=True)
        for place, origin in zip(node.tolist(), origins, strict=True):
            number = self._number.setdefault(origin, len(self._service))
            if number == len(self._service):
                self._service.append(origin[0])
                self._labels.append(origin[1])
            self._tree.nodes[place, 4] = number

    def _scanned(self, messages: Sequence[bytes], limits: Limits, *, learn: bool) -> Any:
        size = np.fromiter(map(len, messages), np.int64, len(messages))
        end = np.cumsum(size)
        data = np.frombuffer(b"".join(messages), np.uint8)
        most = len(data) // SMALLEST + 1
        node, at, record = (np.empty(most, np.int64) for _ in range(3))
        level, out = np.empty(most, np.int8), np.empty(len(data) + most, np.uint8)
        read, tree = np.zeros(len(messages), np.bool_), self._tree
        count, used = _kernel()(
            data, end - size, end, learn, limits.elements, limits.text_bytes, ELEMENT, tree.slots,
            tree.nodes, tree.arena, tree.used, node, at, level, record, out, read,
        )  # fmt: skip
        return node[:count], at[:count], level[:count], record[:count], out[:used], read


@cache
def _kernel() -> Any:
    """Build the kernel, loading its machine code if that is there; seconds if it is not."""
    sources = SOURCES

    def scan(
        data: Any, begin: Any, end: Any, learn: Any, most: Any, longest: Any, element: Any,
        slots: Any, nodes: Any, arena: Any, used: Any, node: Any, at: Any, level: Any,
        record: Any, out: Any, read: Any,
    ) -> Any:  # fmt: skip
        # Its sources are named so that they are in the key of the cache: see tree.py
        count = free = np.int64(sources * 0)
        say = np.zeros(4, np.int64)  # time, level, text's begin and end
        for i in range(begin.size):
            was, before = free, count
            place = begin[i]
            while place >= 0 and place < end[i]:
                first, last = inside(data, place, end[i], 1)
                if first < 0:
                    place = NONE
                    break
                place = last
                head, behind, a, last = parted(data, first, last)
                mine = NONE
                if head >= 0:
                    mine = child(
                        data, head, behind, ROOT, learn, slots, nodes, arena, used
                    )  # fmt: skip
                while mine >= 0 and a < last:  # records of a scope
                    b, c = inside(data, a, last, 2)
                    a = c
                    head, behind, d, c = parted(data, b, c)
                    scope = NONE
                    if head >= 0:
                        scope = child(
                            data, head, behind, mine, learn, slots, nodes, arena, used
                        )  # fmt: skip
                    while scope >= 0 and d < c:
                        e, f = inside(data, d, c, 2)
                        if count >= node.size or count - before >= most:
                            scope = NONE
                            break
                        d = f
                        leaf = _record(data, e, f, scope, learn, slots, nodes, arena, used, say)
                        size = say[3] - say[2]
                        known = leaf >= 0 and (learn or nodes[leaf, 4] >= 0)
                        if not known or size > longest or free + size >= out.size:
                            scope = NONE
                            break
                        node[count], at[count], level[count] = leaf, say[0], say[1]
                        record[count] = i + element * (count - before + 1)
                        out[free : free + size] = data[say[2] : say[3]]
                        out[free + size] = END
                        free += size + 1
                        count += 1
                    if scope < 0:
                        mine = NONE
                if mine < 0:
                    place = NONE
            read[i] = place >= 0 and count > before
            if not read[i]:
                free, count = was, before
        return count, free

    return kept(scan)


@compiled
def _record(
    data: Any, start: Any, end: Any, parent: Any, learn: Any, slots: Any, nodes: Any, arena: Any,
    used: Any, say: Any,
) -> Any:  # fmt: skip
    """The node of a record's origin; its time in ns, level and text's place in `say`; or NONE."""
    time, observed, number, stated = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    first = last = start  # of the attributes
    say[2] = say[3] = -1
    place, done = start, 0
    while place < end:
        tag = data[place]
        if tag == ATTRIBUTE:
            if first < last and place != last:
                return NONE
            _, behind = inside(data, place, end, 6)
            if behind < 0:
                return NONE
            if first == last:
                first = place
            place = last = behind
            continue
        if done & 1 << (tag >> 3):
            return NONE
        done |= 1 << (tag >> 3)
        if tag in (TIME, SEEN):
            if end - place < 9:
                return NONE
            if tag == TIME:
                time = whole(data, place + 1)
            else:
                observed = whole(data, place + 1)
            place += 9
        elif tag == FLAGS:
            place += 5
        elif tag in (NUMBER, DROPPED):
            given, place = varint(data, place + 1, end)
            if place < 0:
                return NONE
            if tag == NUMBER:
                number = given
        elif tag == STATED:
            a, place = inside(data, place, end, 3)
            if a < 0:
                return NONE
            for i in range(a, place):
                if data[i] >= ASCII or data[i] <= SPACE:
                    return NONE
            name = named(data, a, place)
            stated = LEVEL[name] if name >= 0 else np.int64(0)
        elif tag == BODY:
            a, place = inside(data, place, end, 5)
            if a < 0:
                return NONE
            say[2], say[3] = inside(data, a, place, 1)
            if say[2] < 0 or say[3] != place or not _plain(data, say[2], place):
                return NONE
        elif tag in (TRACE, SPAN):
            a, place = inside(data, place, end, tag >> 3)
            if a < 0:
                return NONE
        else:
            return NONE
    if time == 0:
        time = observed
    if place != end or time <= 0 or say[2] < 0:
        return NONE
    if stated == 0 and 1 <= number <= 24:
        stated = OF_NUMBER[(number - 1) // 4]
    say[0], say[1] = time, stated
    return child(data, first, last, parent, learn, slots, nodes, arena, used)


@compiled
def _plain(data: Any, start: Any, end: Any) -> Any:
    """Whether a body is UTF-8, not blank, and without END."""
    every, ink, broken = np.uint8(0), False, False
    for i in range(start, end):
        byte = data[i]
        every |= byte
        ink |= SPACE < byte < 0x7F
        broken |= byte == END
    return ink and not broken and (every < ASCII or utf8(data, start, end))
