"""Backtest of log lines: which template each line of a history has.

Two files are written. The first says what was known when the line came; the second, in the
folder beside whose name ends in `-merged`, what that template turned out to be, with its text.

Where every line has a `template_id` of its own, as people gave it, grouping accuracy is measured:
the share of lines whose group is exactly the labelled group, no line more and none less.

Source: J. Zhu et al., "Tools and Benchmarks for Automated Log Parsing", 2019.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from agents.logs.miner import Mined, Miner
from schemas.errors import Rejected
from streams.history import UNREADABLE, text, whole

SUFFIXES = (".jsonl", ".jsonl.gz")
CHUNK = 8_192  # lines


class _Line(msgspec.Struct):
    """What is read of a line; the label is never the miner's to see."""

    line: str
    template_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Emitted(msgspec.Struct):
    template_id: str


class _Settled(msgspec.Struct):
    template_id: str
    template: str


class MinedFile(NamedTuple):
    """What a file gave; `templates` after merges; `accuracy` 0 to 1, as emitted and after them."""

    lines: int
    templates: int
    accuracy: tuple[float, float] | None  # None without labels


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
    miner, fate, agreement = Miner(), _Fate(), Agreement()
    encoder = msgspec.json.Encoder()
    with whole(emitted) as unfinished, text(unfinished, "w") as out:
        for chunk in _chunks(path, name):
            mined = miner.feed([row.line for row in chunk])
            fate.follow(mined)
            agreement.add([row.template_id for row in chunk], mined.ids)
            for ident in mined.ids:
                out.write(encoder.encode(_Emitted(ident)).decode() + "\n")
    lines, templates = _settle(emitted, settled, fate, miner)
    labelled = agreement.accuracy(lambda ident: ident), agreement.accuracy(fate.of)
    return MinedFile(lines, templates, labelled if agreement.labelled else None)


class Agreement:
    """How often a label and a template came together."""

    def __init__(self) -> None:
        self.labelled = False
        self._whole = True
        self._pairs: Counter[tuple[bytes, str]] = Counter()

    def add(self, labels: Sequence[msgspec.Raw | msgspec.UnsetType], idents: list[str]) -> None:
        """Count more lines; one without a label makes all of them worthless."""
        if not self._whole:
            return
        if any(isinstance(label, msgspec.UnsetType) for label in labels):
            self._whole = self.labelled = False
            self._pairs.clear()
            return
        self.labelled = self.labelled or bool(labels)
        self._pairs.update(zip(map(bytes, labels), idents, strict=True))  # type: ignore[arg-type] # all are Raw

    def accuracy(self, of: Callable[[str], str]) -> float:
        """Share of lines in groups that are exactly the labelled ones; `of` settles a template."""
        pairs: Counter[tuple[bytes, str]] = Counter()
        for (label, ident), count in self._pairs.items():
            pairs[label, of(ident)] += count
        labels, groups = Counter[bytes](), Counter[str]()
        for (label, ident), count in pairs.items():
            labels[label] += count
            groups[ident] += count
        right = sum(n for (label, ident), n in pairs.items() if n == labels[label] == groups[ident])
        return right / max(pairs.total(), 1)


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


def _settle(emitted: Path, settled: Path, fate: _Fate, miner: Miner) -> tuple[int, int]:
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
    return count, len(final)


def _chunks(path: Path, name: str) -> Iterator[list[_Line]]:
    decoder, number = msgspec.json.Decoder(_Line), 0
    try:
        with text(path, "r") as file:
            while rows := list(islice(file, CHUNK)):
                chunk = []
                for row in rows:
                    number += 1
                    if row.strip():
                        chunk.append(decoder.decode(row))
                yield chunk
    except msgspec.DecodeError as error:
        raise Rejected(f'{name} line {number}: needs {{"line": text}}: {error}') from error
    except (RecursionError, *UNREADABLE) as error:
        raise Rejected(f"{name} after line {number}: cannot be read: {error}") from error
