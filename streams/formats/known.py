"""Records whose bytes were seen before, but for their time and their value, read by compiled code.

Producers repeat themselves: of a metric's JSON event everything but two numbers comes again
and again, byte for byte. A record is cut into what stands before, between and behind these
two; if the three pieces are those of a record that was read before, only the two numbers are
left to read. No JSON is parsed here and none has to be: with the same bytes around it a number
stands in the same place of the same event.

Whether the two are really the event's time and value is found out by experiment when the
pieces are learned: other numbers are put in their places and the event is decoded again.
What does not fit (escapes in a key, an exponent, a time zone) is simply not found here, and
is read the long way.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agents.scorer.jit import compiled, kept
from streams.formats.epoch import LATEST, MICROS, MILLIS, SECONDS

LONGEST = 4096  # bytes of a record; longer ones are not metrics
ENTRIES = 1 << 19  # records known at most; then all are forgotten
ARENA = 1 << 28  # bytes of theirs at most
CREDIT = 50_000  # records that may be learned before any was met again
EARNED = 0.25  # credit for one that was: whoever never repeats is not learned for long
# What stands before a time, in the order in which they count, and before a value
AT, TIMESTAMP, TS, TIME, VALUE = (
    np.frombuffer(b'"%s":' % name, np.uint8)
    for name in (b"at", b"timestamp", b"ts", b"time", b"value")
)
PROBE_AT, PROBE_VALUE = 1_234_567_890_123, 0.8125
PROBE_TEXT = b'"2009-02-13T23:31:30.123Z"'  # the same moment
QUOTE, SPACE, COMMA, BRACE, MINUS, POINT, ZERO, NINE = 34, 32, 44, 125, 45, 46, 48, 57
DIGITS = 15  # that a float holds exactly, as it does ten to the power of as many
TEXT = 20  # bytes of "2026-01-02T03:04:05 and its quote
LAST_YEAR = 2261  # whose nanoseconds 64 bits can count


class Met(NamedTuple):
    """What was read of a batch; `code` is -1 for the records that were not met before."""

    code: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]  # epoch ms
    value: npt.NDArray[np.float64]


class KnownRecords:
    """Pieces of records and the series that they mean."""

    def __init__(self) -> None:
        # Any odd numbers do, since equal sums are compared byte by byte; but nobody is to know
        # them, who could make records whose sums fall together.
        draw = np.random.default_rng()
        self._factors = draw.integers(0, 1 << 32, LONGEST, dtype=np.uint32) | np.uint32(1)
        self._hint = np.zeros(4, np.int64)  # time's name, its place, value's place, last entry
        self._credit = float(CREDIT)
        self.clear()

    def clear(self) -> None:
        """Forget all: numbers of series that were learned are void."""
        self._slots = np.full(1 << 12, -1, np.int32)
        self._entries = np.zeros((1 << 11, 7), np.int64)  # sum, place, 3 lengths, series, next
        self._arena = np.zeros(1 << 16, np.uint8)
        self._count, self._used = 0, 0
        self._hint[:] = (0, 0, 0, -1)

    def __len__(self) -> int:
        """How many records are known."""
        return self._count

    def read(self, records: Sequence[bytes], longest: int) -> Met:
        """The numbers of those that are known and not longer than `longest`."""
        code = np.full(len(records), -1, np.int64)
        at, value = np.zeros(len(records), np.int64), np.zeros(len(records))
        if not self._count:
            return Met(code, at, value)
        size = np.fromiter(map(len, records), np.int64, len(records))
        end = np.cumsum(size)
        if size.any():
            data = np.frombuffer(b"".join(records), np.uint8)
            met = _read(
                data, end - size, end, min(longest, LONGEST), self._factors,
                self._hint, self._slots, self._entries, self._arena, code, at, value,
            )  # fmt: skip
            self._credit = min(self._credit + EARNED * met, CREDIT)
        return Met(code, at, value)

    def learn(self, record: bytes, code: int, again: Callable[[bytes], Any]) -> None:
        """Remember a record of the series `code`.

        `again` decodes a record to (series, time, value); it may raise ValueError.
        """
        if self._credit < 1 or len(record) > LONGEST:
            return
        data = np.frombuffer(record, np.uint8)
        cut = np.zeros(5, np.int64)
        if not _is_new(data, cut, self._factors, self._slots, self._entries, self._arena):
            return
        self._credit -= 1
        before, first, second, end, swapped = cut.tolist()
        quoted = record[second if swapped else before] == QUOTE
        time = PROBE_TEXT if quoted else b"%d" % PROBE_AT
        probes = [time, repr(PROBE_VALUE).encode()]
        if swapped:
            probes.reverse()
        pieces = record[:before], record[first:second], record[end:]
        probed = pieces[0] + probes[0] + pieces[1] + probes[1] + pieces[2]
        try:
            found = again(probed)
        except (ValueError, RecursionError):  # these were not the numbers
            return
        if found == (code, PROBE_AT, PROBE_VALUE):
            self._add(pieces, code)

    def _add(self, pieces: tuple[bytes, bytes, bytes], code: int) -> None:
        text = b"".join(pieces)
        if self._count >= ENTRIES or self._used + len(text) > ARENA:
            self.clear()
        if 2 * (self._count + 1) > len(self._slots):
            self._grow()
        while self._used + len(text) > len(self._arena):
            self._arena = np.concatenate([self._arena, np.zeros_like(self._arena)])
        self._arena[self._used : self._used + len(text)] = np.frombuffer(text, np.uint8)
        lengths = [len(piece) for piece in pieces]
        self._entries[self._count] = (0, self._used, *lengths, code, -1)
        _enter(self._count, self._factors, self._slots, self._entries, self._arena)
        self._used += len(text)
        self._count += 1

    def _grow(self) -> None:
        self._slots = np.full(2 * len(self._slots), -1, np.int32)
        self._entries = np.concatenate([self._entries, np.zeros_like(self._entries)])
        for entry in range(self._count):
            _enter(entry, self._factors, self._slots, self._entries, self._arena)


@kept
def _read(
    data: Any, begin: Any, end: Any, longest: Any, factors: Any,
    hint: Any, slots: Any, entries: Any, arena: Any, code: Any, at: Any, value: Any,
) -> int:  # fmt: skip
    """Fill `code`, `at` and `value` for the records that are known; how many those are."""
    met = 0
    cut, numbers = np.zeros(5, np.int64), np.zeros(2)
    for i in range(begin.size):
        start, stop = begin[i], end[i]
        if stop - start > longest or not _cut(data, start, stop, hint, cut, numbers):
            continue
        last = hint[3]
        entry = entries[last, 6] if last >= 0 else -1  # what followed it last time
        if entry < 0 or not _same(data, start, stop, cut, arena, entries[entry]):
            entry = _found(data, start, stop, cut, factors, slots, entries, arena)
        if entry < 0:
            continue
        if last >= 0:
            entries[last, 6] = entry
        hint[3] = entry
        code[i], at[i], value[i] = entries[entry, 5], np.int64(numbers[0]), numbers[1]
        met += 1
    return met


@compiled
def _found(
    data: Any, start: Any, stop: Any, cut: Any, factors: Any, slots: Any, entries: Any, arena: Any
) -> Any:
    """The entry with the same three pieces, or -1."""
    total = _sum(data, start, cut[0] - start, factors, 0)
    used = cut[0] - start
    total += _sum(data, cut[1], cut[2] - cut[1], factors, used)
    used += cut[2] - cut[1]
    total += _sum(data, cut[3], stop - cut[3], factors, used)
    mask = slots.size - 1
    slot = _slot(total, mask)
    while slots[slot] >= 0:
        entry = slots[slot]
        if entries[entry, 0] == total and _same(data, start, stop, cut, arena, entries[entry]):
            return np.int64(entry)
        slot = (slot + 1) & mask
    return np.int64(-1)


@compiled
def _same(data: Any, start: Any, stop: Any, cut: Any, arena: Any, entry: Any) -> Any:
    place, a, b, c = entry[1], entry[2], entry[3], entry[4]
    if cut[0] - start != a or cut[2] - cut[1] != b or stop - cut[3] != c:
        return False
    return (
        _equal(data, start, arena, place, a)
        and _equal(data, cut[3], arena, place + a + b, c)
        and _equal(data, cut[1], arena, place + a, b)
    )


@compiled
def _equal(one: Any, i: Any, other: Any, j: Any, size: Any) -> Any:
    """Whether bytes are equal: all are compared, which a compiler makes many at once."""
    left, right = one[i : i + size], other[j : j + size]
    different = np.uint8(0)
    for k in range(size):
        different |= left[k] ^ right[k]
    return different == 0


@compiled
def _sum(data: Any, start: Any, size: Any, factors: Any, place: Any) -> Any:
    """Bytes times the factors of their places."""
    piece, factor = data[start : start + size], factors[place : place + size]
    total = np.int64(0)
    for k in range(size):
        total += np.int64(piece[k]) * np.int64(factor[k])
    return total


@compiled
def _slot(total: Any, mask: Any) -> Any:
    return ((total >> 20) ^ total) & mask


@kept
def _enter(entry: Any, factors: Any, slots: Any, entries: Any, arena: Any) -> None:
    """Put an entry where it will be found."""
    mask, size = slots.size - 1, entries[entry, 2] + entries[entry, 3] + entries[entry, 4]
    entries[entry, 0] = _sum(arena, entries[entry, 1], size, factors, 0)
    slot = _slot(entries[entry, 0], mask)
    while slots[slot] >= 0:
        slot = (slot + 1) & mask
    slots[slot] = entry


@kept
def _is_new(data: Any, cut: Any, factors: Any, slots: Any, entries: Any, arena: Any) -> Any:
    """Fill `cut` for one record; whether it can be cut, and its like did not come earlier."""
    if not _cut(data, 0, data.size, np.zeros(4, np.int64), cut, np.zeros(2)):
        return False
    return _found(data, 0, data.size, cut, factors, slots, entries, arena) < 0


@compiled
def _cut(data: Any, start: Any, stop: Any, hint: Any, cut: Any, numbers: Any) -> Any:
    """Where the record's time and value begin and end, and what they are.

    `cut` gets the first number's ends, the second's, and 1 when the value is the first.
    """
    value = _after(data, start, stop, VALUE, hint[2])
    if value < 0:
        return False
    time = np.int64(-1)
    for k in range(4):
        name = (hint[0] + k) % 4
        time = _time(data, start, stop, name, hint[1] if k == 0 else np.int64(0))
        if time >= 0:
            if k:
                hint[0] = name
            break
    if time < 0:
        return False
    value_end, numbers[1] = _number(data, value, stop)
    time_end, moment = instant(data, time, stop)
    if value_end < 0 or time_end < 0 or value_end >= stop or time_end >= stop:
        return False
    if not (_ends(data[value_end]) and _ends(data[time_end])):
        return False  # more of the number than we can read, which a probe may not show
    numbers[0] = moment
    hint[1], hint[2] = time - start, value - start
    if time < value:
        cut[0], cut[1], cut[2], cut[3], cut[4] = time, time_end, value, value_end, 0
        return time_end <= value
    cut[0], cut[1], cut[2], cut[3], cut[4] = value, value_end, time, time_end, 1
    return value_end <= time


@compiled
def _time(data: Any, start: Any, stop: Any, which: Any, hint: Any) -> Any:
    if which == 0:
        return _after(data, start, stop, AT, hint)
    if which == 1:
        return _after(data, start, stop, TIMESTAMP, hint)
    if which == 2:  # noqa: PLR2004 - the third
        return _after(data, start, stop, TS, hint)
    return _after(data, start, stop, TIME, hint)


@compiled
def _ends(byte: Any) -> Any:
    """Whether it stands behind a whole value."""
    return byte in (COMMA, BRACE, SPACE)


@compiled
def _is(data: Any, place: Any, name: Any) -> bool:
    for k in range(name.size):  # noqa: SIM110 - what numba compiles
        if data[place + k] != name[k]:
            return False
    return True


@compiled
def _after(data: Any, start: Any, stop: Any, name: Any, hint: Any) -> Any:
    """Where the field's value begins, tried first where it was in the record before; or -1."""
    size = name.size
    place = start + hint - size
    if place > start and place + size < stop and _is(data, place, name):
        return place + size
    second, last = name[1], stop - size
    for i in range(start, last):
        if data[i] == QUOTE and data[i + 1] == second and _is(data, i, name):
            place = i + size
            while place < stop and data[place] == SPACE:
                place += 1
            return place
    return np.int64(-1)


