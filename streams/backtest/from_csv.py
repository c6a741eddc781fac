"""History from CSV: plain or packed, separated by comma, semicolon or tab, in chunks."""

import csv
import math
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import tzinfo
from itertools import chain, islice
from pathlib import Path

import numpy as np

from schemas.errors import Rejected
from streams.backtest.table import (
    Chunk,
    Columns,
    Floats,
    Table,
    aside,
    columns,
    flags,
    number,
    seconds,
)
from streams.backtest.table import unit as unit_of
from streams.history import UNREADABLE, text

SUFFIXES = (".csv", ".csv.gz")
CHUNK = 65_536  # rows: large enough that the kernel's call costs nothing

Row = tuple[int, list[str]]  # number of its last line, cells


def read_csv(path: Path, name: str, zone: tzinfo) -> Iterator[Table]:
    """The table of a file; times without a zone are in `zone`. Rejected, with the line."""
    with ExitStack() as stack:
        reading = _Reading(name, zone)
        rows = reading.rows(path, stack)
        header = next(rows, (1, []))[1]
        found = columns(header, f"{name} line 1")
        first = list(islice(rows, CHUNK))
        text_only = [i for i in found.values if found.wide and _is_text(first, i)]
        kept = tuple(i for i in found.values if i not in text_only)
        if not kept:
            raise Rejected(f"{name} line 1: no column holds numbers, has {', '.join(header)[:200]}")
        notes = tuple(f"column {header[i]!r} is text and was left aside" for i in text_only)
        notes += aside(header, found)
        names = tuple(header[i].strip() or f"column {i + 1}" for i in kept) if found.wide else ()
        all_rows = chain(first, rows)
        yield Table(names, reading.chunks(all_rows, found._replace(values=kept)), notes)


class _Reading:
    """Where in the file we are, and what its times are written in."""

    def __init__(self, name: str, zone: tzinfo) -> None:
        self._name, self._zone = name, zone
        self._unit: float | None = None

    def rows(self, path: Path, stack: ExitStack) -> Iterator[Row]:
        """Every line that is not blank, the header first."""
        line = 0
        try:
            file = stack.enter_context(text(path, "r"))
            head = file.readline()
            delimiter = max(",;\t", key=head.count)
            reader = csv.reader(chain([head] if head else [], file), delimiter=delimiter)
            for fields in reader:
                line = reader.line_num
                if fields:
                    yield line, fields
        except (csv.Error, *UNREADABLE) as error:
            raise Rejected(f"{self._name} after line {line}: cannot be read: {error}") from error

    def chunks(self, rows: Iterator[Row], found: Columns) -> Iterator[Chunk]:
        least = max(found.time, *found.values) + 1
        labelled = found.label is not None
        while part := list(islice(rows, CHUNK)):
            for line, fields in part:
                if len(fields) < least:
                    what = f"has {len(fields)} fields, needs {least}"
                    raise Rejected(f"{self._name} line {line}: {what}")
            at = self._times(part, found.time)
            label = None
            if labelled and found.label is not None:
                cells = [fields[found.label : found.label + 1] for _, fields in part]
                label = flags([cell[0] if cell else "" for cell in cells])
                labelled = label is not None
            values = tuple(self._numbers(part, column) for column in found.values)
            yield Chunk([fields[found.time] for _, fields in part], at, values, label)

    def _times(self, part: list[Row], column: int) -> Floats:
        at = array("d")
        for line, fields in part:
            cell = fields[column]
            try:
                at.append(self._seconds(cell))
            except ValueError as error:
                raise Rejected(f"{self._name} line {line}: {error}") from error
        return np.array(at)

    def _seconds(self, cell: str) -> float:
        try:
            epoch = float(cell)
        except ValueError:
            return seconds(cell, self._zone)
        if not math.isfinite(epoch):
            raise ValueError(f"timestamp {cell!r} is not finite")
        if self._unit is None:
            self._unit = unit_of(epoch)
        # A division keeps what is written exact; a factor of 0.001 would not.
        return epoch if self._unit == 1.0 else epoch / round(1 / self._unit)

    def _numbers(self, part: list[Row], column: int) -> Floats:
        cells = [fields[column] for _, fields in part]
        try:
            return np.array(list(map(float, cells)))
        except ValueError:  # some are missing, or one is wrong
            out = array("d")
            for (line, _), cell in zip(part, cells, strict=True):
                try:
                    out.append(number(cell))
                except ValueError as error:
                    raise Rejected(f"{self._name} line {line}: {error}") from error
            return np.array(out)


def _is_text(rows: list[Row], column: int) -> bool:
    """Whether a column has cells, and none of them is a number."""
    seen = False
    for _, fields in rows:
        if column >= len(fields):
            continue
        try:
            if not math.isnan(number(fields[column])):
                return False
        except ValueError:
            seen = True
    return seen
