"""OTLP in protobuf, as the OpenTelemetry Collector's kafka exporter writes it by default.

One record is one export request, of metrics or of logs. Either parses as the other without
an error, so the wire type of the innermost message's first field decides: a metric has its
name there (length-delimited), a log record its time (64 bits). Traces are neither and break
the rules of a metric.
"""

from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from streams.formats.columns import Batch, Parsed, Reading, Rows
from streams.formats.limits import Refused
from streams.formats.line_scan import FoundLines, put
from streams.formats.otlp import TIMES, Walk, texts_of
from streams.formats.otlp_line_scan import KnownLogRecords
from streams.formats.otlp_scan import known_points
from streams.formats.record import Record, finished

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5  # wire types
FIXED = {FIXED64: 8, FIXED32: 4}
NAME = 1  # of a metric; a log record has its time there
RESOURCES, SCOPES, INNER = 1, 2, 2  # the fields on the way to a metric or a log record
MORE = 0x80  # of a varint's byte
NS = 1_000_000  # in a ms
NO_LINES = FoundLines([], [], [], [], [], [])


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    limits, rows, space = reading.limits, Rows(), ("otlp", batch.service)
    plain = [raw if len(raw) <= limits.record_bytes else b"" for raw in batch.values]
    known = known_points(reading.series, batch.service)
    passage = known.through(plain, limits.elements, reading.series)
    logs = reading.series.known(("otlp lines", batch.service), KnownLogRecords)
    lines, held = NO_LINES, None
    for index in passage.stops():
        if held is None:  # log records, or metrics that are not plain: only now it costs a look
            lines, held = logs.read([b""] * index + plain[index:], limits)
            passage.passes(held)
            if held[index]:
                continue
        start, first = len(rows.code), len(rows.line_origin)
        Record(index, batch, reading, rows, space).read(batch.values[index], _request)
        at = [given // NS for given in rows.at[start:]]
        known.learn(plain[index], at, rows, start)
        logs.learn(plain[index], limits, rows, first)
    if passage.exemplars:
        rows.skips["exemplar"] += passage.exemplars
    put(rows, lines)
    return finished(rows, batch, reading, TIMES, passage.found())


def _request(record: Record, raw: bytes) -> None:
    walk = Walk(record, texts_of)
    request: Any
    if holds_metrics(raw):
        request = ExportMetricsServiceRequest.FromString(raw)
        walk.metrics(request.resource_metrics)
    else:
        request = ExportLogsServiceRequest.FromString(raw)
        walk.logs(request.resource_logs)


def holds_metrics(raw: bytes) -> bool:
    """Whether an export request is of metrics, not of logs. Raises Refused."""
    for resource in _delimited(raw, RESOURCES):
        for scope in _delimited(resource, SCOPES):
            for inner in _delimited(scope, INNER):
                return any(field == NAME and kind == DELIMITED for field, kind, _ in _fields(inner))
    return True  # of nothing, which will be refused as such


def _delimited(raw: bytes, wanted: int) -> Iterator[bytes]:
    return (value for field, kind, value in _fields(raw) if field == wanted and kind == DELIMITED)


def _fields(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Number, wire type and (of delimited ones) content of a message's fields. Raises Refused."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        field, kind = tag >> 3, tag & 7
        if kind == VARINT:
            _, end = _varint(raw, at)
        elif kind in FIXED:
            end = at + FIXED[kind]
        elif kind == DELIMITED:
            size, at = _varint(raw, at)
            end = at + size
        else:
            raise Refused("bad-protobuf", f"wire type {kind} at byte {at}")
        if end > len(raw):
            raise Refused("bad-protobuf", f"cut off at byte {len(raw)}")
        yield field, kind, raw[at:end] if kind == DELIMITED else b""
        at = end


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(at + 10, len(raw))):
        value |= (raw[place] & 0x7F) << shift
        if not raw[place] & MORE:
            return value, place + 1
        shift += 7
    raise Refused("bad-protobuf", f"no number at byte {at}")
