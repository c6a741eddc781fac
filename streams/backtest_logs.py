"""Backtest of log lines: which template each line of a history has.

Two files are written. The first says what was known when the line came; the second, in the
folder beside whose name ends in `-merged`, what that template turned out to be, with its text.
"""

import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from agents.logs.miner import Mined, Miner
from schemas.errors import Rejected
from streams.history import text, whole

SUFFIXES = (".jsonl", ".jsonl.gz")
CHUNK = 8_192  # lines


class _Line(msgspec.Struct):
    """What is read of a line; other fields, labels among them, are not."""

    line: str


class _Emitted(msgspec.Struct):
    template_id: str


class _Settled(msgspec.Struct):
    template_id: str
    template: str


class MinedFile(NamedTuple):
    """What a file gave; `templates` after merges."""

    lines: int
    templates: int


def merged_name(relative: Path) -> Path:
    """Where the second file of a history goes.

    >>> merged_name(Path("web/a.jsonl")).as_posix(), merged_name(Path("a.jsonl")).as_posix()
    ('web-merged/a.jsonl', 'merged/a.jsonl')
    """
    folder = relative.parent
    beside = folder.with_name(f"{folder.name}-merged") if folder.name else Path("merged")
    return beside / relative.name


def mine(path: Path, name: str, emitted: Path, settled: Path) -> MinedFile:
    """Mine one file into two; Rejected, naming file and line, for what cannot be read."""
    miner, fate = Miner(), _Fate()
    encoder = msgspec.json.Encoder()
    with whole(emitted) as unfinished, text(unfinished, "w") as out:
        for chunk in _chunks(path, name):
            mined = miner.feed(chunk)
            fate.follow(mined)
            for ident in mined.ids:
                out.write(encoder.encode(_Emitted(ident)).decode() + "\n")
    return _settle(emitted, settled, fate, miner)


class _Fate:
    """What became of each id, over the whole file: the miner itself forgets in time."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._became: dict[str, str] = {}

    def follow(self, mined: Mined) -> None:
        for _, ident, template in mined.founded:
            self.texts[ident] = template
            self._became.pop(ident, None)
        self._became.update(mined.merges)

    def of(self, ident: str) -> str:
        while ident in self._became:
            ident = self._became[ident]
        return ident


def _settle(emitted: Path, settled: Path, fate: _Fate, miner: Miner) -> MinedFile:
    rows: dict[str, str] = {}
    final: set[str] = set()
    encoder, count = msgspec.json.Encoder(), 0
    with text(emitted, "r") as lines, whole(settled) as unfinished, text(unfinished, "w") as out:
        for count, line in enumerate(lines, 1):  # noqa: B007 - how many there were
            row = rows.get(line)
            if row is None:
                ident = fate.of(msgspec.json.decode(line, type=_Emitted).template_id)
                final.add(ident)
                said = miner.template(ident) if ident in miner else fate.texts[ident]
                row = rows[line] = encoder.encode(_Settled(ident, said)).decode() + "\n"
            out.write(row)
    return MinedFile(count, len(final))


def _chunks(path: Path, name: str) -> Iterator[list[str]]:
    decoder, number = msgspec.json.Decoder(_Line), 0
    try:
        with text(path, "r") as file:
            while rows := list(islice(file, CHUNK)):
                chunk = []
                for row in rows:
                    number += 1
                    if row.strip():
                        chunk.append(decoder.decode(row).line)
                yield chunk
    except msgspec.DecodeError as error:
        raise Rejected(f'{name} line {number}: needs {{"line": text}}: {error}') from error
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise Rejected(f"{name} after line {number}: cannot be read: {error}") from error
