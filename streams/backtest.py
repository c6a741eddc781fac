"""Backtest: what the detector would have said about a folder of history.

Every `*.csv`, `*.csv.gz` and `*.parquet` below the input is one series, with the columns
`timestamp` and `value`; others, labels among them, are not read. Below the output, under the
same name, each gets `timestamp,score,alarm`, a row for each of its rows, in their order. Rows go
through in chunks, so a file may be larger than memory. Every `*.jsonl` and `*.jsonl.gz` is log
lines, `{"line": text}` each: of these, which template each has.
"""

import csv
import math
import time
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agents.scorer.block import BlockState
from agents.scorer.rest import ALARM
from agents.scorer.scorer import score_rows, warm_up
from schemas.errors import Rejected
from streams import backtest_logs
from streams.history import text, whole

CHUNK = 65_536  # rows: large enough that the kernel's call costs nothing

SUFFIXES = (".csv", ".csv.gz", ".parquet")
MISSING = frozenset({"", "nan", "null", "none", "na", "n/a"})
COLUMNS = ("timestamp", "value")

Floats = npt.NDArray[np.float64]
Progress = Callable[[Path, int, int], None]  # file just done, how many are, how many there are


class Chunk(NamedTuple):
    """Rows of one series: time as it was written, epoch seconds, value (NaN where missing)."""

    written: Any  # a list of str from CSV, an Arrow array from Parquet
    at: Floats
    value: Floats


class Summary(NamedTuple):
    """What a backtest saw; `logs` are files of log lines, `templates` theirs after merges."""

    series: int
    samples: int
    alarms: int
    microseconds: float  # a sample, scoring alone
    logs: int
    lines: int
    templates: int


def backtest(input_dir: Path, output_dir: Path, progress: Progress | None = None) -> Summary:
    """Score every series and mine all log lines below `input_dir`, into `output_dir`.

    Rejected, naming file and line, for what cannot be read, Unavailable for what cannot be
    written; files that were done by then stay, the faulty one leaves nothing.
    """
    source, target = input_dir.resolve(), output_dir.resolve()
    found, logs = _found(source, target, input_dir, output_dir)
    warm_up()
    samples, alarms, seconds, lines, templates = 0, 0, 0.0, 0, 0
    for done, path in enumerate((*found, *logs), 1):
        name = path.relative_to(source)
        if done <= len(found):
            with whole(target / name) as unfinished:
                count, alarming, took = _through(path, str(name), unfinished)
            samples, alarms, seconds = samples + count, alarms + alarming, seconds + took
        else:
            merged = target / backtest_logs.merged_name(name)
            mined = backtest_logs.mine(path, str(name), target / name, merged)
            lines, templates = lines + mined.lines, templates + mined.templates
        if progress is not None:
            progress(name, done, len(found) + len(logs))
    each = seconds / max(samples, 1) * 1e6
    return Summary(len(found), samples, alarms, each, len(logs), lines, templates)


def _found(
    source: Path, target: Path, input_dir: Path, output_dir: Path
) -> tuple[list[Path], list[Path]]:
    """The files of series and of log lines; Rejected where there are none, or no room."""
    if not source.is_dir():
        raise Rejected(f"{input_dir} is no folder: name the folder that holds the history")
    if target == source or source in target.parents:
        raise Rejected(f"{output_dir} lies in {input_dir}: choose an output folder outside of it")
    if target.exists() and not target.is_dir():
        raise Rejected(f"{output_dir} is a file: name a folder for the scores")
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    found = [path for path in files if path.name.endswith(SUFFIXES)]
    logs = [path for path in files if path.name.endswith(backtest_logs.SUFFIXES)]
    if not found and not logs:
        raise Rejected(
            f"{input_dir} holds no series: no .csv, .csv.gz, .parquet or .jsonl below it"
        )
    for path in logs:
        beside = source / backtest_logs.merged_name(path.relative_to(source))
        if beside in logs:
            raise Rejected(f"{beside.relative_to(source)} has the name of a result: rename it")
    return found, logs


def _through(path: Path, name: str, target: Path) -> tuple[int, int, float]:
    parquet = path.suffix == ".parquet"
    read, write = (_parquet_chunks, _ParquetScores) if parquet else (_csv_chunks, _CsvScores)
    block, samples, alarms, seconds = BlockState(1), 0, 0, 0.0
    row = block.claim()
    with closing(write(target)) as out:
        for chunk in read(path, name):
            rows = np.full(len(chunk.at), row, np.int32)
            begun = time.perf_counter()
            score = score_rows(block, rows, chunk.at, chunk.value).emitted
            seconds += time.perf_counter() - begun
            out.write(chunk.written, score)
            samples += len(score)
            alarms += int(np.count_nonzero(score >= ALARM))
    return samples, alarms, seconds


# ---- CSV


