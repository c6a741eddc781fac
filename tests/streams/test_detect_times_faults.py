"""T19 beyond intake: times as they really are, before detect's worker.

Every service's clock is off, for good, by up to five minutes to either side; a tenth of the
samples comes ten minutes late, a twentieth comes twice. What is late of the fast clocks is let in
by the rule of lateness, and runs back in time; of the others it is refused. A series of each
service has a fault, which is one anomaly, opened and recovered once, whatever the clock says.
Whoever reads the same raw records again, through another intake and another detect, says the same
under the same ids.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from schemas.frames import canonical
from schemas.topics import (
    ANOMALIES,
    BARS,
    DEADLETTERS,
    INTAKE_REPORTS,
    LOGLINES,
    PARTITIONS,
    RAW_METRICS,
    SAMPLES,
)
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.framing import partition_of
from streams.intake.settings import IntakeSettings
from streams.topics import create
from tests.streams.detect_world import Life, caught_up, told
from tests.streams.intake.test_intake import count, working
from tests.streams.intake.test_times_faults import make, place, sampled
from tests.streams.kafka_world import letters, records, until

pytestmark = pytest.mark.broker
LATE_S, FUTURE_S = 450, 330
SKEW_S, LATE_BY_S = 300, 600
STEP_S = 10
SERIES = 2  # of a service; the first has the fault
LASTS = 30  # ticks that a fault lasts
ZONE = ZoneInfo("Europe/Berlin")
LONG_S = 600.0  # for two cores that others use, too


class Reading(NamedTuple):
    """A sample on its way."""

    arrived: int  # ms, as the record says
    service: int
    number: int  # of its series
    at: int  # ms, by the service's clock
    value: float

    @property
    def record(self) -> bytes:
        """As JSON; half of the services tell the time as clocks in Berlin show it."""
        at: int | str = self.at
        if self.service % 2:
            shown = datetime.fromtimestamp(self.at / 1000, ZONE)
            at = shown.isoformat(timespec="milliseconds")
        metric = f"m{self.number}"
        event = {"service": name(self.service), "metric": metric, "at": at, "value": self.value}
        return json.dumps(event).encode()

    @property
    def rule(self) -> str:
        """The rule of lateness that it breaks, empty for none."""
        behind = self.arrived - self.at
        late = "too-late" if behind > LATE_S * 1000 else ""
        return "in-the-future" if -behind > FUTURE_S * 1000 else late


def name(service: int) -> str:
    return f"s{service}"


class Course(NamedTuple):
    """So many services over so many ticks, in whose middle something happens to clocks."""

    middle: str  # UTC
    services: int
    ticks: int

    def begins(self, service: int) -> int:
        """The tick in which its fault does; not all at once."""
        return self.ticks * 5 // 8 + service % 40

    def readings(self) -> list[Reading]:
        """All of them in the order in which they arrive until it is over."""
        draw = random.Random(19)
        middle = datetime.fromisoformat(self.middle).replace(tzinfo=UTC).timestamp()
        start = round(1000 * middle) - 500 * STEP_S * self.ticks
        result = []
        for tick in range(self.ticks):
            for service in range(self.services):
                skew = round(1000 * SKEW_S * (2 * service / (self.services - 1) - 1))
                for number in range(SERIES):
                    happened = start + 1000 * STEP_S * tick + service
                    wrong = not number and 0 <= tick - self.begins(service) < LASTS
                    value = draw.gauss(100, 3) + 80 * wrong
                    one = Reading(happened, service, number, happened + skew, value)
                    late = one._replace(arrived=happened + 1000 * LATE_BY_S)
                    # Of a fault, what is late and let in would be one more, ten minutes later
                    if draw.random() < 0.1 and (late.rule or not wrong):
                        one = late
                    result += [one] * (2 if draw.random() < 0.05 else 1)
        end = start + 1000 * STEP_S * self.ticks
        return sorted((one for one in result if one.arrived < end), key=lambda one: one.arrived)


def send(kafka: KafkaSettings, readings: list[Reading]) -> list[tuple[str, int, int, str]]:
    """Write them; the places of those that the rule of lateness refuses, and why."""
    topic, refused = kafka.topic(RAW_METRICS), []
    producer = Producer(
        kafka.confluent()
        | {
            "linger.ms": 5,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    sent = [0] * PARTITIONS
    for one in readings:
        key = name(one.service)
        producer.produce(topic, one.record, key.encode(), timestamp=one.arrived)
        partition = partition_of(key, PARTITIONS)
        if one.rule:
            refused.append((topic, partition, sent[partition], one.rule))
        sent[partition] += 1
        producer.poll(0)
    assert producer.flush(60) == 0
    return sorted(refused)


def stories(events: list[Any]) -> dict[str, list[tuple[Any, ...]]]:
    """What was said of each service, in order; the very same again, as after a crash, once.

    Not by id alone: two updates by a sample that came twice have one between them.
    """
    result: dict[str, dict[tuple[Any, ...], None]] = {}
    for e in events:
        said = (e.id, e.change, e.ending, e.at, e.series, e.kind, e.severity, e.score, e.raw)
        result.setdefault(e.group, {})[said] = None
    return {group: list(said) for group, said in result.items()}


def lives(events: list[Any]) -> dict[str, list[tuple[str, str]]]:
    """What each series' anomalies began and ended with, in order."""
    result: dict[str, list[tuple[str, str]]] = {}
    for said in stories(events).values():
        for _, change, ending, _, series, *_ in said:
            if change != "updated":
                result.setdefault(series, []).append((change, ending))
    return result


