"""Entries: what the lines of a frame say, column by column, traces joined.

The last line of each source is held back, since the next frame may go on with it. Sources in
which no line can belong to another, nearly all, are joined as arrays; the rest line by line.
"""

import hashlib
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from agents.logs.multiline import (
    Joiner,
    Opened,
    Part,
    begun,
    continuing,
    entry_of,
    gist,
)
from schemas.frames import CodedLines

LEVELS = ("", "trace", "debug", "info", "notice", "warning", "error", "critical")
RANK = {level: rank for rank, level in enumerate(LEVELS)}
WARNING, ERROR, CRITICAL = RANK["warning"], RANK["error"], RANK["critical"]
HELD = 4_000_000  # characters held back; above it the oldest entries end
SOURCES = 4_096  # entries held back; above it the oldest end
DIGITS = 16  # of a source before its service
NARROW = 65_536
LATE_LINES = {"python", "go"}  # traces that go on with lines that look like any other


class Entries(NamedTuple):
    """What was said, in the order in which it ended: `services[service[i]]` said entry i."""

    services: list[str]
    service: npt.NDArray[np.int32]
    at: npt.NDArray[np.int64]  # epoch milliseconds, of the first line
    rank: npt.NDArray[np.int8]  # in LEVELS
    text: list[str]  # with line ends where it was several lines

    def __len__(self) -> int:
        """How many."""
        return len(self.text)

    def gists(self) -> list[str]:
        """Each as one line to mine."""
        if "\n" not in "".join(self.text):
            return self.text
        return [gist(text) if "\n" in text else text for text in self.text]


class FrameJoiner:
    """Joins the lines of frames."""

    def __init__(self) -> None:
        self._joiner = Joiner()

    def feed(self, lines: CodedLines, before: int) -> Entries:
        """The entries that a frame ended, and those that were last added to before `before`."""
        if not len(lines):
            return _appended(Entries([], *_none(), []), self._flushed(before))
        group = _Groups(lines)
        slow = self._slow(group, lines.text)
        rows = _Rows(lines)
        self._fast(rows, group, slow)
        self._line_by_line(rows, group, slow)
        return _appended(rows.entries(), self._flushed(before))

    def dump(self) -> bytes:
        """What is held back, masked."""
        return self._joiner.dump()

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Undo `dump`; Rejected when the bytes are damaged or of another version."""
        joiner = cls()
        joiner._joiner = Joiner.load(data)
        return joiner

    def _slow(self, group: "_Groups", text: list[str]) -> npt.NDArray[np.bool_]:
        """Which sources have a line that may belong to another."""
        opened = self._joiner.open
        slow = np.array(
            [name in opened and opened[name].trace in LATE_LINES for name in group.names], np.bool_
        )
        if places := continuing(text):
            slow[group.source()[places]] = True
        return slow

    def _fast(self, rows: "_Rows", group: "_Groups", slow: npt.NDArray[np.bool_]) -> None:
        """Every line ends the one before of its source."""
        order, first = group.order, group.first
        before = np.empty(len(order), np.int64)
        before[order[1:]] = order[:-1]
        begins = order[first]
        before[begins] = -1
        if slow.any():
            before[slow[group.source()]] = -1
        rows.ended = before
        opened = self._joiner.open
        ends = order[np.append(first[1:], len(order)) - 1]
        every = zip(group.names, begins.tolist(), ends.tolist(), slow.tolist(), strict=True)
        for name, begin, end, apart in every:
            if apart:
                continue
            if name in opened:
                rows.end(begin, opened.pop(name))
            opened[name] = begun(rows.part(end, name))

    def _line_by_line(self, rows: "_Rows", group: "_Groups", slow: npt.NDArray[np.bool_]) -> None:
        if not slow.any():
            return
        source = group.source()
        for place in np.flatnonzero(slow[source]).tolist():
            part = rows.part(place, group.names[source[place]])
            if ended := self._joiner.add(part):
                rows.end(place, ended)

    def _flushed(self, before: int) -> list[Opened]:
        opened = self._joiner.open
        over = [name for name, entry in opened.items() if entry.last < before]
        ended = [opened.pop(name) for name in over]
        held = sum(entry.size for entry in opened.values())
        while held > HELD or len(opened) > SOURCES:
            oldest = opened.pop(next(iter(opened)))
            held -= oldest.size
            ended.append(oldest)
        return ended


class _Rows:
    """A frame's rows, and which entry each has ended: a row of the frame, or one held before."""

    def __init__(self, lines: CodedLines) -> None:
        self._lines = lines
        self._held: list[Opened] = []
        self.ended = np.full(len(lines), -1, np.int64)  # -1 for none; above the rows, the held

    def part(self, place: int, source: str) -> Part:
        lines = self._lines
        severity = lines.severities[lines.severity[place]]
        return Part(source, int(lines.at[place]), severity, lines.text[place])

    def end(self, place: int, entry: Opened) -> None:
        self.ended[place] = len(self._lines) + len(self._held)
        self._held.append(entry)

    def entries(self) -> Entries:
        lines = self._lines
        ranks = np.array([RANK.get(s, 0) for s in lines.severities], np.int8)
        whole = Entries(lines.services, lines.service, lines.at, ranks[lines.severity], lines.text)
        whole = _appended(whole, self._held)
        chosen = self.ended[self.ended >= 0]
        text = whole.text
        return Entries(
            whole.services,
            whole.service[chosen],
            whole.at[chosen],
            whole.rank[chosen],
            list(map(text.__getitem__, chosen.tolist())),
        )


