"""The OpenTelemetry Collector's Kafka exporter: every point and log record that it was sent."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from prometheus_client import CollectorRegistry

from schemas.frames import canonical
from streams.broker.embedded import EmbeddedBroker
from streams.broker.node import free_ports
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings
from tests.streams.intake.test_intake import ANY_TIME, count, working
from tests.streams.kafka_world import letters, samples, until, world
from tests.streams.producers.logs import Taken, labelled, same, taken
from tests.streams.producers.raw import make, raw, sizes
from tests.streams.producers.unpacked import TOKYO, running

CONFIGURATION = """\
receivers:
  otlp/proto: {{protocols: {{http: {{endpoint: "127.0.0.1:{proto}"}}}}}}
  otlp/json: {{protocols: {{http: {{endpoint: "127.0.0.1:{json}"}}}}}}
processors:
  batch: {{timeout: 100ms, send_batch_size: 40}}
exporters:
  kafka/proto:
    brokers: ["{brokers}"]
    metrics: {{topic: "{metrics_proto}", encoding: otlp_proto}}
    logs: {{topic: "{logs_proto}", encoding: otlp_proto}}
    partition_metrics_by_resource_attributes: true
    producer: {{compression: zstd}}
    sending_queue: {{num_consumers: 1}}
  kafka/json:
    brokers: ["{brokers}"]
    metrics: {{topic: "{metrics_json}", encoding: otlp_json}}
    logs: {{topic: "{logs_json}", encoding: otlp_json}}
    partition_logs_by_trace_id: true
    sending_queue: {{num_consumers: 1}}
  kafka/raw:
    brokers: ["{brokers}"]
    logs: {{topic: "{logs_raw}", encoding: raw}}
service:
  telemetry:
    metrics:
      readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {own}}}}}}}}}]
  pipelines:
    metrics/proto: {{receivers: [otlp/proto], processors: [batch], exporters: [kafka/proto]}}
    metrics/json: {{receivers: [otlp/json], processors: [batch], exporters: [kafka/json]}}
    logs/proto: {{receivers: [otlp/proto], processors: [batch], exporters: [kafka/proto]}}
    logs/json: {{receivers: [otlp/json], processors: [batch], exporters: [kafka/json, kafka/raw]}}
