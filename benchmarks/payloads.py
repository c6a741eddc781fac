"""The load of the wire formats: records as their producers write them, and their plain decoders.

Each kind has two decoders, so that nobody is fooled by either. `parse` is the library's call
alone. `read` also makes every label, time and value a Python object in a list, which is what
`orjson.loads` does by itself: protobuf's upb parses into memory of its own and makes Python
objects only of what is asked for. `read` is the peer; `parse` is printed beside it.

* remote write 1.0: 500 samples of 500 series a request, ten labels each, as Prometheus shards
  them; decoders: snappy, then `WriteRequest.FromString`
* remote write 2.0: the same samples, with their labels in a table of symbols and the metadata
  that Prometheus sends with each series; decoders: snappy, then `Request.FromString`
* OTLP metrics: what a collector batches, five resources of 100 points, half of them
  cumulative sums; decoder: `ExportMetricsServiceRequest.FromString`
* OTLP logs: 500 records of five resources; decoder: `ExportLogsServiceRequest.FromString`
* JSON log lines, one a record; decoder: `orjson.loads`, for both
* text log lines, one a record; decoders: `bytes.decode`, and split into words
"""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import cramjam
import numpy as np
import numpy.typing as npt
import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

from benchmarks.logs import lines_of_statements
from streams.formats.proto.remote_write_v2_pb2 import Request

SERVICES, SERIES = 20, 500  # 10,000 series
REQUEST = 500  # samples or log records of a request
STEP_MS = 10_000  # between a series' samples
LINE_MS = 1  # between log lines
MARK_NS, MARK_MS = 0x1122334455667788, 1_767_323_045_678  # where a time is to be written
JUMP = 5000.0  # of the last samples of one gauge a service: an anomaly must come of them
LAST = 3  # so many of these samples
QUIET_MS = 60_000  # the lines after which the others' buckets are closed come so much later
LAST_LINES = 4 * REQUEST  # which are of every service
LEVELS = ("info", "info", "info", "info", "debug", "warning", "error")


class Payload(NamedTuple):
    """Records of one format."""

    name: str  # in results.json
    said: str  # for a person
    format: str  # as intake's settings name it
    records: Sequence[bytes]
    elements: int  # samples or lines in all
    parse: Callable[[bytes], Any]
    read: Callable[[bytes], Any]
    decoder: str  # what `read` is
    ways: int  # every so many records come from the same producer
    lines: bool = False  # log lines, not samples
    service: str = ""  # of records that name none
    samples: int = 0  # that come of all elements; 0: one of each

    @property
    def bytes(self) -> int:
        """Bytes of all records."""
        return sum(map(len, self.records))


# ---- remote write


def remote_write(laps: int, start_ms: int) -> Payload:
    """Requests of `laps` samples a series, from `start_ms` on."""
    records, ways = _written(laps, start_ms, _write_template)
    return Payload(
        "remote_write", "remote write, 500 samples a request", "remote-write", records,
        laps * SERVICES * SERIES, _write_parsed, _write_read,
        "snappy + FromString, labels, times and values read", ways,
    )  # fmt: skip


def remote_write_2(laps: int, start_ms: int) -> Payload:
    """The same in version 2.0."""
    records, ways = _written(laps, start_ms, _write_2_template)
    return Payload(
        "remote_write_2", "remote write 2.0, 500 samples a request", "remote-write-2", records,
        laps * SERVICES * SERIES, _write_2_parsed, _write_2_read,
        "snappy + FromString, labels, times and values read", ways,
    )  # fmt: skip


Template = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]  # and where values are, as a column


def _written(
    laps: int, start_ms: int, make: Callable[[list[int]], Template]
) -> tuple[list[bytes], int]:
    """Requests of `laps` samples a series, and how many make one of each."""
    draw = np.random.default_rng(1)
    order = np.random.default_rng(2).permutation(SERVICES * SERIES)
    templates = [make(part.tolist()) for part in np.split(order, SERVICES)]
    records: list[bytes] = []
    for lap in range(laps):
        stamp = np.frombuffer(_varint(start_ms + lap * STEP_MS), np.uint8)
        for k, (template, places) in enumerate(templates):
            part = order[k * SERIES : (k + 1) * SERIES]
            value = draw.normal(200.0, 12.0, SERIES)
            value[(part % SERIES == 0) & (lap >= laps - LAST)] += JUMP
            template[places + np.arange(8)] = value.view(np.uint8).reshape(-1, 8)
            template[places + 9 + np.arange(len(stamp))] = stamp
            records.append(bytes(cramjam.snappy.compress_raw(template.tobytes())))
    return records, len(templates)


