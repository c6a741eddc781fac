"""OTLP over real HTTP: both signals, both encodings, and the protocol's answers."""

import gzip
import json
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToJson, Parse
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from prometheus_client import CollectorRegistry

from schemas.frames import read_lines
from schemas.topics import LOGLINES, RAW_LOGS, RAW_METRICS
from streams.bridge.otlp import JSON, PROTOBUF
from streams.broker.embedded import EmbeddedBroker
from streams.formats.proto.status_pb2 import Status
from streams.intake.settings import IntakeSettings
from tests.streams.bridge.over_http import ANY_TIME, GONE, serving
from tests.streams.formats.reading import NOW
from tests.streams.intake.test_intake import count, working
from tests.streams.kafka_world import records, samples, until, world

METRICS, LOGS = "/v1/metrics", "/v1/logs"
AT_NS = NOW * 1_000_000


def export(*values: float, service: str = "checkout") -> metrics.ExportMetricsServiceRequest:
    """A gauge `depth` with a point for each value; NaN stands for one without a value."""
    request = metrics.ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    pair = resource.resource.attributes.add(key="service.name")
    pair.value.string_value = service
    metric = resource.scope_metrics.add().metrics.add(name="depth")
    for value in values:
        point = metric.gauge.data_points.add(time_unix_nano=AT_NS)
        if value == value:  # noqa: PLR0124 - is it a number?
            point.as_double = value
    return request


def log_export(*texts: str, service: str = "checkout") -> logs.ExportLogsServiceRequest:
    request = logs.ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    pair = resource.resource.attributes.add(key="service.name")
    pair.value.string_value = service
    scope = resource.scope_logs.add()
    for text in texts:
        line = scope.log_records.add(time_unix_nano=AT_NS, severity_text="WARN")
        line.body.string_value = text
    return request


def send(client: httpx.Client, path: str, message: Any, media: str, **more: str) -> httpx.Response:
    body = message.SerializeToString() if media == PROTOBUF else MessageToJson(message).encode()
    if more.get("content-encoding") == "gzip":
        body = gzip.compress(body)
    return client.post(path, content=body, headers={"content-type": media} | more)


def read(answer: httpx.Response, into: Any) -> Any:
    """The answer's message, in the encoding of its request."""
    assert answer.headers["content-type"] == answer.request.headers["content-type"]
    if answer.headers["content-type"] == JSON:
        return Parse(answer.content, into)
    into.ParseFromString(answer.content)
    return into


@pytest.mark.broker
def test_what_is_exported_arrives_in_the_frames(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    packed = {"content-encoding": "gzip"}
    with serving(kafka) as client:
        for value, media, more in ((1, PROTOBUF, {}), (2, JSON, {}), (3, PROTOBUF, packed), (4, JSON, packed)):  # fmt: skip
            answer = send(client, METRICS, export(value), media, **more)
            assert answer.status_code == 200
            found = read(answer, metrics.ExportMetricsServiceResponse())
            assert found == metrics.ExportMetricsServiceResponse()
            answer = send(client, LOGS, log_export(f"line {value}"), media, **more)
            assert answer.status_code == 200
            found = read(answer, logs.ExportLogsServiceResponse())
            assert found == logs.ExportLogsServiceResponse()
    assert (len(records(kafka, RAW_METRICS)), len(records(kafka, RAW_LOGS))) == (4, 4)
    registry = CollectorRegistry()
    with working(kafka, IntakeSettings.model_validate(ANY_TIME), registry):
        until(lambda: count(registry, "records") == 8)
    assert {row.value for row in samples(kafka)} == {1, 2, 3, 4}
    frames = [read_lines(message.value()) for message in records(kafka, LOGLINES)]
    assert sorted(text for frame in frames for text in frame.text) == [
        f"line {value}" for value in range(1, 5)
    ]


@pytest.mark.broker
@pytest.mark.parametrize("media", [PROTOBUF, JSON])
def test_a_part_that_is_refused_is_the_protocol_s_partial_success(
    broker: EmbeddedBroker, topic_prefix: str, media: str
) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    nan = float("nan")
    with serving(kafka) as client:
        answer = send(client, METRICS, export(1, nan, nan, 2), media)
        partial = read(answer, metrics.ExportMetricsServiceResponse()).partial_success
        assert answer.status_code == 200
        assert partial.rejected_data_points == 2
        assert partial.error_message == (
            "bad-value: element 1: depth: a point without a value (and 1 more)"
        )
        answer = send(client, LOGS, log_export("good", "", "x" * 70_000), media)
        partial = read(answer, logs.ExportLogsServiceResponse()).partial_success
        assert answer.status_code == 200
        assert partial.rejected_log_records == 1  # a blank line is left out, not refused
        assert "line-too-long: element 2: 70000 bytes" in partial.error_message


@pytest.mark.parametrize("media", [PROTOBUF, JSON])
def test_failures_are_the_protocol_s_status(media: str) -> None:
    """Kafka is gone; only what is good is asked to come back."""
    tokens = {"shop": {"token": "s" * 16}}
    shown = {"authorization": "Bearer " + "s" * 16}
    with serving(GONE, acknowledge_s=0.2, tokens=tokens) as client:
        for answer, status, code, text in (
            (send(client, METRICS, export(1), media), 401, 16, "bearer token"),
            (send(client, METRICS, export(float("nan")), media, **shown), 400, 3, "bad-value"),
            (send(client, METRICS, log_export("a"), media, **shown), 400, 3, "go to /v1/logs"),
            (send(client, LOGS, export(1), media, **shown), 400, 3, "go to /v1/metrics"),
            (send(client, METRICS, export(1, service=""), media, **shown), 400, 3, "no-service"),
            (send(client, LOGS, log_export("a", service=""), media, **shown), 400, 3, "no-service"),
            (send(client, METRICS, log_export("a", service=""), media, **shown), 400, 3, "go to /v1/logs"),
            (send(client, LOGS, export(1, service=""), media, **shown), 400, 3, "go to /v1/metrics"),
            (client.post(LOGS, content=b"\xff{", headers=shown | {"content-type": media}), 400, 3, "bad-"),
            (client.post(LOGS, content=bytes(1 << 21), headers=shown | {"content-type": media}), 413, 3, "more than"),
            (send(client, METRICS, export(1), media, **shown), 503, 14, "did not confirm"),
        ):  # fmt: skip
            told = read(answer, Status())
            assert (answer.status_code, told.code) == (status, code), told
            assert text in told.message
            assert ("retry-after" in answer.headers) == (status == 503)


def test_an_encoding_that_is_none_is_refused_in_protobuf() -> None:
    with serving(GONE) as client:
        answer = client.post(METRICS, content=b"x", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert "application/json" in Status.FromString(answer.content).message


@pytest.mark.parametrize(
    ("media", "nothing"),
    [(PROTOBUF, b""), (JSON, b"{}"), (JSON, json.dumps({"resourceMetrics": []}).encode())],
)
def test_a_request_without_data_is_a_success(media: str, nothing: bytes) -> None:
    """Also while Kafka is gone: there is nothing to keep."""
    with serving(GONE) as client:
        answer = client.post(METRICS, content=nothing, headers={"content-type": media})
        told = client.get("/metrics").text
    assert answer.status_code == 200
    assert "sentinel_bridge_samples_total 0.0" in told
