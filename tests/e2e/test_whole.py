"""The whole way of an incident over the real broker: undisturbed, and among poison and repeats."""

import secrets
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import pytest
from confluent_kafka import Producer

from schemas.avro import HEADER
from schemas.operations import DeadLetter
from schemas.topics import (
    DEADLETTERS,
    LOGLINES,
    RAW_METRICS,
    RAW_REMOTE_WRITE,
    SAMPLES,
    TICKS,
    Topic,
)
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.pipeline import STAGES
from tests.e2e import proofs
from tests.e2e.witness import CONTROL, Record, repeated
from tests.e2e.workers import EVERY, INTAKE
from tests.e2e.world import running

LAYOUT = {
    "intake": (INTAKE,),
    "stages": tuple(name for name in EVERY if name != INTAKE),
}
READ = tuple(topic for topic in CONTROL if topic != DEADLETTERS)
UNSAID = {TICKS.name, DEADLETTERS.name}  # not repeated: a flood of their own
POISON: dict[str, tuple[bytes | None, str]] = {  # a record's value and its schema header
    "not Avro": (b"\xff\xfe\x00 not Avro", "plan/1"),
    "an unknown schema": (b"{}", "plan/999"),
    "no schema": (b"{}", ""),
    "nested": (b"[" * 10_000 + b"]" * 10_000, "incident/1"),
    "another event": (b'{"id": "x"}', "outcome/1"),
    "nothing": (None, "result/1"),
}

NEVER = datetime(1970, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.broker


class Echo:
    """Repeats each control event once, as a producer does that did not hear its answer."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._said: set[str] = set()
        self._lock = Lock()
        self._producer = Producer(kafka.confluent() | {"linger.ms": 1, "log_level": 2})

    def __call__(self, record: Record) -> None:
        """Send the record again, to where it stood."""
        if record.event is None or record.topic in UNSAID:
            return
        with self._lock:
            if record.event.id in self._said:
                return
            self._said.add(record.event.id)
        self._producer.produce(
            self._kafka.topic_prefix + record.topic,
            record.value,
            key=record.key,
            partition=record.partition,
            headers=list(record.headers),
        )
        self._producer.poll(0)


def poison(kafka: KafkaSettings) -> Counter[tuple[str, str]]:
    """Put every kind of poison on every topic; the dead letters to expect, by stage and topic."""
    producer = Producer(kafka.confluent())
    expected: Counter[tuple[str, str]] = Counter()
    for topic in READ:
        for value, schema in POISON.values():
            headers = {HEADER: schema} if schema else {}
            producer.produce(kafka.topic(topic), value, key=b"poison", headers=headers)
    for topic in (SAMPLES, LOGLINES):
        producer.produce(kafka.topic(topic), b"no Arrow", key=b"poison")
    for topic in (RAW_METRICS, RAW_REMOTE_WRITE):
        producer.produce(kafka.topic(topic), b"\xff no metrics", key=b"poison")
        expected["intake", kafka.topic(topic)] = 1
    for stage in STAGES:
        for topic in (*stage.source, TICKS) if stage.ticks else stage.source:
            expected[stage.name, kafka.topic(topic)] = _kinds(topic)
    assert producer.flush(120) == 0
    return expected


def _alike(copies: list[Record]) -> bool:
    """Whether copies say the same. A stage that remembers nothing says it again, later."""
    said = [record.event.model_copy(update={"at": NEVER}) for record in copies if record.event]
    return all(event == said[0] for event in said)


def _kinds(topic: Topic) -> int:
    return len(POISON) if topic in READ else 1


def test_poison_and_repeats_change_nothing(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Poison on every topic, every raw record and every event twice: the same result."""
    prefix = f"whole-{secrets.token_hex(4)}-"
    kafka = KafkaSettings(brokers=broker.bootstrap, prefix=prefix, topic_prefix=prefix)
    with ExitStack() as stack:
        echo = Echo(kafka)
        world = stack.enter_context(
            running(
                tmp_path,
                brokers=broker.bootstrap,
                prefix=prefix,
                shops=["a"],
                layout=LAYOUT,
                copies=2,
                heard=echo,
            )
        )
        expected = poison(kafka)
        shop = world.feeder.open("a")
        world.resolve(shop)
        world.feed_no_more()
        world.require_proofs(shop)
        world.kept.require_whole_audit()

        def letters() -> Counter[tuple[str, str]]:
            return Counter((x.stage, x.topic) for x in world.witness.said(DeadLetter))

        world.witness.wait(lambda: letters().total() >= expected.total(), 120, "the dead letters")
        assert letters() == expected
        copies = list(repeated(world.witness.records()))
        assert len(copies) > len(READ)
        assert [same for same in copies if not _alike(same)] == []


def test_a_fault_in_the_data_ends_as_a_verified_and_reported_fix(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Undisturbed, nothing is said twice."""
    prefix = f"plain-{secrets.token_hex(4)}-"
    with running(
        tmp_path, brokers=broker.bootstrap, prefix=prefix, shops=["a"], layout=LAYOUT
    ) as world:
        shop = world.feeder.open("a")
        world.resolve(shop)
        world.feed_no_more()
        world.require_proofs(shop)
        world.kept.require_whole_audit()
        proofs.require_no_letters(world.witness)
        assert list(repeated(world.witness.records())) == []
