"""Tables of history: which columns of an export are times, values and labels, and what they say.

A file has one table or, where each series has times of its own, many. With a column named
`value` that is the series and other columns are not read; without one, every other column of
numbers is a series, as monitoring systems export a panel.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.errors import Rejected

TIMES = ("timestamp", "time", "ts", "datetime", "date", "@timestamp", "_time")
VALUES = ("value", "_value")
LABELS = ("label", "is_anomaly", "anomaly")
MISSING = frozenset({"", "nan", "null", "none", "na", "n/a", "undefined"})
FALSE = frozenset({"0", "0.0", "false", "no"}) | MISSING
TRUE = frozenset({"1", "1.0", "true", "yes"})

MOST_COLUMNS = 500  # of values in one file: each keeps a file open while it is written
LONGEST_NAME = 100  # characters of a file's name; most systems take 255 with all that is added

# Epoch numbers beyond these are not seconds (the year 5138) but a thousand times finer, and so on.
MILLI, MICRO, NANO = 1e11, 1e14, 1e17

Floats = npt.NDArray[np.float64]


class Chunk(NamedTuple):
    """Rows of a table."""

    written: Any  # times as they were written: a list of str, or an Arrow array from Parquet
    at: Floats  # epoch seconds
    values: tuple[Floats, ...]  # of each series, NaN where missing
    label: npt.NDArray[np.bool_] | None  # None where there are none


class Table(NamedTuple):
    """Series that share their times; `names` is empty for a file that is one series."""

    names: tuple[str, ...]
    chunks: Iterator[Chunk]
    notes: tuple[str, ...] = ()


class Columns(NamedTuple):
    """Where in the header what is: `values` are candidates, `wide` if the header names none."""

    time: int
    values: tuple[int, ...]
    label: int | None
    wide: bool


def columns(header: Sequence[str], where: str) -> Columns:
    """Which column is what; Rejected if there is no time, or nothing beside it."""
    names = [column.strip().lower() for column in header]
    has = ", ".join(header)[:200] or "nothing"
    time = next((names.index(name) for name in TIMES if name in names), None)
    if time is None:
        also = ", ".join(TIMES[1:])
        raise Rejected(f"{where}: needs a column 'timestamp' (or {also}), has {has}")
    label = next((names.index(name) for name in LABELS if name in names), None)
    named = next((names.index(name) for name in VALUES if name in names), None)
    if named is not None:
        return Columns(time, (named,), label, wide=False)
    others = tuple(i for i in range(len(names)) if names[i] not in {*TIMES, *LABELS})
    if not others:
        raise Rejected(f"{where}: needs a column 'value', or one a series, has {has}")
    if len(others) > MOST_COLUMNS:
        raise Rejected(f"{where}: has {len(others)} columns, at most {MOST_COLUMNS}: split it")
    return Columns(time, others, label, wide=len(others) > 1)


def aside(header: Sequence[str], found: Columns) -> tuple[str, ...]:
    """A note on the columns beside the one named `value`; none for a table that is all series."""
    read = {found.time, found.label, *found.values}
    left = [name.strip() for i, name in enumerate(header) if i not in read and name.strip()]
    if found.wide or not left:
        return ()
    return (f"of this file 'value' is read, not {', '.join(left)[:200]}",)


def unit(first: float) -> float:
    """Seconds in one of a column's epoch numbers, told by how large the first is.

    >>> unit(1.7e9), unit(1.7e12), unit(1.7e15), unit(1.7e18)
    (1.0, 0.001, 1e-06, 1e-09)
    """
    size = abs(first)
    if size < MILLI:
        return 1.0
    return 1e-3 if size < MICRO else 1e-6 if size < NANO else 1e-9


def seconds(text: str, zone: tzinfo = UTC) -> float:
    """Epoch seconds of an ISO 8601 time, in `zone` where it names none; ValueError otherwise.

    >>> seconds("1970-01-01T01:00:00+01:00"), seconds("1970-01-01 00:01:00 UTC")
    (0.0, 60.0)
    """
    plain = text.strip()
    if plain.endswith((" UTC", " GMT")):
        plain = plain[:-4] + "+00:00"
    try:
        at = datetime.fromisoformat(plain)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        message = f"timestamp {text!r} is neither an epoch number nor an ISO 8601 time"
        raise ValueError(message) from None


def number(text: str) -> float:
    """Read a value, NaN where it is missing; ValueError if it is no number."""
    try:
        return float(text)
    except ValueError:
        if text.strip().lower() in MISSING:
            return math.nan
        raise ValueError(f"value {text!r} is no number") from None


def flags(cells: Sequence[str]) -> npt.NDArray[np.bool_] | None:
    """Labels of rows; None unless every one is a yes or a no."""
    said = [cell.strip().lower() for cell in cells]
    if not all(cell in TRUE or cell in FALSE for cell in said):
        return None
    return np.array([cell in TRUE for cell in said], np.bool_)


def safe_name(series: str) -> str:
    """A file's name for a series: readable, never a path, different for different series.

    >>> safe_name("cpu"), safe_name("../up")
    ('cpu', 'up-8c722b8a')
    """
    plain = re.sub(r"[^A-Za-z0-9_=+.-]+", "_", series.replace('"', "")).strip("._-")
    if plain and plain == series and len(plain) <= LONGEST_NAME:
        return plain
    return f"{plain[:LONGEST_NAME]}-{hashlib.sha256(series.encode()).hexdigest()[:8]}".lstrip("-")