def _csv_chunks(path: Path, name: str) -> Iterator[Chunk]:
    line = 0
    try:
        with text(path, "r") as file:
            reader = csv.reader(file)
            columns = _columns(next(reader, []), name)
            rows = ((reader.line_num, fields) for fields in reader if fields)
            while chunk := _csv_chunk(islice(rows, CHUNK), columns, name):
                line = reader.line_num
                yield chunk
    except (csv.Error, UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise Rejected(f"{name} after line {line}: cannot be read: {error}") from error


def _columns(header: list[str], name: str) -> tuple[int, int]:
    names = [column.strip().lower() for column in header]
    for column in COLUMNS:
        if column not in names:
            has = ", ".join(header) or "nothing"
            raise Rejected(f"{name} line 1: needs a column {column!r}, has {has}")
    return names.index("timestamp"), names.index("value")


def _csv_chunk(
    rows: Iterator[tuple[int, list[str]]], columns: tuple[int, int], name: str
) -> Chunk | None:
    stamp, number = columns
    written: list[str] = []
    at, value = array("d"), array("d")
    for line, fields in rows:
        if len(fields) <= max(columns):
            least = max(columns) + 1
            raise Rejected(f"{name} line {line}: has {len(fields)} fields, needs {least}")
        try:
            at.append(_seconds(fields[stamp]))
            value.append(_number(fields[number]))
        except ValueError as error:
            raise Rejected(f"{name} line {line}: {error}") from error
        written.append(fields[stamp])
    return Chunk(written, np.array(at), np.array(value)) if written else None


def _seconds(text: str) -> float:
    """Epoch seconds of a number or an ISO 8601 time, UTC where it names no zone."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text.strip())
        except ValueError:
            message = f"timestamp {text!r} is neither epoch seconds nor an ISO 8601 time"
            raise ValueError(message) from None
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds):
        raise ValueError(f"timestamp {text!r} is not finite")
    return seconds


def _number(text: str) -> float:
    """Read a value; NaN where it is missing."""
    try:
        return float(text)
    except ValueError:
        if text.strip().lower() in MISSING:
            return math.nan
        raise ValueError(f"value {text!r} is no number") from None


class _CsvScores:
    """`timestamp,score,alarm` as text; a score reads back as exactly the same number."""

    def __init__(self, path: Path) -> None:
        self._file = text(path, "w")
        self._file.write("timestamp,score,alarm\n")

    def write(self, written: list[str], score: Floats) -> None:
        self._file.writelines(
            f"{stamp},{value!r},{int(value >= ALARM)}\n"
            for stamp, value in zip(written, score.tolist(), strict=True)
        )

    def close(self) -> None:
        self._file.close()


# ---- Parquet


def _parquet_chunks(path: Path, name: str) -> Iterator[Chunk]:
    done = 0
    try:
        with pq.ParquetFile(path) as file:
            _columns(file.schema_arrow.names, name)
            for batch in file.iter_batches(CHUNK, columns=list(COLUMNS)):
                yield Chunk(batch["timestamp"], *_arrow_numbers(batch, f"{name} row {done + 1}"))
                done += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise Rejected(f"{name} row {done + 1}: cannot be read: {error}") from error


def _arrow_numbers(batch: Any, where: str) -> tuple[Floats, Floats]:
    """Epoch seconds and values of a batch of rows that begins at `where`."""
    stamp, value = batch["timestamp"], batch["value"]
    if stamp.null_count:
        raise Rejected(f"{where} or after: a timestamp is missing")
    if pa.types.is_timestamp(stamp.type):
        per_second = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[stamp.type.unit]
        at = stamp.cast(pa.int64()).to_numpy(zero_copy_only=False) / per_second
    elif pa.types.is_integer(stamp.type) or pa.types.is_floating(stamp.type):
        at = stamp.to_numpy(zero_copy_only=False).astype(np.float64)
    else:
        raise Rejected(f"{where}: timestamp is {stamp.type}: needs epoch seconds or a timestamp")
    if not np.isfinite(at).all():
        raise Rejected(f"{where} or after: a timestamp is not finite")
    numbers = pc.fill_null(pc.cast(value, pa.float64(), safe=False), math.nan)
    return at, numbers.to_numpy(zero_copy_only=False)


class _ParquetScores:
    """`timestamp,score,alarm`; the time keeps its type, alarm is a boolean."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def write(self, written: Any, score: Floats) -> None:
        columns = {"timestamp": written, "score": score, "alarm": score >= ALARM}
        table = pa.table(columns)
        if self._file is None:
            self._file = pq.ParquetWriter(self._path, table.schema)
        self._file.write_table(table)

    def close(self) -> None:
        if self._file is None:  # no rows
            types = {"timestamp": pa.float64(), "score": pa.float64(), "alarm": pa.bool_()}
            self._file = pq.ParquetWriter(self._path, pa.schema(types))
        self._file.close()
