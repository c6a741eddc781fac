"""What binary records say of who wrote them: decoded, and looked at for sense.

Protobuf messages parse as each other without an error, and a snappy block has no magic. So
bytes speak for a format only when what comes out of them is whole: names that can be printed,
times of this century, references that lead somewhere, and no field that the message lacks.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streams.connect.clues import MARKED, Clue
from streams.connect.documents import TRACES
from streams.formats.limits import Limits, Refused
from streams.formats.prometheus_avro import METRIC as ADAPTER
from streams.formats.proto.remote_write_v1_pb2 import Label, WriteRequest
from streams.formats.proto.remote_write_v2_pb2 import Request
from streams.formats.remote_write import METRIC, unpacked

EARLIEST = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000)  # ms
LATEST = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000)  # ms
NS = 1_000_000  # in a ms
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:.]*")
MOST_SEVERE = 24  # of OTLP's severities
TRACE_BYTES, SPAN_BYTES = 16, 8
METADATA = {b"\x08", b"\x12"}  # begins with a type, or with a family's name


def clues_of(value: bytes, limits: Limits) -> Iterator[Clue]:
    """What speaks for each binary format in a record."""
    checks = (
        (_metrics, Clue("otlp-proto", MARKED, "decode to OTLP metrics with sane names and times")),
        (_logs, Clue("otlp-proto", MARKED, "decode to OTLP log records with sane names and times")),
        (_traces, Clue(TRACES, MARKED, "decode to OTLP traces")),
        (_adapter, Clue("prometheus-avro", MARKED, "are a Prometheus sample in Avro, to the byte")),
    )
    for holds, clue in checks:
        if _whole(holds, value):
            yield clue
    try:
        message = unpacked(value, limits)
    except Refused:
        return
    if _whole(_version_1, message):
        yield Clue(
            "remote-write", MARKED, "are snappy around remote write 1.0, sane names and times"
        )
    if _whole(_version_2, message):
        yield Clue(
            "remote-write-2", MARKED, "are snappy around remote write 2.0, its symbols whole"
        )


def _whole(holds: Any, value: bytes) -> bool:
    try:
        return bool(holds(value))
    except (DecodeError, ValueError, Refused):  # bad UTF-8 is a ValueError
        return False


def _recent(ms: float) -> bool:
    return EARLIEST <= ms <= LATEST


def _printable(*texts: str) -> bool:
    return all(text and text.isprintable() for text in texts)


def _known(messages: Iterable[Message]) -> bool:
    """Whether the messages hold nothing that their type has not."""
    return all(not len(UnknownFieldSet(message)) for message in messages)


def _keys(attributes: Iterable[Any]) -> bool:
    return _printable(*(pair.key for pair in attributes))


def _within(resources: Iterable[Any], scopes: str, items: str) -> list[Any]:
    """What is in all scopes of all resources of an export request of OTLP."""
    return [
        item
        for resource in resources
        for scope in getattr(resource, scopes)
        for item in getattr(scope, items)
    ]


def _metrics(value: bytes) -> bool:
    request = ExportMetricsServiceRequest.FromString(value)
    metrics = _within(request.resource_metrics, "scope_metrics", "metrics")
    resources = [each.resource for each in request.resource_metrics]
    if not metrics or not _known([request, *request.resource_metrics, *metrics]):
        return False
    if not all(_keys(resource.attributes) for resource in resources):
        return False
    points = [point for metric in metrics for point in _points(metric)]
    return (
        bool(points)
        and _printable(*(metric.name for metric in metrics))
        and all(_recent(point.time_unix_nano / NS) and _keys(point.attributes) for point in points)
    )


def _points(metric: Any) -> Iterable[Any]:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()


def _logs(value: bytes) -> bool:
    request = ExportLogsServiceRequest.FromString(value)
    lines = _within(request.resource_logs, "scope_logs", "log_records")
    if not lines or not _known([request, *request.resource_logs, *lines]):
        return False
    return all(
        _recent((line.time_unix_nano or line.observed_time_unix_nano) / NS)
        and line.severity_number <= MOST_SEVERE
        and _keys(line.attributes)
        and (line.HasField("body") or line.attributes or line.severity_text)
        for line in lines
    )


def _traces(value: bytes) -> bool:
    request = ExportTraceServiceRequest.FromString(value)
    spans = _within(request.resource_spans, "scope_spans", "spans")
    return bool(spans) and all(
        len(span.trace_id) == TRACE_BYTES
        and len(span.span_id) == SPAN_BYTES
        and _recent(span.start_time_unix_nano / NS)
        for span in spans
    )


def _adapter(value: bytes) -> bool:
    record = ADAPTER.read(value)
    datetime.fromisoformat(record["timestamp"])
    float(record["value"])
    return NAME.fullmatch(record["name"]) is not None and _printable(*record["labels"])


def _version_1(message: bytes) -> bool:
    request = WriteRequest.FromString(message)
    if not _known([request, *request.timeseries]):
        return False
    if not request.timeseries:
        return bool(request.metadata) and all(each[:1] in METADATA for each in request.metadata)
    return all(
        _named([(label.name, label.value) for label in map(Label.FromString, series.labels)])
        and _timed(series)
        for series in request.timeseries
    )


def _version_2(message: bytes) -> bool:
    request = Request.FromString(message)
    symbols = list(request.symbols)
    if symbols[:1] != [""] or not request.timeseries:
        return False
    for series in request.timeseries:
        refs = list(series.labels_refs)
        if len(refs) % 2 or max(refs, default=0) >= len(symbols):
            return False
        texts = [symbols[ref] for ref in refs]
        if not _named(list(zip(texts[::2], texts[1::2], strict=True))) or not _timed(series):
            return False
    return _known([request, *request.timeseries])


def _named(labels: list[tuple[str, str]]) -> bool:
    given = dict(labels)
    return _printable(*given) and NAME.fullmatch(given.get(METRIC, "")) is not None


def _timed(series: Any) -> bool:
    return all(_recent(each.timestamp) for each in (*series.samples, *series.histograms))
