"""Times as producers write them, a column at once: epoch numbers of any unit, or RFC 3339."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streams.formats.epoch import LATEST, MICROS, MILLIS, SECONDS, UNITS
from streams.formats.limits import quoted

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ColumnReader = Callable[[Sequence[Any], Callable[[int, str], None]], npt.NDArray[np.int64]]
OUTSIDE = "before 1970 or after 9999"
NANOSECONDS = pa.timestamp("ns", tz="UTC")


def epoch_ms(column: Sequence[Any], refuse: Callable[[int, str], None]) -> npt.NDArray[np.int64]:
    """A column of times as epoch ms, UTC; `refuse(i, reason)` for what is none, and -1 there."""
    if not column:
        return np.zeros(0, np.int64)
    try:
        if isinstance(column[0], str):
            return _checked(_strings(column))
        return _checked(_numbers(column))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _one_by_one(column, refuse)


def _strings(column: Sequence[str]) -> npt.NDArray[np.int64]:
    stamps = pa.array(column, pa.string()).cast(NANOSECONDS).cast(pa.int64())
    if stamps.null_count:
        raise TypeError("a time is missing")
    return np.asarray(stamps.to_numpy(zero_copy_only=False) // 1_000_000, np.int64)


def _numbers(given: Sequence[Any]) -> npt.NDArray[np.int64]:
    column = np.array(given)
    if column.dtype == np.int64:
        if column.min() < 0:  # as ms a large one would wrap around, to any time there is
            raise ValueError(OUTSIDE)
        unit = np.searchsorted([SECONDS, MILLIS, MICROS], column, side="right")
        whole = np.choose(unit, [column * 1000, column, column // 1000, column // 1_000_000])
        return whole.astype(np.int64)
    # Whole numbers among others are floats here, and would be rounded where each alone is cut
    if column.dtype == np.float64 and all(type(one) is float for one in given):
        unit = np.searchsorted([SECONDS, MILLIS, MICROS], column, side="right")
        with np.errstate(over="ignore"):  # an absurd time becomes infinite, and is outside
            whole = np.rint(column * np.array([1e3, 1.0, 1e-3, 1e-6])[unit])
        if not (whole.min() >= 0 and whole.max() <= LATEST):  # NaN is neither
            raise ValueError(OUTSIDE)
        return np.asarray(whole, np.float64).astype(np.int64)
    raise TypeError(f"not times: {column.dtype}")


def _checked(at: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if at.min() < 0 or at.max() > LATEST:
        raise ValueError(OUTSIDE)
    return at


def _one_by_one(column: Sequence[Any], refuse: Callable[[int, str], None]) -> npt.NDArray[np.int64]:
    result = np.full(len(column), -1, np.int64)
    for i, given in enumerate(column):
        try:
            result[i] = one(given)
        except (ValueError, OverflowError, TypeError) as error:
            refuse(i, f"time {quoted(given)}: {error}")
    return result


def one(given: Any) -> int:
    """One time as epoch ms. Raises ValueError or TypeError, saying why.

    >>> one("2026-01-02T03:04:05.678Z"), one(1767323045), one(1767323045678901234)
    (1767323045678, 1767323045000, 1767323045678)
    """
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise TypeError("missing" if given is None else "neither a number nor text")
    if isinstance(given, str):
        at = _moment(given)
    elif isinstance(given, int):
        at = _whole(given)
    else:
        scale = (
            1e3 if given < SECONDS else 1 if given < MILLIS else 1e-3 if given < MICROS else 1e-6
        )
        at = round(given * scale)
    if not 0 <= at <= LATEST:
        raise ValueError(OUTSIDE)
    return at


def _whole(given: int) -> int:
    if given < SECONDS:
        return given * 1000
    return given if given < MILLIS else given // 1000 if given < MICROS else given // 1_000_000


def _moment(given: str) -> int:
    moment = datetime.fromisoformat(given)
    if moment.tzinfo is None:
        raise ValueError("has no time zone: end it in Z or as +02:00")
    return (moment - EPOCH) // timedelta(milliseconds=1)


def in_unit(unit: str) -> ColumnReader:
    """A reader of columns like `epoch_ms`, of numbers in `unit` whatever their magnitude.

    Zero is no time: protocols with a fixed unit write it for "unknown".
    """
    scale = UNITS[unit]

    def column_ms(
        column: Sequence[Any], refuse: Callable[[int, str], None]
    ) -> npt.NDArray[np.int64]:
        if scale == 1 and set(map(type, column)) == {int}:
            whole = np.array(column)
            if whole.dtype == np.int64 and whole.min() > 0:  # LATEST is beyond 64 bits of ns
                return whole // 1_000_000
        result = np.full(len(column), -1, np.int64)
        for i, given in enumerate(column):
            try:
                result[i] = _in(given, scale)
            except (ValueError, OverflowError, TypeError) as error:
                refuse(i, f"time {quoted(given)}: {error}")
        return result

    return column_ms


def _in(given: Any, scale: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError("missing" if given is None else "not a number")
    if not given:
        raise ValueError("missing")
    at = given * scale // 1_000_000 if isinstance(given, int) else round(given * scale / 1e6)
    if not 0 <= at <= LATEST:
        raise ValueError(OUTSIDE)
    return at


class Clock(NamedTuple):
    """How a topic's times are to be read, and what our own ms are among them."""

    read: ColumnReader
    scale: float  # of one ms

    def of(self, ms: int) -> float:
        """A time of ours as the topic would have it."""
        return ms * self.scale if self.scale < 1 else ms * int(self.scale)


CLOCKS = {"": Clock(epoch_ms, 1)} | {  # by unit; none: by magnitude
    unit: Clock(in_unit(unit), 1_000_000 / ns) for unit, ns in UNITS.items()
}
