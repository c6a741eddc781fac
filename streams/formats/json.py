"""Our own JSON events: metrics and log lines.

    {"service":"checkout","metric":"latency_p95_ms","at":"2026-01-02T03:04:05.678Z",
     "value":212.4,"labels":{"region":"eu"}}
    {"service":"checkout","at":1767323045678,"severity":"error","message":"payment refused"}

A record holds one, a list of them, or several separated by newlines. The time may also be
called `timestamp`, `ts` or `time`; a log line's `message` may be `msg`, its `severity`
`level`. Fields that are not ours are passed over without being decoded, and so are labels
whose bytes were seen before; of a record that came before with another time and value only
these two are read (`known`). That is what makes this fast.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, Raw

from streams.formats.columns import ELEMENT, Batch, Parsed, Reading, Rows, Scanned, settled
from streams.formats.document import Documents
from streams.formats.json_scan import NEVER, ORIGIN, STATED, TEXT, TIME, KnownLines
from streams.formats.known import KnownRecords
from streams.formats.limits import Refused, quoted
from streams.formats.line_scan import FoundLines, put
from streams.formats.record import moments, whose
from streams.formats.series import origin_of
from streams.formats.severity import severity
from streams.formats.times import epoch_ms
from streams.formats.verdict import too_long, verdict

Labels = dict[str, str | int | float | bool | None]
LABELS = msgspec.json.Decoder(Labels)
NONE = Raw(b"")
TIMES = ("at", "timestamp", "ts", "time")
OWN = {"service", "metric", "value", "labels", "message", "msg", "severity", "level", *TIMES}
METRIC = {"metric": NEVER, "value": NEVER}  # what no log line has
LEARNED = 100  # records from which lines are learned before the rest is looked at again


class Decoders:
    """Decoders of one event and of a list, with the top-level fields that may name a service."""

    def __init__(self, services: tuple[str, ...]) -> None:
        others = [name for name in services if name not in OWN]
        self.named = tuple(others)
        self.others = tuple(f"named_{i}" for i in range(len(others)))
        moment = int | float | str | None
        event = msgspec.defstruct(
            "Event",
            [
                ("service", str | None, None),
                ("metric", str | None, None),
                ("value", float | str | None, UNSET),
                ("labels", Raw, NONE),
                ("message", str | None, None),
                *((name, moment, None) for name in TIMES),
                *((name, Any, None) for name in ("msg", "severity", "level", *self.others)),
            ],
            rename=dict(zip(self.others, others, strict=True)),
            gc=False,  # an event holds no cycles and lives for one batch
        )
        self.documents = Documents(event)
        self.one = self.documents.one

    def service(self, event: Any) -> str:
        """The service that a top-level field other than `service` names, or empty."""
        found = (getattr(event, field) for field in self.others)
        return next((name for name in found if name and isinstance(name, str)), "")

    def fields(self) -> dict[str, int]:
        """What each top-level field is for, where it is a log line's."""
        origins = dict.fromkeys(("service", "labels", *self.named), ORIGIN)
        texts, stated = dict.fromkeys(("message", "msg"), TEXT), ("severity", "level")
        times = dict.fromkeys(TIMES, TIME)
        return {**origins, **texts, **times, **dict.fromkeys(stated, STATED), **METRIC}


decoders = cache(Decoders)


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return Parse(batch, reading).run()


