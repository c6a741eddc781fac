"""Plain text: one log line a record, or several separated by newlines.

A line has the time that it begins with, if that is RFC 3339 with a zone, else the time at
which its record reached Kafka; the severity that it states near its start; and the service
that settings name for the topic, because plain text names none itself. A record that is one text in
JSON is the line that it holds, newlines and all: so the OpenTelemetry Collector's `encoding: raw`
writes the bodies of log records.
"""

import re

import msgspec
import numpy as np

from streams.formats.columns import ELEMENT, Batch, Parsed, Reading, Rows, settled
from streams.formats.line_scan import put
from streams.formats.severity import stated
from streams.formats.text_scan import read
from streams.formats.times import epoch_ms, one

STAMP = re.compile(r"\W?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d))")
NOTHING = np.zeros(0)
TEXT, QUOTE = msgspec.json.Decoder(str), b'"'


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    rows = Rows()
    found, plain = read(batch, reading.limits)
    if not batch.service:
        plain[:] = False
    for index in np.flatnonzero(~plain).tolist():
        raw = batch.values[index]
        if len(raw) > (limit := reading.limits.record_bytes):
            rows.refuse(index, "too-large", f"{len(raw)} bytes, {limit} allowed")
        elif not raw.strip():
            rows.refuse(index, "empty", "the record is empty")
        elif not batch.service:
            rows.refuse(index, "no-service", "plain text names no service, nor do the settings")
        elif raw.count(b"\n") > reading.limits.elements:
            rows.refuse(index, "too-many-elements", f"over {reading.limits.elements} lines")
        else:
            _record(index, raw, batch, reading, rows)
    if batch.service:
        put(rows, found)
    at = epoch_ms(rows.line_at, lambda i, why: rows.refuse(rows.line_origin[i], "bad-time", why))
    return settled(rows, NOTHING.astype(np.int64), NOTHING, at, batch, reading)


def _record(index: int, raw: bytes, batch: Batch, reading: Reading, rows: Rows) -> None:
    lines = [line for line in _lines(raw) if line.strip()]
    if not lines:
        rows.skips["blank"] += 1
    for element, line in enumerate(lines):
        origin = index if len(lines) == 1 else index + ELEMENT * (element + 1)
        if len(line) > (limit := reading.limits.text_bytes):
            rows.refuse(origin, "line-too-long", f"{len(line)} bytes, {limit} allowed")
            continue
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            rows.refuse(origin, "bad-utf8", f"not UTF-8: {error.reason} at byte {error.start}")
            continue
        at = _stamp(text, int(batch.arrived[index]))
        rows.add_line(origin, batch.service, at, stated(text), text, "{}")


def _lines(raw: bytes) -> list[bytes]:
    """The lines of a record, or the one that it is in JSON."""
    if raw.startswith(QUOTE) and raw.rstrip().endswith(QUOTE):
        try:
            return [TEXT.decode(raw).encode()]
        except (msgspec.DecodeError, UnicodeError):  # began and ended in quotes all the same
            pass
    return raw.splitlines()


def _stamp(text: str, otherwise: int) -> int:
    found = STAMP.match(text)
    if not found:
        return otherwise
    try:
        return one(found[1].replace(",", "."))
    except ValueError:  # looked like a time, as 2026-13-45 does
        return otherwise
