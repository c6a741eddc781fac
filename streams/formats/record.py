"""One record on its way through a format: what was found in it, and what it broke.

A format says what is in a record's bytes; this counts it, finds its series and sees to it
that a fault costs one element, or the whole record when nothing in it can be told apart.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.formats.columns import (
    ELEMENT,
    Batch,
    Milliseconds,
    Parsed,
    Reading,
    Rows,
    Scanned,
    settled,
)
from streams.formats.limits import Limits, Refused, quoted
from streams.formats.series import origin_of
from streams.formats.times import ColumnReader, epoch_ms
from streams.formats.verdict import FAULTS, too_long, too_many, verdict

Labels = Mapping[str, str]


class Record:
    """Where a format puts what it finds in one record."""

    __slots__ = ("batch", "element", "index", "limits", "reading", "rows", "space")

    def __init__(
        self, index: int, batch: Batch, reading: Reading, rows: Rows, space: Hashable
    ) -> None:
        self.index, self.batch, self.reading, self.rows = index, batch, reading, rows
        self.limits: Limits = reading.limits
        self.element = -1  # of several; -1: the record is one
        self.space = space  # whose keys these are: formats may look series up by equal ones

    @property
    def origin(self) -> int:
        """What identifies the element that is being read."""
        return self.index + ELEMENT * (self.element + 1)

    @property
    def arrived(self) -> int:
        """When the record reached Kafka, epoch ms."""
        return int(self.batch.arrived[self.index])

    def each(self, elements: Iterable[Any], read: Callable[["Record", Any], None]) -> None:
        """Read elements one by one; an exception in the place of one is its fault."""
        for number, element in enumerate(elements):
            self.attempt(number, element, read)
        self.element = -1

    def attempt(self, number: int, element: Any, read: Callable[["Record", Any], None]) -> None:
        """Read one element of several; an exception in its place is its fault."""
        self.element = number
        mark = self._mark()
        try:
            if isinstance(element, Exception):
                raise element
            read(self, element)
        except FAULTS as error:
            self._back(mark)
            self.rows.refuse(self.origin, *verdict(error))

    def sample(
        self,
        key: Hashable,
        metric: str,
        labels: Callable[[], Labels] | Labels,
        at: Any,
        value: float,
        *,
        increment: bool = False,
    ) -> int:
        """Note a sample; its series' number, or -1 when the series was refused. Raises Refused.

        `key` identifies metric and labels as far as the format goes; `labels` are needed when
        it was never seen. An increment is what was added since the producer last spoke.
        """
        rows = self.rows
        _time(at)
        code = self.series(key, metric, labels)
        if code >= 0:
            if increment:
                rows.increments.append(len(rows.code))
            rows.code.append(code)
            rows.at.append(at)
            rows.value.append(value)
            rows.origin.append(self.index + ELEMENT * (self.element + 1))
        return code

    def series(
        self, key: Hashable, metric: str, labels: Callable[[], Labels] | Labels, elements: int = 1
    ) -> int:
        """The number of a series, -1 when it was refused, which costs `elements`."""
        known = (self.space, key)
        code = self.reading.series.codes.get(known)
        if code is not None:
            return code
        try:
            found = labels() if callable(labels) else labels
            now = int(self.batch.now[self.index])
            return self.reading.series.learn(known, metric, found, self.batch.service, now)
        except Refused as error:
            for _ in range(elements):
                self.rows.refuse(self.origin, error.rule, str(error), error.service)
            return -1

    def line(
        self,
        key: Hashable,
        labels: Callable[[], Labels] | Labels,
        at: Any,
        severity: str,
        text: str,
    ) -> None:
        """Note a log line, or count a blank one; `key` identifies its labels. Raises Refused."""
        _time(at)
        too_long(text, self.limits.text_bytes)
        if not text.strip():
            self.skip("blank")
            return
        known = (self.space, key)
        found = self.reading.series.origins.get(known)
        if found is None:
            given = labels() if callable(labels) else labels
            show = self.reading.series.show
            found = origin_of(given, self.limits, self.batch.service, show=show)
            self.reading.series.origins[known] = found
        service, canonical_labels = found
        self.rows.add_line(self.origin, service, at, severity, text, canonical_labels)

    def skip(self, reason: str, elements: int = 1) -> None:
        """Count what is left out on purpose."""
        self.rows.skips[reason] += elements

    def lines(self, raw: bytes) -> Iterable[Any]:
        """The record's lines as text, blank ones left out; in place of a bad one its fault.

        Raises Refused for too many, and for none.
        """
        too_many(raw.count(b"\n"), self.limits.elements)
        found = [line for line in raw.splitlines() if line.strip()]
        if not found:
            raise Refused("empty", "the record is empty")
        return map(decoded, found)

    def _mark(self) -> tuple[int, int, int]:
        rows = self.rows
        return len(rows.code), len(rows.increments), len(rows.line_origin)

    def _back(self, mark: tuple[int, int, int]) -> None:
        rows, (samples, increments, lines) = self.rows, mark
        del rows.increments[increments:]
        for column in (rows.code, rows.at, rows.value, rows.origin):
            del column[samples:]
        for column in (
            rows.line_origin, rows.service, rows.line_at, rows.severity, rows.text, rows.labels,
        ):  # fmt: skip
            del column[lines:]

    def read(self, raw: bytes, read: Callable[["Record", bytes], None]) -> None:
        """Read the whole record; a fault outside of any element costs all of it."""
        mark = self._mark()
        try:
            if len(raw) > (limit := self.limits.record_bytes):
                raise Refused("too-large", f"{len(raw)} bytes, {limit} allowed")
            if not raw:
                raise Refused("empty", "the record is empty")
            read(self, raw)
        except FAULTS as error:
            self.element = -1
            self._back(mark)
            self.rows.refuse(self.index, *verdict(error))


def _time(given: Any) -> None:
    """Raise Refused for what a column of times cannot even hold."""
    if type(given) not in {int, float, str}:
        said = "time missing" if given is None else f"time {quoted(given)}"
        raise Refused("bad-time", said)


def decoded(line: bytes) -> str | Exception:
    """A line's text, or why it is none."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        return error


