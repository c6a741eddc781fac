"""Times as they really are: clocks that are off, the late, the doubled, two clock changes a year.

The rule that is declared: a sample more than `late_s` older than its record's arrival, or more
than `future_s` ahead of it, is a dead letter that says so; every other one is in the frames, in
the order of the records, as often as it came. Read again from the beginning, all is the same.
"""

import json
import random
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from prometheus_client import CollectorRegistry

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.frames import read_lines, read_samples
from schemas.operations import DeadLetter
from schemas.topics import LOGLINES, RAW_LOGS, RAW_METRICS, SAMPLES, Topic
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings
from streams.topics import create
from tests.streams.intake.test_intake import count, working
from tests.streams.kafka_world import TOPICS, letters, put, records, until

pytestmark = pytest.mark.broker
LATE_S, FUTURE_S = 420, 180
SKEW_S, LATE_BY_S = 300, 600
SERVICES = 4  # of a series each


class Reading(NamedTuple):
    """What one reading of all raw records gave."""

    frames: list[Any]  # messages
    letters: list[tuple[str, int, int, str]]  # topic, partition, offset, rule; sorted


def make(kafka: KafkaSettings, raw: Topic, config: dict[str, str]) -> None:
    """The topics, one of them in another way than the catalogue's."""
    admin, name = AdminClient(kafka.confluent()), kafka.topic(raw)
    admin.create_topics([NewTopic(name, raw.partitions, 1, config=config)])[name].result(60)
    create(kafka, TOPICS)


def readings(
    kafka: KafkaSettings, settings: IntakeSettings, raw: int, topic: Topic
) -> list[Reading]:
    """Intake, and intake again from the beginning as another group; `raw` records."""
    result: list[Reading] = []
    for group in ("first", "again"):
        registry = CollectorRegistry()
        mine = kafka.model_copy(update={"prefix": f"{kafka.prefix}{group}-"})
        with working(mine, settings, registry):
            until(lambda r=registry: count(r, "records") >= raw, 300)  # type: ignore[misc] # what mypy cannot infer of it
        frames, dead = records(kafka, topic), letters(kafka)
        before = {(m.partition(), m.offset()) for r in result for m in r.frames}
        known = sum(len(r.letters) for r in result)
        result.append(
            Reading(
                [m for m in frames if (m.partition(), m.offset()) not in before],
                sorted(map(place, newest(dead, known))),
            )
        )
    return result


def newest(dead: list[DeadLetter], known: int) -> list[DeadLetter]:
    """The letters but for those that were there before, which are the older ones."""
    return sorted(dead, key=lambda letter: letter.at)[known:]


def place(letter: DeadLetter) -> tuple[str, int, int, str]:
    return letter.topic, letter.partition, letter.offset, letter.rule


def sampled(frames: Iterable[Any]) -> dict[str, list[tuple[int, float]]]:
    """Time and value of each series' samples, in order."""
    result: dict[str, list[tuple[int, float]]] = {}
    for message in frames:
        frame = read_samples(message.value())
        for code, at, value in zip(
            frame.code.tolist(), frame.at.tolist(), frame.value.tolist(), strict=True
        ):
            result.setdefault(frame.names[code], []).append((at, value))
    return result


def anomalies(frames: Iterable[Any]) -> set[str]:
    """What detect says of the frames."""
    detect = Detect(DetectSettings(), {})
    return {
        event.id
        for number, message in enumerate(frames)
        for event in detect.feed(read_samples(message.value()), message.partition(), number)
        if getattr(event, "change", "") != "weak"
    }


