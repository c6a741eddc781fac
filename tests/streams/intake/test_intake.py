"""Intake on a real broker: poison, log lines, formats, metrics."""

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cramjam
import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from schemas.errors import Rejected
from schemas.event import milliseconds
from schemas.frames import read_lines
from schemas.topics import LOGLINES, RAW, RAW_LOGS, RAW_METRICS, RAW_REMOTE_WRITE, SAMPLES
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.formats import FORMATS
from streams.formats.columns import Batch, Parsed, Reading
from streams.intake import fetching
from streams.intake.framing import partition_of
from streams.intake.intake import KEPT_BYTES, Intake
from streams.intake.settings import IntakeSettings
from streams.topics import create
from tests.streams.formats.test_remote_write import OTLP, VERSION_1, VERSION_2
from tests.streams.kafka_world import TOPICS, letters, put, records, rows, samples, until, world

log = logging.getLogger(__name__)
ANY_TIME = {"late_s": 0, "future_s": 0}


@contextmanager
def working(
    kafka: KafkaSettings,
    settings: IntakeSettings,
    registry: CollectorRegistry,
    clock: Callable[[], int] | None = None,
) -> Iterator[None]:
    """An intake in a thread of its own, stopped at the end; its failure is the test's."""
    stop, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            Intake(settings, kafka, registry, clock).run(stop)
        except BaseException as error:
            log.exception("this intake has ended")  # what a test that waits in vain should show
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
    if failed:
        raise failed[0]


def count(registry: CollectorRegistry, name: str) -> float:
    """The sum of a counter over its labels."""
    return sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"sentinel_intake_{name}_total"
    )


def event(number: int, **changes: object) -> bytes:
    fields = {
        "service": f"service-{number % 7}",
        "metric": "latency_ms",
        "at": 1_767_323_045_678 + number,
        "value": number,
    }
    return json.dumps({**fields, **changes}).encode()


POISON = {
    "bad-json": b"\x00\xff not json",
    "empty": b"",
    "bad-utf8": b'{"service":"\xff\xfe"}',
    "too-deep": b'{"labels":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "bad-value": event(0, value="high"),
    "bad-time": event(0, at="yesterday"),
    "no-service": b'{"metric":"m","at":1767323045,"value":1}',
    "bad-field": b'{"service":["a"]}',
    "not-an-event": b'{"service":"a"}',
    "label-too-long": event(0, labels={"a": "x" * 100_000}),
}
WRITE_POISON = {
    "bad-snappy": b"certainly no snappy",
    "too-large-unpacked": b"\x80\x80\x80\x80\x04" + b"\0" * 20,  # claims 1 GiB
    "bad-metric": bytes(cramjam.snappy.compress_raw(OTLP)),
    "empty": VERSION_2,  # version 2 where version 1 is read
    "too-large": b"\0" * 2 * 1024 * 1024,
}
WITHHELD = {"too-large-unpacked", "too-large"}  # packed, and nobody can say what is in it