def read_each(
    batch: Batch,
    reading: Reading,
    read: Callable[[Record, bytes], None],
    *,
    space: Hashable,
    times: ColumnReader = epoch_ms,
    empty: str = "",
) -> Parsed:
    """Read a batch record by record; `times` makes epoch ms of what `read` gave as times.

    `empty` is the reason under which an empty record is left out, where it has a meaning.
    """
    rows = Rows()
    for index, raw in enumerate(batch.values):
        if not raw and empty:
            rows.skips[empty] += 1
            continue
        Record(index, batch, reading, rows, (space, batch.service)).read(raw, read)
    return finished(rows, batch, reading, times)


def finished(
    rows: Rows,
    batch: Batch,
    reading: Reading,
    times: ColumnReader,
    scanned: Scanned | None = None,
) -> Parsed:
    """The columns of what records were read to, and of samples that were read without rows."""
    at, line_at = moments(rows, reading, times)
    value: npt.NDArray[np.float64] = np.array(rows.value, np.float64)
    return settled(rows, at, value, line_at, batch, reading, scanned)


def moments(rows: Rows, reading: Reading, times: ColumnReader) -> tuple[Milliseconds, Milliseconds]:
    """The times of samples and of lines; what is none is refused, as its service's."""

    def refused(i: int, why: str) -> None:
        rows.refuse(rows.origin[i], "bad-time", why, whose(rows, reading, i))

    def line_refused(i: int, why: str) -> None:
        rows.refuse(rows.line_origin[i], "bad-time", why, rows.service[i])

    return times(rows.at, refused), times(rows.line_at, line_refused)


def whose(rows: Rows, reading: Reading, i: int) -> str:
    """The service of a row's series."""
    return reading.series.of_services(np.array([rows.code[i]]))[0]
