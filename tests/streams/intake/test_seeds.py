"""Seeded secrets and personal data, every kind in every place: nothing but the raw topics has them."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.event import Event
from schemas.frames import Samples, read_samples
from schemas.topics import DEADLETTERS, LOGLINES, RAW, RAW_LOGS, SAMPLES
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.formats import FORMATS
from streams.formats.columns import Batch, Parsed, Reading
from streams.intake.settings import IntakeSettings
from tests.streams.intake.haystack import feed, found, logged, of_event, of_state, of_topic
from tests.streams.intake.seeds import Seed, seeds
from tests.streams.intake.test_intake import ANY_TIME, count, working
from tests.streams.kafka_world import TOPICS, letters, records, until, world
from tests.streams.logs_world import undisturbed

WRITTEN = tuple(topic for topic in TOPICS if topic not in RAW)


@pytest.mark.broker
def test_no_seed_is_in_what_intake_writes_and_every_record_arrives(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    every = list(seeds(20))
    assert len(every) > 200
    registry = CollectorRegistry()
    settings = IntakeSettings.model_validate(
        {"limits": ANY_TIME, "services": {RAW_LOGS.name: "hall"}}
    )
    with logged() as log, working(kafka, settings, registry):
        places = feed(kafka, every)
        until(lambda: count(registry, "records") == len(every), 150)

    hay = b"\n".join(straw for topic in WRITTEN for straw in of_topic(kafka, topic))
    assert found(hay, every) == []
    assert found(log.getvalue().encode() + generate_latest(registry), every) == []
    require_arrived(kafka, every, places, hay)
    require_clean_stages(kafka, every)


def require_arrived(
    kafka: KafkaSettings, every: list[Seed], places: dict[str, tuple[str, int, int]], hay: bytes
) -> None:
    """Good records are in the frames, the others in the dead letters, each where it belongs."""
    dead = {(letter.topic, letter.partition, letter.offset) for letter in letters(kafka)}
    assert dead == {places[seed.mark] for seed in every if seed.letter}
    frames = b"\n".join(straw for topic in (SAMPLES, LOGLINES) for straw in of_topic(kafka, topic))
    assert [seed for seed in every if not seed.letter and seed.mark.encode() not in frames] == []


def require_clean_stages(kafka: KafkaSettings, every: list[Seed]) -> None:
    """What logs and detect say of these frames, and what logs saves, has no seed either."""
    stage, said = undisturbed(kafka)
    hay = [straw for event in said if isinstance(event, Event) for straw in of_event(event)]
    hay += ["\n".join(one.names).encode() for one in said if isinstance(one, Samples)]
    for partition in range(LOGLINES.partitions):
        for block in stage.blocks(partition):
            hay += of_state(block)
    detect = Detect(DetectSettings(), {})
    for message in records(kafka, SAMPLES):
        place = message.partition(), message.offset()
        for event in detect.feed(read_samples(message.value()), *place):
            hay += of_event(event)
    for partition in range(SAMPLES.partitions):
        hay += [block.dump() for block in detect.blocks(partition)]
    assert found(b"\n".join(hay), every) == []


@pytest.mark.broker
def test_a_fault_of_ours_that_quotes_a_record_tells_no_secret(
    broker: EmbeddedBroker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    every = [seed for seed in seeds(21) if seed.place == "text of a line"]

    def faulty(batch: Batch, reading: Reading) -> Parsed:
        if b"mark" in batch.values[0]:  # not while it warms up
            raise LookupError(batch.values[0].decode())
        return json_parse(batch, reading)

    json_parse = FORMATS["json"]
    monkeypatch.setitem(FORMATS, "json", faulty)
    registry = CollectorRegistry()
    with logged() as log, working(kafka, IntakeSettings(), registry):
        feed(kafka, every)
        until(lambda: count(registry, "records") == len(every), 150)
    assert "LookupError" in log.getvalue()
    hay = b"\n".join(of_topic(kafka, DEADLETTERS)) + log.getvalue().encode()
    assert found(hay, every) == []