@pytest.mark.parametrize("seconds", [400, pytest.param(20_000, marks=pytest.mark.faults)])
def test_the_rule_of_lateness_holds_and_a_replay_gives_the_same(
    broker: EmbeddedBroker, topic_prefix: str, seconds: int
) -> None:
    """Each service's clock up to 5 min off, 10 % late by 10 min, 5 % doubled."""
    prefix = f"{topic_prefix}-"
    kafka = KafkaSettings(brokers=broker.bootstrap, prefix=prefix, topic_prefix=prefix)
    # the broker says when it arrived
    make(kafka, RAW_METRICS, {"message.timestamp.type": "LogAppendTime"})
    draw = random.Random(19)
    now = round(datetime.now(UTC).timestamp() * 1000)
    values, keys = [], []
    for second in range(seconds):
        for service in range(SERVICES):
            skew = SKEW_S * (2 * service / (SERVICES - 1) - 1)  # -5 min to +5 min
            late = LATE_BY_S if draw.random() < 0.1 else 0
            at = now + 1000 * (second % 60) + round(1000 * (skew - late))
            up = 80.0 if seconds // 2 <= second < seconds // 2 + 30 else 0.0
            value = {
                "service": f"s{service}", "metric": "m", "at": at,
                "value": draw.gauss(100, 3) + up,
            }  # fmt: skip
            for _ in range(2 if draw.random() < 0.05 else 1):
                values.append(json.dumps(value).encode())
                keys.append(b"%d" % service)
    put(kafka, RAW_METRICS, values, keys=keys)

    wanted: dict[str, list[tuple[int, float]]] = {}
    refused = []
    for message in records(kafka, RAW_METRICS):
        told, arrived = json.loads(message.value()), message.timestamp()[1]
        behind = arrived - told["at"]
        if -FUTURE_S * 1000 <= behind <= LATE_S * 1000:
            series = f'm{{service="{told["service"]}"}}'
            wanted.setdefault(series, []).append((told["at"], told["value"]))
        else:
            rule = "too-late" if behind > 0 else "in-the-future"
            refused.append((message.topic(), message.partition(), message.offset(), rule))
    limits = {"late_s": LATE_S, "future_s": FUTURE_S}
    settings = IntakeSettings.model_validate({"limits": limits, "batch_records": 500})
    first, again = readings(kafka, settings, len(values), SAMPLES)
    assert sampled(first.frames) == wanted
    assert first.letters == sorted(refused)
    assert sampled(again.frames) == sampled(first.frames)
    assert again.letters == first.letters
    said = anomalies(first.frames)
    assert said
    assert anomalies(again.frames) == said
    rules = [letter[3] for letter in first.letters]
    print(  # noqa: T201 - the figures that are promised
        f"samples {len(values)}, in frames {sum(map(len, wanted.values()))}, too late"
        f" {rules.count('too-late')}, in the future {rules.count('in-the-future')}, anomalies"
        f" {len(said)}; the replay: the same"
    )


# When it arrived, what the line said in Berlin, and what moment that is.
CLOCKS = [
    ("2025-12-31T22:59:59", "Jan  1 00:00:03", "2025-12-31T23:00:03"),  # a fast clock
    ("2025-12-31T23:00:01", "Dec 31 23:59:58", "2025-12-31T22:59:58"),
    ("2026-01-01T00:00:10", "Jan  1 01:00:09", "2026-01-01T00:00:09"),
    ("2026-03-29T00:59:59", "Mar 29 01:59:58", "2026-03-29T00:59:58"),
    ("2026-03-29T01:00:02", "Mar 29 03:00:01", "2026-03-29T01:00:01"),
    ("2026-10-25T00:30:01", "Oct 25 02:30:00", "2026-10-25T00:30:00"),  # the first 02:30
    ("2026-10-25T01:30:01", "Oct 25 02:30:00", "2026-10-25T01:30:00"),  # the second
    ("2026-10-25T01:30:01", "Oct 25 02:10:00", "2026-10-25T01:10:00"),
]


def milliseconds(at: str) -> int:
    return round(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)


def test_syslog_over_the_turn_of_the_year_and_of_the_clocks(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    """Within the rule, though such lines tell neither year nor zone nor which of two hours."""
    prefix = f"{topic_prefix}-"
    kafka = KafkaSettings(brokers=broker.bootstrap, prefix=prefix, topic_prefix=prefix)
    make(kafka, RAW_LOGS, {"retention.ms": "-1"})  # so old, they would not be kept
    producer = Producer(kafka.confluent())
    for number, (arrived, told, _) in enumerate(CLOCKS):
        producer.produce(
            kafka.topic(RAW_LOGS),
            f"<13>{told} web1 shop: line {number}".encode(),
            timestamp=milliseconds(arrived),
        )
    late = "<13>Oct 25 01:55:00 web1 shop: an hour and a half ago"
    producer.produce(
        kafka.topic(RAW_LOGS), late.encode(), timestamp=milliseconds("2026-10-25T01:30:01")
    )
    assert producer.flush(60) == 0
    settings = IntakeSettings.model_validate(
        {
            "topics": {RAW_LOGS.name: "syslog"},
            "limits": {"late_s": 3600, "future_s": 300, "zone": "Europe/Berlin"},
        }
    )
    first, again = readings(kafka, settings, len(CLOCKS) + 1, LOGLINES)
    for reading in (first, again):
        assert [rule for *_, rule in reading.letters] == ["too-late"]
        lines = [read_lines(message.value()) for message in reading.frames]
        found = {
            text: at
            for frame in lines
            for text, at in zip(frame.text, frame.at.tolist(), strict=True)
        }
        assert found == {
            f"line {number}": milliseconds(means) for number, (_, _, means) in enumerate(CLOCKS)
        }