class Parse:
    """One batch on its way through."""

    def __init__(self, batch: Batch, reading: Reading) -> None:
        self.batch, self.reading, self.rows = batch, reading, Rows()
        self.decoders = decoders(reading.limits.services)
        self.records = reading.series.known("json", KnownRecords)
        self.met = self.records.read(batch.values, reading.limits.record_bytes)
        known = ("json lines", batch.service)
        self.lines = reading.series.known(known, lambda: KnownLines(self.decoders.fields()))
        self.new = self.met.code < 0
        self.found: list[FoundLines] = []
        self.look()

    def look(self) -> None:
        """Find the lines of known origin among the records that are new."""
        found = self.lines.read(self.batch.values, self.new, self.reading.limits)
        self.new[found.record] = False
        self.found.append(found)

    def unknown(self) -> Iterator[int]:
        """The records to be read one by one: some, and what is then still unknown of the rest.

        A source that is new has thousands of lines in its first batch; a hundred tell enough.
        """
        some, rest = LEARNED, np.flatnonzero(self.new)
        while len(rest):
            origins = len(self.lines)
            yield from rest[:some].tolist()
            self.new[rest[:some]] = False
            if len(self.lines) != origins and len(rest) > some:
                self.look()
            some, rest = 2 * some, np.flatnonzero(self.new)

    def again(self, record: bytes) -> tuple[int | None, Any, Any]:
        """Series, time and value of a record, where its series was read before."""
        event = self.decoders.one(record)
        key = event.service, event.metric, bytes(event.labels)
        at = epoch_ms([moment(event)], lambda *_: None)
        return self.reading.series.codes.get(key), int(at[0]), event.value

    def run(self) -> Parsed:
        """Walk through the records that are new, then check whole columns."""
        rows, decode, limit = self.rows, self.decoders.one, self.reading.limits.record_bytes
        values, known = self.batch.values, self.reading.series.codes.get
        code, at, value, origin = (
            rows.code.append, rows.at.append, rows.value.append, rows.origin.append,
        )  # fmt: skip
        for index in self.unknown():
            raw = values[index]
            if len(raw) > limit:
                rows.refuse(index, "too-large", f"{len(raw)} bytes, {limit} allowed")
                continue
            try:
                event = decode(raw)
            except (ValueError, RecursionError):
                self.several(index, raw)
                continue
            number = known((event.service, event.metric, bytes(event.labels)))
            if number is None:
                self.add(event, index)
                if event.metric is None and self.lines.learning:
                    self.learn(raw, index)
                continue
            self.records.learn(raw, number, self.again)
            if event.at is None:
                self.add(event, index)
                continue
            code(number)
            at(event.at)
            value(event.value)
            origin(index)
        return self.columns()

    def learn(self, raw: bytes, index: int) -> None:
        """Remember where a record's line comes from, if it was one that can be read."""
        rows = self.rows
        if rows.line_origin[-1:] == [index]:
            at = epoch_ms(rows.line_at[-1:], lambda *_: None)
            said = int(at[0]), rows.severity[-1], rows.text[-1]
            origin = rows.service[-1], rows.labels[-1]
            self.lines.learn(raw, self.reading.limits, said, origin)

    def several(self, index: int, raw: bytes) -> None:
        """A record that is not one event: a list, lines, or nothing that we can read."""
        try:
            found = self.decoders.documents.each(raw, self.reading.limits)
            for element, event in enumerate(found):
                origin = index + ELEMENT * (element + 1)
                if isinstance(event, Exception):
                    self.rows.refuse(origin, *verdict(event))
                else:
                    self.add(event, origin)
        except (ValueError, RecursionError, Refused) as why:
            self.rows.refuse(index, *verdict(why))

    def add(self, event: Any, origin: int) -> None:
        """Note an event whose series is new, or that is a log line, or wrong."""
        try:
            if event.metric is not None:
                number = self.series(event)
                self.rows.code.append(number)
                self.rows.at.append(moment(event))
                self.rows.value.append(event.value)
                self.rows.origin.append(origin)
            else:
                self.line(event, origin)
        except (ValueError, RecursionError, Refused) as error:
            self.rows.refuse(origin, *verdict(error))

    def series(self, event: Any) -> int:
        """The number of the event's series. Raises Refused."""
        index, labels = self.reading.series, bytes(event.labels)
        if event.service:
            key: tuple[Any, ...] = (event.service, event.metric, labels)
            service = event.service
        else:
            service = self.decoders.service(event)
            key = (service, self.batch.service, event.metric, labels)
        number = index.codes.get(key)
        if number is not None:
            return number
        given = texts(event.labels)
        if service:
            given["service"] = service
        now = int(self.batch.now[0])
        return index.learn(key, event.metric, given, self.batch.service, now)

    def line(self, event: Any, origin: int) -> None:
        """Note a log line. Raises Refused."""
        limits, text = self.reading.limits, event.message
        if text is None:
            text = event.msg
        if not isinstance(text, str):
            raise Refused("not-an-event", "has neither a metric nor a message")
        too_long(text, limits.text_bytes)
        named = event.service or self.decoders.service(event)
        known = (named, self.batch.service, bytes(event.labels))
        origins = self.reading.series.origins
        found = origins.get(known)
        if found is None:
            given = texts(event.labels)
            show = self.reading.series.show
            found = origins[known] = origin_of(given, limits, self.batch.service, named, show)
        service, labels = found
        level = event.severity if event.severity is not None else event.level
        self.rows.add_line(origin, service, moment(event), severity(level), text, labels)

    def columns(self) -> Parsed:
        """Times and values as numbers, and what remains of them."""
        rows = self.rows
        for found in self.found:
            put(rows, found)
        at, line_at = moments(rows, self.reading, epoch_ms)
        value = self.numbers(at)
        met = self.met
        there = np.flatnonzero(met.code >= 0)
        scanned = Scanned(met.code[there], met.at[there], met.value[there], there)
        return settled(rows, at, value, line_at, self.batch, self.reading, scanned)

    def numbers(self, at: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The values; one that is no number is refused, unless its time was, and `at` is -1."""
        rows = self.rows
        try:
            return np.array(rows.value, np.float64)
        except (TypeError, ValueError):
            result = np.full(len(rows.value), np.nan)
        for i, given in enumerate(rows.value):
            try:
                if given is not None:  # null: a value that the producer did not have
                    result[i] = float(given)
            except (TypeError, ValueError):
                if at[i] >= 0:
                    said = "missing" if given is UNSET else f"{quoted(given)} is no number"
                    service = whose(rows, self.reading, i)
                    rows.refuse(rows.origin[i], "bad-value", said, service)
                    at[i] = -1
        return result


def moment(event: Any) -> Any:
    """The event's time under whichever name; None when it has none."""
    if event.at is not None:
        return event.at
    if event.timestamp is not None:
        return event.timestamp
    return event.ts if event.ts is not None else event.time


def texts(labels: Raw) -> dict[str, str]:
    """Labels as text; a null one is not there. Raises ValueError for what are none."""
    if not bytes(labels):
        return {}
    return {
        name: written(value) for name, value in LABELS.decode(labels).items() if value is not None
    }


def written(value: str | float | bool) -> str:  # noqa: FBT001 - it is the label's value
    """A label's value as text, as JSON would write it."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value}"
