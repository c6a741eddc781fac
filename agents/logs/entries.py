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
    CHARACTERS,
    SOURCES,
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
DIGITS = 16  # of a source before its service
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
        return [gist(text) if "\n" in text else text for text in self.text]


class FrameJoiner:
    """Joins the lines of frames."""

    def __init__(self) -> None:
        self._joiner = Joiner()

    def feed(self, lines: CodedLines, before: int) -> Entries:
        """The entries that a frame ended, and those that were last added to before `before`."""
        if not len(lines):
            return _appended(Entries([], *_none(), []), self._flushed(before))
        sources, source = _sources(lines)
        slow = self._slow(sources, source, lines.text)
        rows = _Rows(lines)
        self._fast(rows, sources, source, slow)
        self._line_by_line(rows, sources, source, slow)
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

    def _slow(
        self, sources: list[str], source: npt.NDArray[np.int64], text: list[str]
    ) -> npt.NDArray[np.bool_]:
        """Which sources have a line that may belong to another."""
        opened = self._joiner.open
        slow = np.array(
            [name in opened and opened[name].trace in LATE_LINES for name in sources], np.bool_
        )
        slow[source[continuing(text)]] = True
        return slow

    def _fast(
        self, rows: "_Rows", sources: list[str], source: npt.NDArray[np.int64], slow: Any
    ) -> None:
        """Every line ends the one before of its source."""
        order = np.argsort(source, kind="stable")
        same = source[order[1:]] == source[order[:-1]]
        chosen = ~slow[source]
        before = np.full(len(source), -1, np.int64)
        before[order[1:][same]] = order[:-1][same]
        before[~chosen] = -1
        rows.ended = before
        first = order[np.append(True, ~same)]
        last = order[np.append(~same, True)]
        opened = self._joiner.open
        for place in first[chosen[first]].tolist():
            name = sources[source[place]]
            if name in opened:
                rows.end(place, opened.pop(name))
        for place in last[chosen[last]].tolist():
            part = rows.part(place, sources[source[place]])
            opened[part.source] = begun(part)

    def _line_by_line(
        self, rows: "_Rows", sources: list[str], source: npt.NDArray[np.int64], slow: Any
    ) -> None:
        for place in np.flatnonzero(slow[source]).tolist():
            part = rows.part(place, sources[source[place]])
            held = self._joiner.open.get(part.source)
            if self._joiner.add(part) and held is not None:
                rows.end(place, held)

    def _flushed(self, before: int) -> list[Opened]:
        opened = self._joiner.open
        over = [name for name, entry in opened.items() if entry.last < before]
        ended = [opened.pop(name) for name in over]
        if len(opened) > HELD // CHARACTERS:  # fewer cannot hold so much
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
            [text[place] for place in chosen.tolist()],
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


def _sources(lines: CodedLines) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The frame's sources, and which each row comes from."""
    width = max(len(lines.labellings), 1)
    pairs, source = np.unique(
        lines.service.astype(np.int64) * width + lines.labels, return_inverse=True
    )
    names = [
        source_of(lines.services[pair // width], lines.labellings[pair % width])
        for pair in pairs.tolist()
    ]
    return names, source


@lru_cache(maxsize=16_384)
def source_of(service: str, labels: str) -> str:
    """What wrote a line: a hash of its labels, which may hold what nobody should store.

    >>> source_of("shop", 'pod="a"')[DIGITS:]
    'shop'
    """
    return hashlib.blake2b(labels.encode(), digest_size=DIGITS // 2).hexdigest() + service
