"""History from Parquet, in chunks: times as timestamps or epoch numbers."""

import math
from collections.abc import Iterator
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.errors import Rejected
from streams.backtest import from_csv as backtest_csv
from streams.backtest.table import Chunk, Floats, Table, aside, columns, flags, unit

SUFFIX = ".parquet"
PER_SECOND = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}


def read_parquet(path: Path, name: str, zone: tzinfo) -> Iterator[Table]:
    """The table of a file; timestamps without a zone are in `zone`. Rejected, with the row."""
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            found = columns(schema.names, f"{name} row 1")
            kept = [i for i in found.values if not found.wide or _numeric(schema.field(i).type)]
            if not kept:
                raise Rejected(f"{name} row 1: no column holds numbers: {', '.join(schema.names)}")
            label = None if found.label is None else schema.names[found.label]
            read = {label, *(schema.names[i] for i in (found.time, *kept))} - {None}
            if twice := sorted(each for each in read if schema.names.count(each) > 1):
                raise Rejected(f"{name} row 1: there are two columns {twice[0]!r}: rename one")
            left = [schema.names[i] for i in found.values if i not in kept]
            notes = tuple(f"column {each!r} is no number and was left aside" for each in left)
            notes += aside(schema.names, found)
            names = tuple(schema.names[i] for i in kept) if found.wide else ()
            wanted = (schema.names[found.time], [schema.names[i] for i in kept], label)
            yield Table(names, _chunks(file, name, wanted, zone), notes)
    except (pa.ArrowException, OSError) as error:
        raise Rejected(f"{name} row 1: cannot be read: {error}") from error


def _numeric(kind: Any) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _chunks(
    file: Any, name: str, wanted: tuple[str, list[str], str | None], zone: tzinfo
) -> Iterator[Chunk]:
    time, values, label = wanted
    asked = list(dict.fromkeys([time, *values, *([label] if label else [])]))
    done, epoch_unit, labelled = 0, 0.0, label is not None
    try:
        for batch in file.iter_batches(backtest_csv.CHUNK, columns=asked):
            where = f"{name} row {done + 1}"
            at = _times(batch[time], where, zone)
            if not pa.types.is_timestamp(batch[time].type) and len(at):
                epoch_unit = epoch_unit or unit(float(at[0]))
                at = at / round(1 / epoch_unit)
            said = _flags(batch[label]) if labelled else None
            labelled = said is not None
            yield Chunk(batch[time], at, tuple(_numbers(batch[each]) for each in values), said)
            done += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise Rejected(f"{name} row {done + 1}: cannot be read: {error}") from error


def _times(stamp: Any, where: str, zone: tzinfo) -> Floats:
    if stamp.null_count:
        raise Rejected(f"{where} or after: a timestamp is missing")
    if pa.types.is_timestamp(stamp.type):
        if stamp.type.tz is None and zone is not UTC:
            stamp = pc.assume_timezone(
                stamp, str(zone), ambiguous="earliest", nonexistent="earliest"
            )
        numbers = stamp.cast(pa.int64()).to_numpy(zero_copy_only=False)
        at: Floats = numbers / PER_SECOND[stamp.type.unit]
    elif pa.types.is_integer(stamp.type) or pa.types.is_floating(stamp.type):
        at = stamp.to_numpy(zero_copy_only=False).astype(np.float64)
    else:
        raise Rejected(f"{where}: timestamp is {stamp.type}: needs an epoch number or a timestamp")
    if not np.isfinite(at).all():
        raise Rejected(f"{where} or after: a timestamp is not finite")
    return at


def _numbers(value: Any) -> Floats:
    cast = pc.fill_null(pc.cast(value, pa.float64(), safe=False), math.nan)
    numbers: Floats = cast.to_numpy(zero_copy_only=False)
    return numbers


def _flags(column: Any) -> npt.NDArray[np.bool_] | None:
    return flags(["" if each is None else str(each) for each in column.to_pylist()])