def _write_template(series: list[int]) -> Template:
    """A request, and where in it each series' value is."""
    request = WRITE_REQUEST()
    for number in series:
        one = request.timeseries.add()
        for name, value in _labels(number).items():
            one.labels.add(name=name, value=value)
        one.samples.add(value=MARK_VALUE, timestamp=MARK_MS)
    raw = request.SerializeToString()
    return np.frombuffer(raw, np.uint8).copy(), _places(raw, MARK_BYTES, len(series))


def _write_2_template(series: list[int]) -> Template:
    """A request of version 2, its symbols in the order in which they are first used."""
    request, symbols = Request(), {"": 0}
    for number in series:
        labels = _labels(number)
        texts = [text for pair in labels.items() for text in pair]
        one = request.timeseries.add(
            labels_refs=[symbols.setdefault(text, len(symbols)) for text in texts]
        )
        one.samples.add(value=MARK_VALUE, timestamp=MARK_MS)
        one.metadata.type = GAUGE_TYPE
        said = f"What {labels['__name__']} is, as its exporter says."
        one.metadata.help_ref = symbols.setdefault(said, len(symbols))
    request.symbols.extend(symbols)
    raw = request.SerializeToString()
    return np.frombuffer(raw, np.uint8).copy(), _places(raw, MARK_BYTES, len(series))


