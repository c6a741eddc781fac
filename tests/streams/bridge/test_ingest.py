"""JSON, other formats by name, and Alertmanager's webhook, over real HTTP into a real Kafka."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import cramjam
import httpx
import pytest
from prometheus_client import CollectorRegistry

from schemas.frames import read_lines
from schemas.topics import LOGLINES, RAW_LOGS, RAW_METRICS
from streams.bridge.ingest import ALERT
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings
from tests.streams.bridge.over_http import ANY_TIME, GONE, serving
from tests.streams.formats.reading import AT, NOW
from tests.streams.intake.test_intake import count, working
from tests.streams.kafka_world import letters, records, samples, until, world

TYPE = {"content-type": "application/json"}
SAMPLE = {"service": "checkout", "metric": "m", "at": AT, "value": 1}
LINE = {"service": "checkout", "at": AT, "severity": "error", "message": "no"}
BODY = json.dumps(SAMPLE).encode()
ALERTS = "/ingest/alertmanager"


def post(client: httpx.Client, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post("/ingest", content=content, headers=TYPE | headers)


def bare(body: bytes) -> bytes:
    """What some senders mean by deflate: without zlib's header."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@contextmanager
def _posting(client: httpx.Client) -> Iterator[Callable[[Any], Future[httpx.Response]]]:
    """Posts that go on beside the test."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda body: pool.submit(post, client, body)


def taken(kafka: KafkaSettings, records_to_read: int) -> CollectorRegistry:
    """Let intake read so many records; its metrics."""
    registry = CollectorRegistry()
    with working(kafka, IntakeSettings.model_validate(ANY_TIME), registry):
        until(lambda: count(registry, "records") == records_to_read)
    return registry


@pytest.mark.broker
def test_what_is_posted_arrives_in_the_frames(broker: EmbeddedBroker, topic_prefix: str) -> None:
    """One, a list, lines, mixed, log lines alone, other formats by name: all through intake."""
    kafka = world(broker.bootstrap, topic_prefix)
    with serving(kafka) as client:
        for body, accepted in (
            (SAMPLE, 1),
            ([SAMPLE | {"value": 2}, SAMPLE | {"value": 3}], 2),
            (b"\n".join(json.dumps(SAMPLE | {"value": v}).encode() for v in (4, 5)), 2),
            ([SAMPLE | {"value": 6}, LINE], 2),
            ([LINE, LINE | {"message": "never"}], 2),
        ):
            answer = post(client, body)
            assert answer.status_code == 200
            assert answer.json() == {
                "accepted": accepted, "left_out": {}, "refused": 0, "reasons": [],
            }  # fmt: skip
        named = client.post("/ingest?format=influx", content=f"m,service=oven v=7 {NOW}000000")
        assert named.json()["accepted"] == 1
        told = client.get("/metrics").text
        assert "sentinel_bridge_samples_total 7.0" in told
        assert "sentinel_bridge_lines_total 3.0" in told
    assert len(records(kafka, RAW_METRICS)) == 5
    assert len(records(kafka, RAW_LOGS)) == 1  # that with lines alone
    taken(kafka, 6)
    found = {(row.series, row.at, row.value) for row in samples(kafka)}
    assert found == {
        *(('m{service="checkout"}', NOW, float(value)) for value in range(1, 7)),
        ('m_v{service="oven"}', NOW, 7.0),
    }
    texts = [text for m in records(kafka, LOGLINES) for text in read_lines(m.value()).text]
    assert sorted(texts) == ["never", "no", "no"]
    assert not letters(kafka)


@pytest.mark.broker
def test_a_part_that_is_refused_is_told_exactly(broker: EmbeddedBroker, topic_prefix: str) -> None:
    """And intake's dead letters say the same."""
    kafka = world(broker.bootstrap, topic_prefix)
    body = [
        SAMPLE, SAMPLE | {"at": "yesterday"}, SAMPLE | {"value": None}, LINE,
        SAMPLE | {"value": "high"}, {"service": "checkout"}, SAMPLE | {"value": "low"}, 7,
    ]  # fmt: skip
    with serving(kafka) as client:
        answer = post(client, body)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["accepted"], told["left_out"], told["refused"]) == (3, {"nan": 1}, 5)
    found = sorted((reason["element"], reason["rule"]) for reason in told["reasons"])
    assert found == [
        (1, "bad-time"), (4, "bad-value"), (5, "not-an-event"), (6, "bad-value"), (7, "bad-field"),
    ]  # fmt: skip
    assert "'low' is no number" in {r["reason"] for r in told["reasons"]}
    registry = taken(kafka, 1)
    assert count(registry, "rejected") == told["refused"]
    assert {letter.rule for letter in letters(kafka)} == {rule for _, rule in found}


