"""History from Prometheus: the answer of a range query, saved as it came.

`{"status": "success", "data": {"resultType": "matrix", "result": [...]}}`, each series with its
labels and `[time, "value"]` pairs. A server answers at most 11,000 points a series, so a longer
history comes in pieces: `NAME.1.json`, `NAME.2.json` and so on are read as one.
"""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from schemas.errors import Rejected
from schemas.frames import canonical
from streams.backtest.from_csv import CHUNK
from streams.backtest.table import Chunk, Floats, Table
from streams.history import UNREADABLE, text

SUFFIXES = (".json", ".json.gz")
PIECE = re.compile(r"\.\d+(?=\.json(\.gz)?$)")
EXPECTED = "a range query's answer (/api/v1/query_range)"


class _Series(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str | float]] = []
    histograms: list[msgspec.Raw] = []


class _Data(msgspec.Struct, rename="camel"):
    result_type: str
    result: msgspec.Raw


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error: str = ""


def whole_name(name: str) -> str:
    """The name that the pieces of a history share.

    >>> whole_name("web/cpu.12.json"), whole_name("web/cpu.json")
    ('web/cpu.json', 'web/cpu.json')
    """
    return PIECE.sub("", name)


def is_answer(path: Path) -> bool:
    """Whether a JSON file looks like an answer of Prometheus rather than any other document."""
    try:
        with text(path, "r") as file:
            return '"status"' in (head := file.read(4096)) or '"resultType"' in head
    except UNREADABLE:
        return True  # reading it again, in full, says what is wrong with it


def read_prometheus(pieces: Sequence[tuple[Path, str]]) -> Iterator[Table]:
    """A table a series, of one answer or the pieces of one. Rejected, naming the file."""
    merged: dict[str, list[_Series]] = {}
    notes: dict[str, str] = {}
    for path, name in pieces:
        for series in _answer(path, name):
            labels = dict(series.metric)
            called = canonical(labels.pop("__name__", ""), labels).removesuffix("{}")
            if series.histograms and not series.values:
                notes[called] = "a native histogram was left aside: ask for a quantile of it"
                continue
            merged.setdefault(called, []).append(series)
    if not merged:
        said = f": {next(iter(notes.values()))}" if notes else ""
        raise Rejected(f"{pieces[0][1]}: the answer holds no series{said}")
    for called, parts in merged.items():
        yield Table((called,), _chunks(called, parts, pieces[0][1]))


def _answer(path: Path, name: str) -> list[_Series]:
    try:
        with text(path, "r") as file:
            answer = msgspec.json.decode(file.read(), type=_Answer)
    except msgspec.DecodeError as error:
        raise Rejected(f"{name}: is not {EXPECTED}: {error}") from error
    except (RecursionError, *UNREADABLE) as error:
        raise Rejected(f"{name}: cannot be read: {error}") from error
    if answer.status != "success" or answer.data is None:
        raise Rejected(f"{name}: the query failed: {answer.error or answer.status}"[:300])
    if answer.data.result_type != "matrix":
        kind = answer.data.result_type
        raise Rejected(f"{name}: holds a {kind}, needs a matrix: save {EXPECTED}")
    try:
        return msgspec.json.decode(answer.data.result, type=list[_Series])
    except msgspec.DecodeError as error:
        raise Rejected(f"{name}: is not {EXPECTED}: {error}") from error


def _chunks(called: str, parts: list[_Series], name: str) -> Iterator[Chunk]:
    """The parts one after the other; what two of them share is taken once."""
    last = -math.inf
    for part in sorted(parts, key=lambda each: each.values[0][0] if each.values else 0.0):
        try:
            pairs = [(at, float(value)) for at, value in part.values if at > last]
        except ValueError as error:
            raise Rejected(f"{name}: {called}: {error}") from error
        for begin in range(0, len(pairs), CHUNK):
            rows = pairs[begin : begin + CHUNK]
            at: Floats = np.array([row[0] for row in rows])
            values: Floats = np.array([row[1] for row in rows])
            yield Chunk([_written(each) for each in at.tolist()], at, (values,), None)
        last = max(last, pairs[-1][0]) if pairs else last


def _written(at: float) -> str:
    return f"{at:.3f}".rstrip("0").rstrip(".")