"""
FORMATS = {
    "metrics_proto": "otlp-proto",
    "metrics_json": "otlp-json",
    "logs_proto": "otlp-proto",
    "logs_json": "otlp-json",
    "logs_raw": "text",
}
TOPICS = {name: raw(f"otel-{name.replace('_', '-')}") for name in FORMATS}
ENCODINGS = ("proto", "json")
STEPS = 10
STEP_NS = 1_000_000_000
PROTOBUF = {"content-type": "application/x-protobuf"}
SCOPE = "com.shop"
LEFT_OUT = {"nan": 2, "inf": 1, "stale": 1, "exemplar": 1}  # of a step
POINTS = 15  # of a step
TRACE, SPAN = "AAECAwQFBgcICQoLDA0ODw==", "AAECAwQFBgc="
LEVELS = ("trace", "debug", "info", "warning", "error", "critical")
BODIES: list[tuple[dict[str, Any], str]] = [  # a body, and its text
    ({"stringValue": 'two\nlines, "quoted" <tag> & café 🧨'}, 'two\nlines, "quoted" <tag> & café 🧨'),
    ({"stringValue": "2026-01-02T03:04:05Z looks like a time"}, "2026-01-02T03:04:05Z looks like a time"),
    ({"intValue": "42"}, "42"),
    ({"doubleValue": 4.5}, "4.5"),
    ({"boolValue": True}, "true"),
    ({"bytesValue": "aGVsbG8="}, "hello"),
    ({"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "1"}]}}, '["a",1]'),
    (
        {
            "kvlistValue": {
                "values": [
                    {"key": "deep", "value": {"kvlistValue": {"values": [{"key": "x", "value": {}}]}}},
                    {"key": "msg", "value": {"stringValue": "no money"}},
                ]
            }
        },
        '{"deep":{"x":null},"msg":"no money"}',
    ),
]  # fmt: skip


def attributes(given: dict[str, str]) -> list[dict[str, Any]]:
    """Attributes that are text."""
    return [{"key": name, "value": {"stringValue": text}} for name, text in given.items()]


def metrics(step: int, at: int) -> list[dict[str, Any]]:
    """One of every kind; numbers that only grow are of `step` + 1, the others of it."""
    n = step + 1
    point = {"timeUnixNano": at, "startTimeUnixNano": at - STEP_NS}
    exemplar = {"timeUnixNano": at, "asDouble": 1.5, "traceId": TRACE, "spanId": SPAN}
    other = {"attributes": attributes({"queue": "new"})}
    return [
        {"name": "temperature", "unit": "Cel", "gauge": {"dataPoints": [{**point, "asDouble": -0.5 * n}]}},
        {"name": "depth", "gauge": {"dataPoints": [{**point, "asInt": 2**53 + 2 * n}, {**point, **other, "asInt": 0}]}},
        {"name": "odd", "gauge": {"dataPoints": [
            {**point, "asDouble": "NaN"},
            {**point, **other, "asDouble": "-Infinity"},
            {**point, "flags": 1, "attributes": attributes({"queue": "gone"})},
        ]}},
        {"name": "orders", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [{**point, "asInt": 7 * n, "exemplars": [exemplar]}]}},
        {"name": "jobs", "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [{**point, "asDouble": 0.5}]}},
        {"name": "workers", "sum": {"aggregationTemporality": 2, "dataPoints": [{**point, "asInt": -n}]}},
        {"name": "latency", "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [
            {**point, "count": 10 * n, "sum": 7.5 * n, "bucketCounts": [4 * n, 4 * n, 2 * n], "explicitBounds": [0.5, 1], "min": 0.1, "max": 3},
        ]}},
        {"name": "waits", "histogram": {"aggregationTemporality": 1, "dataPoints": [
            {**point, "count": 4, "sum": 2.0, "bucketCounts": [0, 4, 0], "explicitBounds": [0, 1]},
        ]}},
        {"name": "bare", "histogram": {"aggregationTemporality": 2, "dataPoints": [{**point, "count": n, "sum": n}]}},
        {"name": "size", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
            {**point, "count": 8 * n, "sum": 30.0 * n, "scale": 1, "zeroCount": 2 * n, "positive": {"offset": 0, "bucketCounts": [2 * n, n, 3 * n]}},
        ]}},
        {"name": "bytes", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [
            {**point, "count": 3, "sum": -1.0, "scale": 0, "positive": {"offset": 1, "bucketCounts": [1]}, "negative": {"offset": 0, "bucketCounts": [2]}},
        ]}},
        {"name": "gc", "summary": {"dataPoints": [
            {**point, "count": n, "sum": 1.5 * n, "quantileValues": [{"quantile": 0.5, "value": 0.25}, {"quantile": 0.99, "value": "NaN"}]},
        ]}},
    ]  # fmt: skip


def wanted(step: int) -> dict[str, dict[str, float]]:
    """Values of a step's samples by metric and, where there is one, the label that tells it."""
    n = step + 1
    return {
        "temperature": {"": -0.5 * n},
        "depth": {"": float(2**53 + 2 * n), "new": 0.0},
        "orders_total": {"": 7.0 * n},
        "jobs_total": {"": 0.5 * n},
        "workers": {"": float(-n)},
        "latency_bucket": {"0.5": 4.0 * n, "1": 8.0 * n, "+Inf": 10.0 * n},
        "latency_sum": {"": 7.5 * n},
        "latency_count": {"": 10.0 * n},
        "waits_bucket": {"0": 0.0, "1": 4.0 * n, "+Inf": 4.0 * n},
        "waits_sum": {"": 2.0 * n},
        "waits_count": {"": 4.0 * n},
        "bare_sum": {"": float(n)},
        "bare_count": {"": float(n)},
        "size_bucket": {"0": 2.0 * n, "2": 5.0 * n, "4": 8.0 * n, "+Inf": 8.0 * n},
        "size_sum": {"": 30.0 * n},
        "size_count": {"": 8.0 * n},
        "bytes_bucket": {"-1": 2.0 * n, "0": 2.0 * n, "4": 3.0 * n, "+Inf": 3.0 * n},
        "bytes_sum": {"": -1.0 * n},
        "bytes_count": {"": 3.0 * n},
        "gc": {"0.5": 0.25},
        "gc_sum": {"": 1.5 * n},
        "gc_count": {"": float(n)},
    }


# Where quantiles lie, and from which step on: of totals they are of what was added since
QUANTILES = {
    "latency": (0.0, 1.0, 1),
    "waits": (0.0, 1.0, 0),
    "size": (0.0, 4.0, 1),
    "bytes": (-2.0, 4.0, 0),
}
TOLD = {"_bucket": "le", "gc": "quantile", "depth": "queue"}  # by which label


