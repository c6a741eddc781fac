"""What is looked into, and how fast it is said to be."""

import pytest

from schemas.topics import CATALOGUE, RAW
from streams.connect.clues import Sampled
from streams.connect.look import Kind, Rate, Seen, kind_of
from streams.connect.report import NOTHING, Line, amount, lines, speed
from streams.connection import KafkaSettings
from streams.formats.avro_schema import NoSchemas
from streams.formats.limits import Limits

KAFKA = KafkaSettings()
NOW = 1_767_323_045_678


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("__consumer_offsets", "internal"),
        ("__transaction_state", "internal"),
        ("_schemas", "internal"),
        ("_confluent-metrics", "internal"),
        ("sentinel-correlate-state-changelog", "own"),
        ("sentinel-events", "sampled"),
        ("orders-changelog", "sampled"),
        ("logs", "sampled"),
    ],
)
def test_kafkas_own_topics_are_left_alone(name: str, kind: str) -> None:
    assert kind_of(name, KAFKA) == kind


def test_our_own_topics_are_left_alone_but_raw_ones() -> None:
    kinds = {topic.name: kind_of(topic.name, KAFKA) for topic in CATALOGUE}
    raw = {topic.name for topic in RAW}
    assert {name for name, kind in kinds.items() if kind == "sampled"} == raw
    assert {kind for name, kind in kinds.items() if name not in raw} == {"own"}


def test_a_topic_that_settings_cannot_name_is_left_alone() -> None:
    kafka = KafkaSettings(topic_prefix="eu-")
    assert kind_of("logs", kafka) == "foreign"
    assert kind_of("eu-logs", kafka) == "sampled"
    assert kind_of("eu-ticks.v1", kafka) == "own"
    assert kind_of("ticks.v1", kafka) == "foreign"


def test_the_speed_of_partitions_adds_up() -> None:
    seen = Seen("logs", "sampled", 2, size=300)
    seen.records = {
        0: [Sampled(b"x", NOW - 1000 + 100 * i, {}) for i in range(11)],  # 10 a second
        1: [Sampled(b"x", NOW - 2000 * i, {}) for i in range(2)],  # one in two seconds
        2: [Sampled(b"x", NOW, {})],  # one alone says nothing
        3: [Sampled(b"x", NOW - i, {}) for i in range(2)],  # nor do two that came at once
    }
    assert seen.rate.tail == pytest.approx(10.5)
    assert seen.rate.size == pytest.approx(300 / 16)
    assert seen.rate.last == NOW


@pytest.mark.parametrize(
    ("kind", "format", "settled"),
    [
        ("sampled", "beats", True),
        ("sampled", "", False),
        ("failed", "", False),
        ("empty", "", True),
        ("internal", "", True),
    ],
)
def test_what_is_left_for_a_person_to_find_out(kind: Kind, format: str, settled: bool) -> None:  # noqa: A002, FBT001 - a table's columns
    found = NOTHING._replace(format=format)
    line = Line("a", "a", kind, 1, 0, Rate(0.0, 0.0, 0.0, None), found)
    assert line.settled is settled


def test_a_topic_that_we_may_not_read_says_so() -> None:
    seen = Seen("a", "failed", 1, said="Broker: Topic authorization failed")
    (line,) = lines([seen], NOW, "", Limits(), NoSchemas())
    assert line.found.reasons == ("Broker: Topic authorization failed",)
    assert line.as_dict()["certainty"] is None


@pytest.mark.parametrize(
    ("rate", "records", "size"),
    [
        (Rate(120.4, 90.0, 200.0, NOW), "120", "24 KiB"),
        (Rate(0.0, 90.0, 200.0, NOW), "~90", "18 KiB"),
        (Rate(0.0, 90.0, 200.0, NOW - 3_600_000), "quiet", "-"),
        (Rate(0.0, 0.0, 200.0, NOW), "a burst", "-"),
        (Rate(0.0, 0.0, 0.0, None), "-", "-"),
        (Rate(0.25, 0.1, 100.0, NOW), "0.25", "25 B"),
        (Rate(20_000.0, 0.0, 1000.0, NOW), "20000", "19 MiB"),
    ],
)
def test_speed_is_said_in_a_few_letters(rate: Rate, records: str, size: str) -> None:
    assert (speed(rate, NOW), amount(rate, NOW)) == (records, size)