def series(service: int, number: int) -> str:
    return canonical(f"m{number}", {"service": name(service)})


def worlds(bootstrap: str, prefix: str) -> Iterator[tuple[KafkaSettings, IntakeSettings]]:
    """Two that read the same raw topic; frames are cut otherwise in the second."""
    for begin, raw, batch in (
        (f"{prefix}-", f"again-{RAW_METRICS.name}", 500),
        (f"{prefix}-again-", RAW_METRICS.name, 20_000),
    ):
        kafka = KafkaSettings(brokers=bootstrap, prefix=begin, topic_prefix=begin)
        limits = {"late_s": LATE_S, "future_s": FUTURE_S}
        settings = {"topics": {raw: "json"}, "limits": limits, "batch_records": batch}
        # no pulses: they have the time at which raw records are read
        yield kafka, IntakeSettings.model_validate(settings | {"pulse_s": 0})


@pytest.mark.parametrize(
    "course",
    [
        pytest.param(Course("2025-01-01T00:00:00", 8, 400), id="a year's turn, short"),
        *(
            pytest.param(Course(middle, 100, 1000), marks=pytest.mark.faults, id=what)
            for middle, what in (
                ("2025-01-01T00:00:00", "a year's turn"),
                ("2025-03-30T01:00:00", "clocks go forward"),
                ("2025-10-26T01:00:00", "clocks go back"),
            )
        ),
    ],
)
def test_a_fault_is_one_anomaly_whatever_the_clock_and_a_replay_says_the_same(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path, course: Course
) -> None:
    (first, reads), (again, reads_again) = worlds(broker.bootstrap, topic_prefix)
    make(again, RAW_METRICS, {"retention.ms": "-1"})  # so old, they would not be kept
    create(again, (ANOMALIES, BARS))
    create(first, (SAMPLES, LOGLINES, DEADLETTERS, INTAKE_REPORTS, ANOMALIES, BARS))
    readings = course.readings()
    refused = send(again, readings)

    with Life(first, tmp_path) as life:  # beside intake
        through(first, reads, len(readings))
        until(caught_up(first, life), LONG_S)
        life.ends()
    through(again, reads_again, len(readings))
    with Life(again, tmp_path) as life:  # of what lies there
        until(caught_up(again, life), LONG_S)
        life.ends()

    wanted: dict[str, list[tuple[int, float]]] = {}
    for one in readings:
        if not one.rule:
            wanted.setdefault(series(one.service, one.number), []).append((one.at, one.value))
    for kafka in (first, again):
        assert sorted(map(place, letters(kafka))) == refused
        assert sampled(records(kafka, SAMPLES)) == wanted
        said = told(kafka)
        found = lives(said)
        for service in range(course.services):
            assert found.pop(series(service, 0)) == [("opened", ""), ("cleared", "recovered")]
        assert len(found) <= 0.1 * course.services  # noise; of eight series, none
        assert {event.kind for event in said} <= {"spike", "level shift", "trend", "jitter"}
    assert stories(told(again)) == stories(told(first))
    print(  # noqa: T201 - the figures that are promised
        f"records {len(readings)}, refused as the rule says"
        f" {dict(Counter(rule for *_, rule in refused))}, faults {course.services}, each told as"
        f" one anomaly, others {len(found)}, events {len(said)}; the replay: the same"
    )


def through(kafka: KafkaSettings, settings: IntakeSettings, raw: int) -> None:
    """Make frames of so many raw records."""
    registry = CollectorRegistry()
    with working(kafka, settings, registry):
        until(lambda: count(registry, "records") >= raw, LONG_S)
