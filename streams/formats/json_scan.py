# ruff: noqa: C901, FBT003, PLR0911, PLR0912, PLR2004 - kernels end where the plain case does, in many places
"""Log lines in JSON whose origin was met before, read by compiled code, a batch at once.

Where a line comes from (its service, its labels) stands in the same bytes again and again; the
fields that say so are looked up as bytes, one below the other, and what they mean is beside the
last one. Only the plain case is read: one object, a text in a string, one time, no name or
level with escapes, nothing nested but labels. Anything else is left to streams/formats/json.py,
and what that finds is learned, if both agree on time, level and text.

Source: RFC 8259.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.scorer.jit import compiled, kept, lean
from streams.formats.epoch import LATEST, SECONDS
from streams.formats.json_string import ESCAPED, span, string
from streams.formats.known import instant
from streams.formats.limits import Limits
from streams.formats.line_scan import ASCII, END, LEVEL, FoundLines, named, severities, texts, utf8
from streams.formats.tree import NONE, ROOT, SOURCES, Tree, child

ORIGINS = 50_000  # known at most; then all are forgotten
CREDIT = 20_000  # lines that may be learned before any was met again
EARNED = 0.02  # credit for one that was: whoever never repeats is not learned for long
FIELDS = 64  # of one object at most
ORIGIN, TEXT, TIME, STATED, NEVER, PASSED = range(6)  # what a field is for; PASSED over
QUOTE, ESCAPE, OPEN, CLOSE, LIST, LISTED, COLON, COMMA = 34, 92, 123, 125, 91, 93, 58, 44
MINUS, PLUS, POINT, ZERO, NINE = 45, 43, 46, 48, 57
WORDS = tuple(np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null"))


class KnownLines:
    """The origins of one kind of lines; `fields` says what a top-level field is for."""

    def __init__(self, fields: dict[str, int]) -> None:
        names = [name.encode() for name in fields]
        self._names = np.frombuffer(b"".join(names), np.uint8)
        self._ends = np.cumsum([len(name) for name in names])
        self._roles = np.array(list(fields.values()))
        self._credit = float(CREDIT)
        self.clear()
        self._scanned([b""], Limits(), learn=False)  # loads the kernel, before records wait for it

    def clear(self) -> None:
        """Forget all."""
        self._tree = Tree()
        self._service: list[str] = []
        self._labels: list[str] = []

    def __len__(self) -> int:
        """How many origins are known."""
        return len(self._service)

    @property
    def learning(self) -> bool:
        """Whether anything more is to be learned for now."""
        return self._credit >= 1

    def read(
        self, values: Sequence[bytes], among: npt.NDArray[np.bool_], limits: Limits
    ) -> FoundLines:
        """The lines of plain records of known origin, `among` which they may be."""
        if not self._service or not among.any():
            return FoundLines([], [], [], [], [], [])
        if not among.all():
            values = [
                value if new else b"" for value, new in zip(values, among.tolist(), strict=True)
            ]
        node, at, level, out = self._scanned(values, limits, learn=False)
        which = np.flatnonzero(node >= 0)
        self._credit = min(self._credit + EARNED * len(which), CREDIT)
        origin = self._tree.nodes[node[which], 4].tolist()
        return FoundLines(
            which.tolist(),
            list(map(self._service.__getitem__, origin)),
            at[which].tolist(),
            severities(level[which]),
            texts(out),
            list(map(self._labels.__getitem__, origin)),
        )

    def learn(
        self, record: bytes, limits: Limits, said: tuple[int, str, str], origin: tuple[str, str]
    ) -> None:
        """Remember where a record's line comes from, if it is plain and we agree.

        `said` is its time in epoch ms, level and text; `origin` its service and labels.
        """
        self._credit -= 1
        if len(self._service) >= ORIGINS or not self._tree.room(FIELDS + 1, len(record)):
            self.clear()
            self._tree.room(FIELDS + 1, len(record))
        node, at, level, out = self._scanned([record], limits, learn=True)
        if node[0] < 0 or (int(at[0]), *severities(level), *texts(out)) != said:
            return
        self._tree.nodes[node[0], 4] = len(self._service)
        self._service.append(origin[0])
        self._labels.append(origin[1])

    def _scanned(self, values: Sequence[bytes], limits: Limits, *, learn: bool) -> Any:
        size = np.fromiter(map(len, values), np.int64, len(values))
        end = np.cumsum(size)
        data = np.frombuffer(b"".join(values), np.uint8)
        node, at = np.full(len(values), NONE), np.zeros(len(values), np.int64)
        level, out = np.zeros(len(values), np.int8), np.empty(len(data) + len(values), np.uint8)
        tree = self._tree
        used = _kernel()(
            data, end - size, end, learn, limits.record_bytes, limits.text_bytes, self._names,
            self._ends, self._roles, tree.slots, tree.nodes, tree.arena, tree.used, node, at, level,
            out,
        )  # fmt: skip
        return node, at, level, out[:used]


@cache
def _kernel() -> Any:
    """Build the kernel, loading its machine code if that is there; seconds if it is not."""
    sources = SOURCES

    def scan(
        data: Any, begin: Any, end: Any, learn: Any, longest: Any, longest_text: Any, names: Any,
        ends: Any, roles: Any, slots: Any, nodes: Any, arena: Any, used: Any, node: Any, at: Any,
        level: Any, out: Any,
    ) -> Any:  # fmt: skip
        # Its sources are named so that they are in the key of the cache: see tree.py
        free = np.int64(sources * 0)
        say = np.zeros(4, np.int64)  # text's begin and end, time, level
        hints = np.zeros(FIELDS, np.int64)  # which name the field in this place had before
        for i in range(begin.size):
            if end[i] - begin[i] > longest:
                continue
            leaf = _object(
                data,
                begin[i],
                end[i],
                learn,
                names,
                ends,
                roles,
                hints,
                slots,
                nodes,
                arena,
                used,
                say,
            )
            if leaf < 0 or not (learn or nodes[leaf, 4] >= 0) or say[1] - say[0] > longest_text:
                continue
            size = _copied(data, say[0], say[1], out, free)
            out[free + size] = END
            free += size + 1
            node[i], at[i], level[i] = leaf, say[2], say[3]
        return free

    return kept(scan)


@compiled
def _object(
    data: Any, start: Any, stop: Any, learn: Any, names: Any, ends: Any, roles: Any, hints: Any,
    slots: Any, nodes: Any, arena: Any, used: Any, say: Any,
) -> Any:  # fmt: skip
    """The node of a line's origin, its text's place, time and level in `say`; or NONE."""
    every = np.uint8(0)
    for k in range(np.uint64(start), np.uint64(stop)):
        every |= data[np.uint64(k)]
    if every >= ASCII and not utf8(data, start, stop):
        return NONE
    place = _blank(data, start, stop)
    if place >= stop or data[place] != OPEN:
        return NONE
    leaf = child(data, place, place, ROOT, learn, slots, nodes, arena, used)
    say[0], say[2], say[3] = -1, -1, -1
    fields = 0
    place = _blank(data, place + 1, stop)
    while leaf >= 0 and place < stop and data[place] == QUOTE:
        name = place
        behind = string(data, place, stop, False)
        if behind < 0:
            return NONE
        if fields == FIELDS:
            return NONE
        role = _role(data, place + 1, behind - 1, names, ends, roles, hints, fields)
        fields += 1
        place = _blank(data, behind, stop)
        if place >= stop or data[place] != COLON:
            return NONE
        place = _blank(data, place + 1, stop)
        if place >= stop:
            return NONE
        if role == ORIGIN:
            behind = span(data, place, stop)
            if behind < 0:
                return NONE
            leaf = child(data, name, behind, leaf, learn, slots, nodes, arena, used)
        elif role == TEXT:
            behind = string(data, place, stop, True)
            if behind < 0 or say[0] >= 0:
                return NONE
            say[0], say[1] = place + 1, behind - 1
        elif role == STATED:
            behind = string(data, place, stop, False)
            if behind < 0 or say[3] >= 0:
                return NONE
            say[3] = _level(data, place + 1, behind - 1)
            if say[3] < 0:
                return NONE
        elif role == TIME:
            behind, moment = instant(data, place, stop)
            if behind < 0 or say[2] >= 0 or not SECONDS <= moment <= LATEST:
                return NONE
            say[2] = moment
        elif role == PASSED:
            behind = _passed(data, place, stop)
            if behind < 0:
                return NONE
        else:
            return NONE
        place = _blank(data, behind, stop)
        if place >= stop:
            return NONE
        if data[place] == CLOSE:
            whole = say[0] >= 0 and say[2] >= 0 and _blank(data, place + 1, stop) == stop
            say[3] = max(say[3], 0)
            return leaf if whole else NONE
        if data[place] != COMMA:
            return NONE
        place = _blank(data, place + 1, stop)
    return NONE


@lean
def _blank(data: Any, place: Any, stop: Any) -> Any:
    """Where white space ends."""
    while place < stop and data[np.uint64(place)] <= 32:
        if data[np.uint64(place)] not in (32, 10, 13, 9):
            break
        place += 1
    return place


@lean
def _passed(data: Any, place: Any, stop: Any) -> Any:
    """Behind a plain value that nobody asks for: a string, a number, true, false or null."""
    byte = data[place]
    if byte == QUOTE:
        return string(data, place, stop, True)
    for word in WORDS:
        if place + word.size <= stop:
            k = 0
            while k < word.size and data[place + k] == word[k]:
                k += 1
            if k == word.size:
                return place + k
    i = place + 1 if byte == MINUS else place
    first = i
    i = _digits(data, i, stop)
    if i == first or i - first > 15 or (data[first] == ZERO and i > first + 1):
        return NONE
    if i < stop and data[i] == POINT:
        first = i + 1
        i = _digits(data, first, stop)
        if i == first:
            return NONE
    return i  # with an exponent the next byte is none that may follow


@lean
def _digits(data: Any, place: Any, stop: Any) -> Any:
    while place < stop and ZERO <= data[place] <= NINE:
        place += 1
    return place


@lean
def _role(
    data: Any, start: Any, end: Any, names: Any, ends: Any, roles: Any, hints: Any, field: Any
) -> Any:
    """What the field of this name is for; tried first as what stood in its place before."""
    if _is(data, start, end, names, ends, hints[field]):
        return roles[hints[field]]
    for n in range(ends.size):
        if _is(data, start, end, names, ends, n):
            hints[field] = n
            return roles[n]
    return PASSED


@lean
def _is(data: Any, start: Any, end: Any, names: Any, ends: Any, n: Any) -> Any:
    first = ends[n - 1] if n else np.int64(0)
    size = ends[n] - first
    if size != end - start:
        return False
    for k in range(size):  # noqa: SIM110 - what numba compiles
        if data[np.uint64(start + k)] != names[np.uint64(first + k)]:
            return False
    return True


@lean
def _level(data: Any, start: Any, end: Any) -> Any:
    """The level of a severity's name, 0 for an unknown one, NONE for one beyond ASCII."""
    for i in range(start, end):
        if data[i] >= ASCII:
            return NONE
    while start < end and data[start] == 32:
        start += 1
    while start < end and data[end - 1] == 32:
        end -= 1
    name = named(data, start, end)
    return LEVEL[name] if name >= 0 else np.int64(0)


@lean
def _copied(data: Any, start: Any, end: Any, out: Any, free: Any) -> Any:
    """A text without its escapes, written to `out`; its size."""
    place = free
    for i in range(np.uint64(start), np.uint64(end)):
        out[np.uint64(place)] = data[np.uint64(i)]
        place += 1
    size = end - start
    escaped = False
    for i in range(np.uint64(start), np.uint64(end)):
        escaped |= data[np.uint64(i)] == ESCAPE
    if not escaped:
        return size
    i, place = start, free
    while i < end:
        byte = data[np.uint64(i)]
        if byte == ESCAPE:
            i += 1
            byte = ESCAPED[data[np.uint64(i)]]
        out[np.uint64(place)] = byte
        place += 1
        i += 1
    return place - free