@pytest.mark.broker
def test_poison_harms_no_good_record(broker: EmbeddedBroker, topic_prefix: str) -> None:
    """1,000 poison records of 15 kinds among 20,000 good ones."""
    kafka = world(broker.bootstrap, topic_prefix)
    kinds = list(POISON.items())
    values, expected = [], []
    for number in range(20_000):
        values.append(event(number))
        expected.append("")
        if number % 20 == 10 and number < 19_800:
            rule, poison = kinds[number // 20 % len(kinds)]
            values.append(poison)
            expected.append(rule)
    places = put(kafka, RAW_METRICS, values)
    writes = list(WRITE_POISON.items()) * 2 + [("", VERSION_1)]
    write_places = put(kafka, RAW_REMOTE_WRITE, [value for _, value in writes])
    wanted = {
        (kafka.topic(topic), *place): (rule, value)
        for topic, where, given in (
            (RAW_METRICS, places, zip(expected, values, strict=True)),
            (RAW_REMOTE_WRITE, write_places, writes),
        )
        for place, (rule, value) in zip(where, given, strict=True)
        if rule
    }
    assert len(wanted) == 1000

    registry = CollectorRegistry()
    settings = IntakeSettings.model_validate({"limits": ANY_TIME, "batch_records": 4000})
    with working(kafka, settings, registry):
        until(lambda: count(registry, "records") == len(values) + len(writes))

    found = [row.value for row in samples(kafka) if "latency_ms" in row.series]
    assert sorted(found) == list(range(20_000))
    dead = letters(kafka)
    assert {(d.topic, d.partition, d.offset): d.rule for d in dead} == {
        place: rule for place, (rule, _) in wanted.items()
    }
    assert len(dead) == 1000
    for one in dead:
        _, original = wanted[one.topic, one.partition, one.offset]
        kept = b"" if one.rule in WITHHELD else original[:KEPT_BYTES]
        assert (one.size, one.original) == (len(original), kept)
        assert one.stage == "intake"
        assert one.reason
        assert one.cause == f"{one.topic}/{one.partition}/{one.offset}"
    assert count(registry, "samples") == 20_001
    assert count(registry, "rejected") == count(registry, "deadletters") == 1000


@pytest.mark.broker
def test_log_lines_and_headers_find_their_way(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    line = {"service": "shop", "at": 1_767_323_045, "level": "warn", "message": "slow"}
    put(kafka, RAW_LOGS, [json.dumps(line).encode()])
    put(kafka, RAW_LOGS, [b"ERROR full\nok"], headers={"sentinel-format": "text"})
    put(kafka, RAW_REMOTE_WRITE, [VERSION_1])
    put(
        kafka, RAW_REMOTE_WRITE, [VERSION_2], headers={"X-Prometheus-Remote-Write-Version": "2.0.0"}
    )
    put(kafka, RAW_METRICS, [b"?"], headers={"sentinel-format": "smoke"})
    registry = CollectorRegistry()
    settings = IntakeSettings.model_validate(
        {"limits": ANY_TIME, "services": {RAW_LOGS.name: "hall"}}
    )
    with working(kafka, settings, registry):
        until(lambda: count(registry, "records") == 5)

    lines = [read_lines(message.value()) for message in records(kafka, LOGLINES)]
    told = {
        (service, severity, text)
        for frame in lines
        for service, severity, text in zip(frame.service, frame.severity, frame.text, strict=True)
    }
    assert told == {
        ("shop", "warning", "slow"),
        ("hall", "error", "ERROR full"),
        ("hall", "", "ok"),
    }
    series = Counter(row.series for row in samples(kafka))
    assert series == {'up{instance="localhost:9090",job="prometheus",service="prometheus"}': 2}
    assert [(letter.rule, letter.headers) for letter in letters(kafka)] == [
        ("unknown-format", {"sentinel-format": "smoke"})
    ]


@pytest.mark.broker
def test_frames_lie_in_the_partition_of_their_service(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    put(kafka, RAW_METRICS, [event(number) for number in range(700)])
    registry = CollectorRegistry()
    settings = IntakeSettings.model_validate({"limits": ANY_TIME})
    with working(kafka, settings, registry):
        until(lambda: count(registry, "records") == 700)
    for message in records(kafka, SAMPLES):
        for row in rows(message):
            service = row.series.split('service="')[1].split('"')[0]
            assert partition_of(service, SAMPLES.partitions) == message.partition()


@pytest.mark.broker
def test_a_late_sample_is_told_by_its_arrival(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    put(kafka, RAW_METRICS, [event(1)])
    registry = CollectorRegistry()
    with working(kafka, IntakeSettings(), registry):
        until(lambda: count(registry, "records") == 1)
    (letter,) = letters(kafka)
    assert letter.rule == "too-late"
    assert letter.reason.endswith("s old, 3600 allowed")
    assert milliseconds(letter.at) > "1767323045678"


@pytest.mark.broker
def test_a_fault_of_a_parser_costs_one_record(
    broker: EmbeddedBroker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of ours that one record in a thousand trips over must not stop the other 999."""
    kafka = world(broker.bootstrap, topic_prefix)
    put(kafka, RAW_METRICS, [*(event(number) for number in range(50)), b"trip", event(50)])
    json_parse = FORMATS["json"]

    def faulty(batch: Batch, reading: Reading) -> Parsed:
        if b"trip" in batch.values:
            raise ZeroDivisionError
        return json_parse(batch, reading)

    monkeypatch.setitem(FORMATS, "json", faulty)
    registry = CollectorRegistry()
    settings = IntakeSettings.model_validate({"limits": ANY_TIME})
    with working(kafka, settings, registry):
        until(lambda: count(registry, "records") == 52)
    assert sorted(row.value for row in samples(kafka)) == list(range(51))
    assert [letter.rule for letter in letters(kafka)] == ["parser-failed"]


@pytest.mark.broker
def test_a_topic_that_is_made_later_is_read_without_a_restart(
    broker: EmbeddedBroker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client library looks for topics every five minutes; who fills one does not wait so long."""
    monkeypatch.setattr(fetching, "LOOK_MS", 200)
    kafka = KafkaSettings(
        brokers=broker.bootstrap, prefix=f"{topic_prefix}-", topic_prefix=f"{topic_prefix}-"
    )
    create(kafka, tuple(topic for topic in TOPICS if topic != RAW_LOGS))
    put(kafka, RAW_METRICS, [event(1)])
    registry = CollectorRegistry()
    with working(kafka, IntakeSettings.model_validate({"limits": ANY_TIME}), registry):
        until(lambda: count(registry, "records") == 1)
        create(kafka, (RAW_LOGS,))
        put(kafka, RAW_LOGS, [event(2)])
        until(lambda: count(registry, "records") == 2)


@pytest.mark.broker
def test_without_the_topics_to_write_to_it_says_what_to_do(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    kafka = KafkaSettings(
        brokers=broker.bootstrap, prefix=topic_prefix, topic_prefix=f"{topic_prefix}-"
    )
    create(kafka, RAW)
    with pytest.raises(Rejected, match=r"samples\.v1 does not exist: run `sentinel topics create`"):
        Intake(IntakeSettings(), kafka).run(threading.Event())


def test_an_unknown_format_is_refused_with_the_choices() -> None:
    with pytest.raises(ValidationError, match="no format 'jsn'; there are json, remote-write"):
        IntakeSettings(topics={"raw.metrics": "jsn"})
    with pytest.raises(ValidationError, match="topics not read: other"):
        IntakeSettings(services={"other": "s"})
    with pytest.raises(ValidationError, match=r"deadletters\.v1 is written by Sentinel itself"):
        IntakeSettings(topics={"raw.metrics": "json", "deadletters.v1": "json"})