@compiled
def _number(data: Any, start: Any, stop: Any) -> Any:
    """A plain decimal number's end and value; an end of -1 for anything else.

    With at most 15 digits the quotient of two exact floats is the nearest one (Clinger 1990).
    """
    i, whole, digits = start, np.int64(0), 0
    negative = i < stop and data[i] == MINUS
    if negative:
        i += 1
    first = i
    while i < stop and ZERO <= data[i] <= NINE and digits <= DIGITS:
        whole = whole * 10 + (data[i] - ZERO)
        digits += 1
        i += 1
    if digits == 0 or (digits > 1 and data[first] == ZERO):
        return np.int64(-1), 0.0
    scale = 1.0
    if i < stop and data[i] == POINT:
        i += 1
        point = i
        while i < stop and ZERO <= data[i] <= NINE and digits <= DIGITS:
            whole = whole * 10 + (data[i] - ZERO)
            scale *= 10.0
            digits += 1
            i += 1
        if i == point:
            return np.int64(-1), 0.0
    if digits > DIGITS or (negative and whole == 0):
        return np.int64(-1), 0.0
    value = np.float64(whole) / scale
    return i, -value if negative else value


@compiled
def instant(data: Any, start: Any, stop: Any) -> Any:
    """A time's end and epoch ms: an integer of any unit, or RFC 3339 in UTC; else -1."""
    if start < stop and data[start] == QUOTE:
        return _text_moment(data, start + 1, stop)
    i, whole = start, np.int64(0)
    while i < stop and ZERO <= data[i] <= NINE and i - start < 19:  # noqa: PLR2004 - 64 bits
        whole = whole * 10 + np.int64(data[i] - ZERO)
        i += 1
    if i == start or whole < 0 or data[start] == ZERO:
        return np.int64(-1), np.int64(0)
    if whole < SECONDS:
        whole *= 1000
    elif whole >= MICROS:
        whole //= 1_000_000
    elif whole >= MILLIS:
        whole //= 1000
    if whole > LATEST:
        return np.int64(-1), np.int64(0)
    return i, whole