def _appended(entries: Entries, held: list[Opened]) -> Entries:
    if not held:
        return entries
    services = list(entries.services)
    known = {name: code for code, name in enumerate(services)}
    ended = [entry_of(entry) for entry in held]
    codes = []
    for name in (entry.source[DIGITS:] for entry in ended):
        if name not in known:
            known[name] = len(services)
            services.append(name)
        codes.append(known[name])
    return Entries(
        services,
        np.append(entries.service, np.array(codes, np.int32)),
        np.append(entries.at, np.array([entry.at for entry in ended], np.int64)),
        np.append(entries.rank, np.array([RANK.get(e.severity, 0) for e in ended], np.int8)),
        entries.text + [entry.text for entry in ended],
    )


def _none() -> tuple[Any, Any, Any]:
    return np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int8)


class _Groups:
    """A frame's rows by source: `names[g]` wrote `order[first[g]:first[g + 1]]`, in their order."""

    def __init__(self, lines: CodedLines) -> None:
        width = max(len(lines.labellings), 1)
        pairs = lines.service.astype(np.int64) * width + lines.labels
        if len(lines.services) * width < NARROW:
            pairs = pairs.astype(np.uint16)  # sorted by radix
        self.order = np.argsort(pairs, kind="stable")
        in_order = pairs[self.order]
        self.first = np.flatnonzero(np.append(True, in_order[1:] != in_order[:-1]))
        self.names = [
            source_of(lines.services[pair // width], lines.labellings[pair % width])
            for pair in in_order[self.first].tolist()
        ]
        self._source: npt.NDArray[np.int64] | None = None

    def source(self) -> npt.NDArray[np.int64]:
        """The group of each row, in the rows' order."""
        if self._source is None:
            sizes = np.diff(np.append(self.first, len(self.order)))
            self._source = np.empty(len(self.order), np.int64)
            self._source[self.order] = np.repeat(np.arange(len(sizes)), sizes)
        return self._source


@lru_cache(maxsize=16_384)
def source_of(service: str, labels: str) -> str:
    """What wrote a line: a hash of its labels, which may hold what nobody should store.

    >>> source_of("shop", 'pod="a"')[DIGITS:]
    'shop'
    """
    return hashlib.blake2b(labels.encode(), digest_size=DIGITS // 2).hexdigest() + service