def _labels(number: int) -> dict[str, str]:
    """Labels as kubernetes-pods jobs have them, sorted as Prometheus sends them."""
    service, one = divmod(number, SERIES)
    name, pod = f"service-{service:03d}", f"service-{service:03d}-6d5f7c9b8-{one % 25:05d}"
    return {
        "__name__": METRICS[one // 25], "cluster": "production-eu-1", "container": name,
        "endpoint": "http-metrics", "instance": f"10.{service}.{one % 25}.17:9102",
        "job": f"shop/{name}", "namespace": "shop", "node": f"ip-10-0-{one % 25}-1.internal",
        "pod": pod, "service": name,
    }  # fmt: skip


METRICS = tuple(
    f"{what}_{unit}"
    for what in ("http_request_duration", "process_resident_memory", "queue_depth", "cache_usage")
    for unit in ("seconds_p50", "seconds_p99", "bytes_max", "ratio", "current")
)
GAUGE_TYPE = 2  # as metadata of version 2 has it
MARK_VALUE = -0.0012345678901234
MARK_BYTES = np.float64(MARK_VALUE).tobytes()


def _places(raw: bytes, mark: bytes, expected: int) -> npt.NDArray[np.int64]:
    """Where `mark` is, as a column."""
    found, place = [], raw.find(mark)
    while place >= 0:
        found.append(place)
        place = raw.find(mark, place + 1)
    if len(found) != expected:
        raise RuntimeError(f"{len(found)} places to fill in, {expected} expected")
    return np.array(found, np.int64)[:, None]


def _varint(number: int) -> bytes:
    parts = []
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def _write_request() -> Any:
    """Prometheus' WriteRequest as it is published, with labels as messages of their own."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="bench/remote.proto", package="bench")
    for message, fields in {
        "Label": (("name", 1, kinds.TYPE_STRING, ""), ("value", 2, kinds.TYPE_STRING, "")),
        "Sample": (("value", 1, kinds.TYPE_DOUBLE, ""), ("timestamp", 2, kinds.TYPE_INT64, "")),
        "TimeSeries": (
            ("labels", 1, kinds.TYPE_MESSAGE, ".bench.Label"),
            ("samples", 2, kinds.TYPE_MESSAGE, ".bench.Sample"),
        ),
        "WriteRequest": (("timeseries", 1, kinds.TYPE_MESSAGE, ".bench.TimeSeries"),),
    }.items():
        described = file.message_type.add(name=message)
        for name, number, kind, of in fields:
            label = kinds.LABEL_REPEATED if of else kinds.LABEL_OPTIONAL
            field = described.field.add(name=name, number=number, type=kind, label=label)
            if of:
                field.type_name = of
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.WriteRequest"))


WRITE_REQUEST: Any = _write_request()


def _write_parsed(raw: bytes) -> Any:
    return WRITE_REQUEST.FromString(bytes(cramjam.snappy.decompress_raw(raw)))


def _write_read(raw: bytes) -> Any:
    labels, at, value = [], [], []
    for series in _write_parsed(raw).timeseries:
        labels.append([(label.name, label.value) for label in series.labels])
        for sample in series.samples:
            at.append(sample.timestamp)
            value.append(sample.value)
    return labels, at, value


def _write_2_parsed(raw: bytes) -> Any:
    return Request.FromString(bytes(cramjam.snappy.decompress_raw(raw)))


def _write_2_read(raw: bytes) -> Any:
    request = _write_2_parsed(raw)
    symbols, labels, at, value = list(request.symbols), [], [], []
    for series in request.timeseries:
        texts = [symbols[ref] for ref in series.labels_refs]
        labels.append(list(zip(texts[::2], texts[1::2], strict=True)))
        for sample in series.samples:
            at.append(sample.timestamp)
            value.append(sample.value)
    return labels, at, value


# ---- OTLP


def otlp_metrics(laps: int, start_ms: int) -> Payload:
    """Export requests of `laps` points a series, from `start_ms` on."""
    draw = np.random.default_rng(1)
    requests = SERVICES * SERIES // REQUEST
    templates = [_metrics_template(number) for number in range(requests)]
    records: list[bytes] = []
    for lap in range(laps):
        stamp = np.array([(start_ms + lap * STEP_MS) * 1_000_000], np.uint64).view(np.uint8)
        for template, places in templates:
            value = draw.normal(200.0, 12.0, REQUEST).reshape(5, 2, 50)
            value[:, 1] = 1000.0 + 200.0 * lap + draw.normal(0, 2.0, (5, 50))  # counters
            value[:, 0, 0] += JUMP * (lap >= laps - LAST)
            template[places + np.arange(8)] = stamp
            template[places + 9 + np.arange(8)] = value.view(np.uint8).reshape(-1, 8)
            records.append(template.tobytes())
    return Payload(
        "otlp_metrics", "OTLP metrics, 500 points a batch", "otlp-proto", records,
        laps * SERVICES * SERIES, ExportMetricsServiceRequest.FromString, _metrics_read,
        "FromString, attributes, times and values read", requests,
    )  # fmt: skip


def _metrics_template(number: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """A request of five services, 50 points of gauges and 50 of sums each; times' places."""
    request = ExportMetricsServiceRequest()
    part, first = divmod(number, SERVICES // 5)
    for service in range(5 * first, 5 * first + 5):
        scoped = resource(request.resource_metrics.add(), service).scope_metrics.add()
        scoped.scope.name = "io.opentelemetry.http"
        for metric in range(4):
            found = scoped.metrics.add(
                name=f"http.server.{METRICS[4 * part + metric]}", unit="ms", description="as it is"
            )
            kind = found.gauge if metric < 2 else found.sum
            if metric >= 2:
                found.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
                found.sum.is_monotonic = True
            for one in range(25):
                kind.data_points.add(
                    start_time_unix_nano=1_767_323_000_000_000_000,
                    time_unix_nano=MARK_NS,
                    as_double=0.0,
                    attributes=pairs(
                        {
                            "http.request.method": "GET",
                            "http.route": f"/api/v1/resource/{one:04d}",
                            "server.address": f"shop-{service:03d}.internal",
                        },
                        {"http.response.status_code": 200},
                    ),
                )
    raw = request.SerializeToString()
    return np.frombuffer(raw, np.uint8).copy(), _places(raw, MARK_NS.to_bytes(8, "little"), REQUEST)


def resource(holder: Any, service: int) -> Any:
    """What holds a service's metrics or logs, its resource filled in."""
    name = f"service-{service:03d}"
    holder.resource.attributes.extend(
        pairs(
            {
                "service.name": name, "service.namespace": "shop", "service.version": "4.17.2",
                "deployment.environment.name": "production", "k8s.pod.name": f"{name}-6d5f7c9b8-x2x4z",
                "k8s.namespace.name": "shop", "host.name": f"ip-10-0-{service}-1.internal",
                "telemetry.sdk.language": "java",
            },
            {},
        )
    )  # fmt: skip
    return holder


def pairs(texts: dict[str, str], numbers: dict[str, int]) -> list[KeyValue]:
    """Attributes."""
    return [
        *(KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in texts.items()),
        *(KeyValue(key=key, value=AnyValue(int_value=value)) for key, value in numbers.items()),
    ]


def attributes(given: Any) -> list[tuple[str, Any]]:
    """Attributes as Python objects."""
    return [(pair.key, getattr(pair.value, pair.value.WhichOneof("value"))) for pair in given]


def _metrics_read(raw: bytes) -> Any:
    labels, at, value = [], [], []
    metric: Any
    for resource in ExportMetricsServiceRequest.FromString(raw).resource_metrics:
        shared = attributes(resource.resource.attributes)
        for scoped in resource.scope_metrics:
            for metric in scoped.metrics:
                name = metric.name
                for point in getattr(metric, metric.WhichOneof("data")).data_points:
                    labels.append((shared, name, attributes(point.attributes)))
                    at.append(point.time_unix_nano)
                    value.append(getattr(point, point.WhichOneof("value")))
    return labels, at, value


def otlp_logs(lines: int, start_ms: int) -> Payload:
    """Export requests of `lines` log records in all, from `start_ms` on."""
    records: list[bytes] = []
    rest = Lines(lines, start_ms)
    while rest.left:
        request = ExportLogsServiceRequest()
        scopes = [
            resource(request.resource_logs.add(), (len(records) * 5 + k) % SERVICES)
            for k in range(5)
        ]
        for n in range(REQUEST):
            at, level, text = rest.next()
            if n % 100 == 0:
                scoped = scopes[n // 100].scope_logs.add()
                scoped.scope.name = "log4j-appender"
            scoped.log_records.add(
                time_unix_nano=at * 1_000_000,
                observed_time_unix_nano=at * 1_000_000 + 731_000,
                severity_text=level.upper(),
                severity_number=9,
                body=AnyValue(string_value=text),
                attributes=pairs({"log.file.name": "app.log", "thread.name": f"exec-{n % 8}"}, {}),
            )
        records.append(request.SerializeToString())
    return Payload(
        "otlp_logs", "OTLP logs, 500 records a batch", "otlp-proto", records, lines,
        ExportLogsServiceRequest.FromString, _logs_read,
        "FromString, attributes, times and bodies read", SERVICES // 5, lines=True,
    )  # fmt: skip


def _logs_read(raw: bytes) -> Any:
    result = []
    for resource in ExportLogsServiceRequest.FromString(raw).resource_logs:
        shared = attributes(resource.resource.attributes)
        for scoped in resource.scope_logs:
            for record in scoped.log_records:
                own = attributes(record.attributes)
                said = record.body.string_value
                result.append((shared, own, record.time_unix_nano, record.severity_text, said))
    return result


# ---- log lines


class Lines:
    """Times, levels and texts of log lines; the last ones of all come `QUIET_MS` later."""

    def __init__(self, lines: int, start_ms: int) -> None:
        draw = random.Random(1)
        self._texts = lines_of_statements(draw, lines)
        self._levels: Iterator[str] = iter(draw.choices(LEVELS, k=lines))
        self.left, self._at = lines, start_ms

    def next(self) -> tuple[int, str, str]:
        """One line: epoch ms, level, text."""
        self._at += LINE_MS
        if self.left == LAST_LINES:
            self._at += QUIET_MS
        self.left -= 1
        return self._at, next(self._levels), next(self._texts)


def json_lines(lines: int, start_ms: int) -> Payload:
    """Lines of our own JSON, one a record, of all services in turn."""
    records: list[bytes] = []
    rest = Lines(lines, start_ms)
    while rest.left:
        service = rest.left % SERVICES
        at, level, text = rest.next()
        labels = {"namespace": "shop", "pod": f"service-{service:03d}-6d5f7c9b8-x2x4z"}
        said = orjson.dumps(
            {
                "service": f"service-{service:03d}", "at": at, "severity": level,
                "message": text, "labels": labels,
            }
        )  # fmt: skip
        records.append(bytes(memoryview(said)))  # a copy: what orjson gives keeps 4 KiB each
    return Payload(
        "json_lines", "log lines in JSON, one a record", "json", records, lines,
        orjson.loads, orjson.loads, "orjson.loads", SERVICES, lines=True,
    )  # fmt: skip


def text_lines(lines: int, start_ms: int) -> Payload:
    """Lines of text, one a record, of one service."""
    records: list[bytes] = []
    rest = Lines(lines, start_ms)
    while rest.left:
        at, level, text = rest.next()
        stamp = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
        records.append(f"{stamp[:23]}Z {level.upper()} [exec-{at % 8}] {text}".encode())
    return Payload(
        "text_lines", "log lines in plain text, one a record", "text", records, lines,
        bytes.decode, _words, "decode + split", 4, lines=True, service="service-000",
    )  # fmt: skip


def _words(raw: bytes) -> list[str]:
    return raw.decode().split()


PAYLOADS: tuple[Callable[[int, int], Payload], ...] = (
    remote_write, remote_write_2, otlp_metrics, otlp_logs, json_lines, text_lines,
)  # fmt: skip