@compiled
def digits(data: Any, start: Any, size: Any) -> Any:
    """The number that so many digits are, or -1."""
    whole = np.int64(0)
    for i in range(start, start + size):
        if not ZERO <= data[i] <= NINE:
            return np.int64(-1)
        whole = whole * 10 + np.int64(data[i] - ZERO)
    return whole


@compiled
def _text_moment(data: Any, i: Any, stop: Any) -> Any:
    """`2026-01-02T03:04:05.678Z"`, from behind its first quote."""
    none = np.int64(-1), np.int64(0)
    if i + TEXT + 1 > stop:
        return none
    year, month, day = digits(data, i, 4), digits(data, i + 5, 2), digits(data, i + 8, 2)
    hour, minute = digits(data, i + 11, 2), digits(data, i + 14, 2)
    second = digits(data, i + 17, 2)
    marks = data[i + 4] == MINUS and data[i + 7] == MINUS and data[i + 10] == 84  # noqa: PLR2004 - T
    colons = data[i + 13] == 58 and data[i + 16] == 58  # noqa: PLR2004 - :
    if not (marks and colons and 1970 <= year <= LAST_YEAR and 1 <= month <= 12):  # noqa: PLR2004
        return none
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = 31 - (month in (4, 6, 9, 11))
    if month == 2:  # noqa: PLR2004 - February
        longest = 29 if leap else 28
    if not (1 <= day <= longest and 0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):  # noqa: PLR2004
        return none
    i += 19
    ms, scale = np.int64(0), np.int64(100)
    if data[i] == POINT:
        i += 1
        point = i
        while i < stop and ZERO <= data[i] <= NINE:
            ms += np.int64(data[i] - ZERO) * scale
            scale //= 10
            i += 1
        if not 1 <= i - point <= 9:  # noqa: PLR2004 - down to ns
            return none
    if i + 1 >= stop or data[i] != 90 or data[i + 1] != QUOTE:  # noqa: PLR2004 - Z
        return none
    return i + 2, days(year, month, day) * 86_400_000 + (
        (hour * 60 + minute) * 60 + second
    ) * 1000 + ms


@compiled
def days(year: Any, month: Any, day: Any) -> Any:
    """Days since 1970-01-01. Source: H. Hinnant, days_from_civil."""
    year -= month <= 2  # noqa: PLR2004 - a year begins in March
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1  # noqa: PLR2004
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