@pytest.mark.broker
def test_only_what_kafka_has_confirmed_is_told_as_accepted(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    """A paused Kafka: one that waits is not answered until it wakes, one in a hurry is told 503."""
    kafka = world(broker.bootstrap, topic_prefix)
    (node,) = broker.pids
    with (
        serving(kafka, acknowledge_s=60) as patient,
        serving(kafka, acknowledge_s=1) as hasty,
        _posting(patient) as answers,
    ):
        until(lambda: post(hasty, SAMPLE | {"value": 0}).status_code == 200)  # it has connected
        broker.pause(node)
        try:
            waiting = answers(SAMPLE | {"value": 1})
            until(lambda: "requests_under_way 1.0" in patient.get("/metrics").text)
            late = post(hasty, SAMPLE | {"value": 2})
            assert late.status_code == 503
            assert late.headers["retry-after"] == "5"
            assert late.json()["reasons"][0]["rule"] == "kafka-away"
            assert patient.get("/healthz").status_code == 503
            assert not waiting.done()
        finally:
            broker.resume(node)
        assert waiting.result(60).status_code == 200
    found = [json.loads(record.value())["value"] for record in records(kafka, RAW_METRICS)]
    assert {0, 1} <= set(found)


@pytest.mark.broker
def test_a_token_stands_for_a_tenant_and_a_trace_goes_on(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    tokens = {"shop": {"token": "s" * 16, "tenant": "emea"}, "other": {"token": "o" * 16}}
    with serving(kafka, tokens=tokens) as client:
        for letter, given in (("s", trace), ("o", "no trace")):
            shown = {"authorization": f"Bearer {letter * 16}", "traceparent": given}
            assert post(client, SAMPLE, tenant="apac", **shown).status_code == 200
    told = [dict(record.headers()) for record in records(kafka, RAW_METRICS)]
    named = {"sentinel-format": b"json", "content-type": b"application/json"}
    assert sorted(told, key=len) == [
        named,
        named | {"tenant": b"emea", "traceparent": trace.encode()},
    ]


PACKED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
    ("deflate", zlib.compress),
    ("deflate", bare),
    ("zstd", lambda body: bytes(cramjam.zstd.compress(body))),
    ("identity", bytes),
]


@pytest.mark.broker
def test_a_packed_body_is_in_kafka_unpacked(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    with serving(kafka) as client:
        for encoding, packed in PACKED:
            answer = post(client, packed(BODY), **{"content-encoding": encoding})
            assert answer.status_code == 200, encoding
    assert [record.value() for record in records(kafka, RAW_METRICS)] == [BODY] * len(PACKED)


@pytest.mark.broker
def test_the_document_s_examples_are_accepted(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    posted = 0
    with serving(kafka) as client:
        for path, operations in client.get("/openapi.json").json()["paths"].items():
            body = operations.get("post", {}).get("requestBody", {"content": {}})
            told = body["content"].get("application/json", {})
            given = [example["value"] for example in told.get("examples", {}).values()]
            for example in [*given, *([told["example"]] if "example" in told else [])]:
                answer = client.post(path, json=example)
                assert answer.status_code == 200, (path, answer.text)
                posted += 1
    assert posted == 6
    assert len(records(kafka, RAW_METRICS)) + len(records(kafka, RAW_LOGS)) == posted


@pytest.mark.broker
def test_alerts_become_lines_of_their_service(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    bad = {"alerts": [ALERT["alerts"][0], {"status": "maybe"}], "commonLabels": {"service": "a"}}
    with serving(kafka) as client:
        assert client.post(ALERTS, json=ALERT).json()["accepted"] == 1
        partly = client.post(ALERTS, json=bad).json()
    assert (partly["accepted"], partly["refused"]) == (1, 1)
    assert partly["reasons"] == [
        {"element": 1, "rule": "bad-field", "reason": "an alert is firing or resolved"}
    ]
    taken(kafka, 2)
    frames = [read_lines(message.value()) for message in records(kafka, LOGLINES)]
    assert {(s, v) for f in frames for s, v in zip(f.service, f.severity, strict=True)} == {
        ("checkout", "critical"), ("a", "critical"),
    }  # fmt: skip


def test_times_are_judged_by_the_limits_of_intake() -> None:
    with serving(GONE, intake={}) as client:
        answer = post(client, [SAMPLE, LINE | {"at": "2999-01-01T00:00:00Z"}])
    assert answer.status_code == 400
    found = {reason["rule"] for reason in answer.json()["reasons"]}
    assert found == {"too-late", "in-the-future"}


def test_a_topic_s_service_is_that_of_records_without_one() -> None:
    """As in intake, also where lines alone go to another topic."""
    named = {"services": {"raw.logs": "edge"}, **ANY_TIME}
    line = {name: value for name, value in LINE.items() if name != "service"}
    with serving(GONE, intake=named, acknowledge_s=0.1) as client:
        assert post(client, line).status_code == 400
    named = {"services": {"raw.logs": "edge", "raw.metrics": "core"}, **ANY_TIME}
    with serving(GONE, intake=named, acknowledge_s=0.1) as client:
        assert post(client, line).status_code == 503  # good; only Kafka is not there


def test_a_tenant_s_own_limits_hold_for_its_token() -> None:
    """That of lines and that of whole bodies; another tenant's are not touched."""
    tenants = {"emea": {"limits": {"text_bytes": 10, "record_bytes": 300}}}
    tokens = {"shop": {"token": "s" * 16, "tenant": "emea"}, "other": {"token": "o" * 16}}
    found = []
    with serving(
        GONE, intake=ANY_TIME | {"tenants": tenants}, tokens=tokens, acknowledge_s=0.1
    ) as client:
        for letter, size in (("s", 10), ("s", 20), ("s", 999), ("o", 999)):
            shown = {"authorization": f"Bearer {letter * 16}"}
            found.append(post(client, LINE | {"message": "x" * size}, **shown).status_code)
    assert found == [503, 400, 413, 503]  # 503: good; only Kafka is not there


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "rule"),
    [
        ("/ingest", b"", TYPE, 400, "empty"),
        ("/ingest", b"[]", TYPE, 400, "empty"),
        ("/ingest", b"{no", TYPE, 400, "bad-json"),
        ("/ingest", b'{"service":"\xff"}', TYPE, 400, "bad-utf8"),
        ("/ingest", b'{"labels":' + b"[" * 9999 + b"]" * 9999 + b"}", TYPE, 400, "too-deep"),
        ("/ingest", b'{"metric":"m","at":1767323045,"value":1}', TYPE, 400, "no-service"),
        ("/ingest", BODY, {}, 415, "bad-content-type"),
        ("/ingest", BODY, {"content-type": "text/html"}, 415, "bad-content-type"),
        ("/ingest?format=none", BODY, TYPE, 415, "unknown-format"),
        ("/ingest?format=avro", BODY, TYPE, 415, "unknown-format"),
        ("/ingest?format=influx", b"m v=1 1", TYPE, 400, "no-service"),
        ("/ingest", BODY, TYPE | {"content-encoding": "br"}, 415, "bad-encoding"),
        ("/ingest", BODY, TYPE | {"content-encoding": "gzip, gzip"}, 415, "bad-encoding"),
        ("/ingest", BODY, TYPE | {"content-encoding": "gzip"}, 400, "bad-encoding"),
        ("/ingest", BODY, TYPE | {"content-encoding": "zstd"}, 400, "bad-encoding"),
        ("/ingest", bytes(1024 * 1024 + 1), TYPE, 413, "too-large"),
        ("/ingest", gzip.compress(bytes(1 << 24)), TYPE | {"content-encoding": "gzip"}, 413, "too-large"),
        ("/ingest", zlib.compress(bytes(1 << 24)), TYPE | {"content-encoding": "deflate"}, 413, "too-large"),
        ("/ingest", bytes(cramjam.zstd.compress(bytes(1 << 24))), TYPE | {"content-encoding": "zstd"}, 413, "too-large"),
        (ALERTS, b"{}", TYPE, 400, "not-an-event"),
        (ALERTS, b'{"alerts":[]}', TYPE, 400, "empty"),
        (ALERTS, b"{}", {"content-type": "application/x-protobuf"}, 415, "bad-content-type"),
    ],
)  # fmt: skip
def test_what_will_never_work_is_answered_so(
    path: str, body: bytes, headers: dict[str, str], status: int, rule: str
) -> None:
    """Kafka is gone: none of these even gets there."""
    with serving(GONE) as client:
        answer = client.post(path, content=body, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.json()["accepted"] == 0
        assert answer.json()["reasons"][0]["rule"] == rule
        assert f'refused_total{{rule="{rule}"}} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/ingest", {"content-type": "ann@example.com"}),
        ("/ingest", TYPE | {"content-encoding": "ann@example.com"}),
        ("/ingest?format=ann@example.com", {}),
        (ALERTS, {"content-type": "ann@example.com"}),
        ("/v1/logs", {"content-type": "ann@example.com"}),
        ("/api/v1/write", {"content-type": "ann@example.com"}),
        ("/api/v1/write", {
            "content-type": "application/x-protobuf;proto=ann@example.com", "content-encoding": "snappy",
        }),
    ],
)  # fmt: skip
def test_a_refusal_repeats_no_secret_of_the_request(path: str, headers: dict[str, str]) -> None:
    """Senders and proxies log what they are answered."""
    with serving(GONE) as client:
        answer = client.post(path, content=b"{}", headers=headers)
        assert answer.status_code == 415
        assert "<email>" in answer.text
