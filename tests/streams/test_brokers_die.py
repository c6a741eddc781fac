"""Three brokers, one of which dies again and again: what was acknowledged comes through."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from schemas.topics import ANOMALIES, BARS, RAW_METRICS
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings
from streams.topics import create
from tests.streams.detect_world import Life, caught_up, require_undisturbed
from tests.streams.intake.test_exactly_once import SLOW, progress
from tests.streams.intake.test_intake import event, working
from tests.streams.kafka_world import TOPICS, samples, until

RATE = 1000  # events a second
KILLS, APART_S, DEAD_S = 5, 10.0, 5.0


class Feed:
    """Writes events at a rate, each service in order, and knows which are acknowledged."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.acknowledged: set[int] = set()
        self._topic = kafka.topic(RAW_METRICS)
        self._producer = Producer(
            kafka.confluent() | {"enable.idempotence": True, "linger.ms": 5, "acks": "all"}
        )
        self._ending = threading.Event()
        self.sent = 0

    @contextmanager
    def flowing(self) -> Iterator["Feed"]:
        """From now until the end."""
        thread = threading.Thread(target=self._flow)
        thread.start()
        try:
            yield self
        finally:
            self._ending.set()
            thread.join()
            assert self._producer.flush(120) == 0

    def _flow(self) -> None:
        began = time.monotonic()
        while not self._ending.wait(0.05):
            while self.sent < (time.monotonic() - began) * RATE:
                try:
                    self._producer.produce(
                        self._topic,
                        event(self.sent),
                        key=b"%d" % (self.sent % 7),
                        on_delivery=self._delivered(self.sent),
                    )
                except BufferError:  # the brokers are behind: no faster than they
                    break
                self.sent += 1
            self._producer.poll(0)

    def _delivered(self, number: int) -> Callable[[Any, Any], None]:
        def told(error: Any, _: Any) -> None:
            if error is None:
                self.acknowledged.add(number)

        return told


def leader(kafka: KafkaSettings, partition: int) -> int:
    """The node that leads a partition of the raw metrics."""
    admin = AdminClient(kafka.confluent())
    topic = kafka.topic(RAW_METRICS)
    return int(admin.list_topics(topic, timeout=30).topics[topic].partitions[partition].leader)


def coordinator(kafka: KafkaSettings, group: str) -> int:
    """The node that coordinates a group, once that is settled."""
    admin, name, found = AdminClient(kafka.confluent()), f"{kafka.prefix}{group}", list[int]()

    def told() -> bool:
        try:
            described = admin.describe_consumer_groups([name])[name].result(30)
        except KafkaException:
            return False
        found.append(described.coordinator.id)
        return True

    until(told)
    return found[0]


@pytest.mark.broker
@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_leaders_that_are_killed_five_times_cost_no_acknowledged_event(
    topic_prefix: str, tmp_path: Path
) -> None:
    """A partition's leader, and the coordinator of intake's group and transactions, in turn."""
    with EmbeddedBroker(nodes=3) as own:
        prefix = f"{topic_prefix}-"
        kafka = KafkaSettings(brokers=own.bootstrap, prefix=prefix, topic_prefix=prefix)
        create(kafka, (*TOPICS, ANOMALIES, BARS))
        settings = IntakeSettings.model_validate({**SLOW, "instance": "a"})
        with (
            progress(kafka) as watched,
            Life(kafka, tmp_path) as detect,
            working(kafka, settings, CollectorRegistry()),
        ):
            detect.joins()
            with Feed(kafka).flowing() as feed:
                until(watched.reaches(RATE))
                for number in range(KILLS):
                    began = time.monotonic()
                    node = coordinator(kafka, "intake") if number % 2 else leader(kafka, number % 4)
                    own.kill(node)
                    until(lambda due=began + DEAD_S: time.monotonic() > due)  # type: ignore[misc] # what mypy cannot infer of it
                    own.restart(node)
                    until(lambda due=began + APART_S: time.monotonic() > due)  # type: ignore[misc] # as above
            ended = time.monotonic()
            until(watched.reaches(len(feed.acknowledged)), 300)
            behind = time.monotonic() - ended
            until(caught_up(kafka), 300)
            detect.ends()
        found = [round(row.value) for row in samples(kafka)]
        missing = feed.acknowledged - set(found)
        print(  # noqa: T201 - the figures that are promised
            f"kills {KILLS}, events {feed.sent}, acknowledged {len(feed.acknowledged)}, missing"
            f" {len(missing)}, found twice {len(found) - len(set(found))}, caught up after"
            f" {behind:.1f} s"
        )
        assert not missing
        assert len(found) == len(set(found))
        for service in range(7):
            own_ones = [number for number in found if number % 7 == service]
            assert own_ones == sorted(own_ones)
        require_undisturbed(kafka)