def resource(encoding: str) -> dict[str, str]:
    """Who it is that says something."""
    return {"service.name": f"shop-{encoding}", "host.name": "web1"}


def export(kind: str, encoding: str, found: Sequence[dict[str, Any]]) -> bytes:
    """An export request as an SDK makes it."""
    inner, scoped, outer = {
        "metrics": ("metrics", "scopeMetrics", "resourceMetrics"),
        "logs": ("logRecords", "scopeLogs", "resourceLogs"),
    }[kind]
    scopes = [{"scope": {"name": SCOPE}, inner: list(found)}]
    given = {outer: [{"resource": {"attributes": attributes(resource(encoding))}, scoped: scopes}]}
    request = ExportMetricsServiceRequest() if kind == "metrics" else ExportLogsServiceRequest()
    return bytes(ParseDict(given, request).SerializeToString())


class Line(NamedTuple):
    """A log record, and what must come of it."""

    record: dict[str, Any]
    severity: str
    text: str
    own: dict[str, str]  # attributes that are labels


def said() -> list[Line]:
    """A record of every severity, of every kind of body, and odd ones."""
    found = [
        Line({"severityNumber": n, "body": {"stringValue": f"level {n}"}}, LEVELS[(n - 1) // 4], f"level {n}", {})
        for n in range(1, 25)
    ]  # fmt: skip
    for word, severity in (("E", "error"), ("Information", "info"), ("notice", "notice")):
        record = {"severityText": word, "severityNumber": 17 if word == "E" else 9}
        found.append(
            Line({**record, "body": {"stringValue": f"says {word}"}}, severity, f"says {word}", {})
        )
    found += [Line({"severityNumber": 9, "body": body}, "info", text, {}) for body, text in BODIES]
    traced = {"traceId": TRACE, "spanId": SPAN, "flags": 1, "severityNumber": 13}
    own = {"code": "7", "user": 'x="1"'}
    found.append(
        Line(
            {**traced, "body": {"stringValue": "traced"}, "attributes": attributes(own)},
            "warning",
            "traced",
            own,
        )
    )
    stack = "java.lang.IllegalStateException\n" + "\tat com.shop.Pay.refuse(Pay.java:42)\n" * 300
    thrown = attributes({"exception.stacktrace": stack, "exception.type": "X"})
    found.append(
        Line(
            {"severityNumber": 17, "body": {"stringValue": "thrown"}, "attributes": thrown},
            "error",
            "thrown",
            {"exception.type": "X"},
        )
    )
    found.append(
        Line({"severityNumber": 9, "eventName": "order.placed"}, "info", "order.placed", {})
    )
    return found  # fmt: skip


BLANK = ({"severityNumber": 9, "body": {"stringValue": ""}}, {"severityNumber": 9})


def counted(text: str) -> dict[str, int]:
    """What the collector says it sent, by exporter and kind."""
    found = re.findall(
        r'^otelcol_exporter_sent_(\w+?)(?:_total)?\{.*?exporter="kafka/(\w+)".*\} (\S+)$',
        text,
        re.MULTILINE,
    )
    return {f"{exporter} {kind}": int(float(many)) for kind, exporter, many in found}


@pytest.mark.broker
@pytest.mark.faults
@pytest.mark.timeout(1500)  # the first time the collector is built
def test_everything_that_the_collector_sent_is_there(
    collector: Path, broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """Metrics of every kind and logs, in both encodings; bodies of logs also raw."""
    kafka = world(broker.bootstrap, topic_prefix)
    make(kafka, TOPICS.values())
    names = {name: kafka.topic(topic) for name, topic in TOPICS.items()}
    ports = dict(zip((*ENCODINGS, "own"), free_ports(3), strict=True))
    file = tmp_path / "collector.yaml"
    file.write_text(CONFIGURATION.format(brokers=broker.bootstrap, **names, **ports))
    now = time.time_ns() // STEP_NS * STEP_NS - 600 * STEP_NS
    lines = said()
    records = [line.record for line in lines] + list(BLANK)
    stamped = [{**record, "timeUnixNano": now + i * 1_000_000} for i, record in enumerate(records)]
    with (
        sizes(kafka, TOPICS.values()) as written,
        httpx.Client(timeout=60, trust_env=False) as client,
        running(collector, f"--config={file}", folder=tmp_path, environment={"TZ": TOKYO}) as agent,
    ):

        def asked(port: str, path: str) -> str:
            try:
                return client.get(f"http://127.0.0.1:{ports[port]}{path}").text
            except httpx.TransportError:
                return ""

        def post(kind: str, encoding: str, body: bytes) -> None:
            place = f"http://127.0.0.1:{ports[encoding]}/v1/{kind}"
            answer = client.post(place, content=body, headers=PROTOBUF)
            assert answer.status_code == 200, answer.text

        until(lambda: all(asked(e, "/") for e in ENCODINGS) or not agent.running, 150)
        assert agent.running, agent.log_tail()
        for encoding in ENCODINGS:
            for step in range(STEPS):
                found = metrics(step, now + step * STEP_NS)
                post("metrics", encoding, export("metrics", encoding, found))
            for _ in range(2):  # the second time all of its origins are known
                post("logs", encoding, export("logs", encoding, stamped))
        points, logs = POINTS * STEPS, 2 * len(records)
        sent = {f"{encoding} metric_points": points for encoding in ENCODINGS}
        sent |= {f"{name} log_records": logs for name in (*ENCODINGS, "raw")}
        until(lambda: counted(asked("own", "/metrics")) == sent, 150)
        agent.stop(60)
        in_kafka = sum(written().values())

    formats = {TOPICS[name].name: read_in for name, read_in in FORMATS.items()}
    hall = {TOPICS["logs_raw"].name: "hall"}
    settings = IntakeSettings.model_validate(
        {"topics": formats, "services": hall, "limits": ANY_TIME}
    )
    registry = CollectorRegistry()
    with working(kafka, settings, registry):
        until(lambda: count(registry, "records") == in_kafka)
    assert not [(letter.rule, letter.reason) for letter in letters(kafka)]
    check_metrics(kafka, now // 1_000_000)
    check_lines(kafka, lines, now // 1_000_000)
    left_out = Counter[str]()
    for family in registry.collect():
        for sample in family.samples:
            if sample.name == "sentinel_intake_skipped_total" and sample.value:
                left_out[sample.labels["reason"]] += int(sample.value)
    steps = STEPS * len(ENCODINGS)
    # Raw, a blank text is a pair of quotes, and no body is no record
    assert left_out == Counter(
        {k: v * steps for k, v in LEFT_OUT.items()} | {"blank": 2 * 2 * 2 + 2}
    )


def check_metrics(kafka: KafkaSettings, now: int) -> None:
    """Every sample has its value and time, and quantiles are where they must be."""
    found = {(row.series, row.at): row.value for row in samples(kafka)}
    assert len(found) == len(samples(kafka))
    for encoding in ENCODINGS:
        service = f"shop-{encoding}"
        labels = {**resource(encoding), "service": service, "otel_scope_name": SCOPE}
        for step in range(STEPS):
            at = now + step * STEP_NS // 1_000_000
            for metric, values in wanted(step).items():
                for told, value in values.items():
                    label = next((v for k, v in TOLD.items() if metric.endswith(k)), "")
                    series = canonical(metric, labels | ({label: told} if told else {}))
                    assert found.pop((series, at)) == value, (series, step)
            for metric, (low, high, first) in QUANTILES.items():
                for share in ("p50", "p95", "p99"):
                    series = canonical(f"{metric}_{share}", labels)
                    assert ((series, at) in found) == (step >= first), (series, step)
                    assert low <= found.pop((series, at), high) <= high, (series, step)
    assert not found


def check_lines(kafka: KafkaSettings, lines: Sequence[Line], now: int) -> None:
    """Every log record is a line, with its text, severity, time and labels."""
    all_taken = taken(kafka)
    raw_ones = Counter(line.text for line, _ in all_taken if line.service == "hall")
    assert raw_ones == Counter({line.text: 2 for line in lines if "body" in line.record})
    others = [(line, at) for line, at in all_taken if line.service != "hall"]
    expected = [
        (
            Taken(
                f"shop-{encoding}",
                line.severity,
                line.text,
                labelled(**resource(encoding), otel_scope_name=SCOPE, **line.own),
            ),
            now + i,
        )
        for encoding in ENCODINGS
        for i, line in enumerate(lines)
    ] * 2
    same([line for line, _ in others], [line for line, _ in expected])
    assert Counter((line.text, at) for line, at in others) == Counter(
        (line.text, at) for line, at in expected
    )
