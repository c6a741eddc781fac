"""Labels: when something was wrong, as people wrote it down.

A CSV file with the columns `series,start,end`; the same as a JSON list of objects; or the JSON
object of the Numenta benchmark, `{"series": [[start, end], ...]}`. A series is named as its file
is, with or without folders and suffix, or as its column or labels are.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas.errors import Rejected
from streams.backtest.table import seconds, unit
from streams.history import UNREADABLE, text

ENDINGS = (".csv.gz", ".csv", ".parquet", ".json.gz", ".json")
NAMES = ("series", "start", "end")
SHOWN = 5  # names that are listed when they fit no series


class Span(NamedTuple):
    """A labelled window, epoch seconds, both ends in it."""

    start: float
    end: float


class Labels:
    """Windows by series; `numenta` if they came in the benchmark's form."""

    def __init__(self, spans: Mapping[str, Iterable[Span]], *, numenta: bool = False) -> None:
        self.numenta = numenta
        self._spans = {bare(name): sorted(each) for name, each in spans.items()}
        self._matched: set[str] = set()

    def of(self, names: Iterable[str]) -> list[Span]:
        """Windows of a series that has these names; none when nobody labelled it."""
        found: set[Span] = set()
        for name in map(bare, names):
            for labelled, spans in self._spans.items():
                if name == labelled or name.endswith("/" + labelled):
                    self._matched.add(labelled)
                    found.update(spans)
        return sorted(found)

    @property
    def useless(self) -> bool:
        """Whether there are labels, and none has fitted a series."""
        return bool(self._spans) and not self._matched

    def unmatched(self) -> str:
        """Names that fitted no series, for a person; empty when all did."""
        left = sorted(set(self._spans) - self._matched)
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        return ", ".join(left[:SHOWN]) + more


def bare(name: str) -> str:
    """A name without the ending of its file.

    >>> bare("web/cpu.csv.gz")
    'web/cpu'
    """
    for ending in ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name.strip()


def read_labels(path: Path, zone: tzinfo) -> Labels:
    """The labels of a file. Rejected, naming file and line, for what cannot be read."""
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    try:
        document = _json(path) if path.name.endswith((".json", ".json.gz")) else None
        numenta = is_windows(document)
        rows = _from_csv(path) if document is None else _from_json(path, document, spans)
        for where, series, start, end in rows:
            try:
                span = Span(_time(start, zone), _time(end, zone))
            except ValueError as error:
                raise Rejected(f"{path} {where}: {error}") from error
            if span.end < span.start:
                raise Rejected(f"{path} {where}: ends at {end} before it starts at {start}")
            spans[series].append(span)
    except (csv.Error, msgspec.DecodeError, RecursionError, *UNREADABLE) as error:
        raise Rejected(f"{path} cannot be read: {error}") from error
    return Labels(spans, numenta=numenta)


def is_windows(document: Any) -> bool:
    """Whether a JSON document is the benchmark's object of windows."""
    return isinstance(document, dict) and all(
        isinstance(spans, list) and all(isinstance(s, list) and len(s) == len("ab") for s in spans)
        for spans in document.values()
    )


Found = tuple[str, str, Any, Any]  # where, series, start, end


def _from_csv(path: Path) -> Iterable[Found]:
    with text(path, "r") as file:
        reader = csv.DictReader(file)
        heads = {name.strip().lower(): name for name in reader.fieldnames or ()}
        if missing := [name for name in NAMES if name not in heads]:
            raise Rejected(
                f"{path} line 1: needs the columns series, start, end; no {missing[0]!r}"
            )
        for row in reader:
            series, start, end = (row[heads[name]] or "" for name in NAMES)
            yield f"line {reader.line_num}", series, start, end


def _json(path: Path) -> Any:
    with text(path, "r") as file:
        return msgspec.json.decode(file.read())


def _from_json(path: Path, document: Any, spans: defaultdict[str, list[Span]]) -> Iterable[Found]:
    if isinstance(document, list):
        for number, row in enumerate(document, 1):
            if not isinstance(row, dict) or not set(NAMES) <= set(row):
                raise Rejected(f"{path} entry {number}: needs series, start and end")
            yield f"entry {number}", str(row["series"]), row["start"], row["end"]
    elif is_windows(document):
        for series, windows in document.items():
            spans[series] += []  # a series without windows is known to have none
            for start, end in windows:
                yield series, series, start, end
    else:
        raise Rejected(f'{path}: needs {{"series": [[start, end], ...]}} or a list of objects')


def _time(value: Any, zone: tzinfo) -> float:
    try:
        epoch = float(value)
    except (TypeError, ValueError):
        return seconds(str(value), zone)
    if not math.isfinite(epoch):
        raise ValueError(f"timestamp {value!r} is not finite")
    return epoch / round(1 / unit(epoch))
