"""The shell on a real broker: nothing lost, nothing counted twice, whoever dies or joins."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from schemas.avro import encode
from schemas.operations import Tick
from schemas.topics import DEADLETTERS, ROLLBACKS, TICKS, Topic
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from tests.streams.counting import (
    NOW,
    POINTS,
    TICKING,
    Count,
    Life,
    Witness,
    asked,
    changelog,
    eventually,
    made,
    running,
    tell,
)
from tests.streams.kafka_world import committed, letters, put

pytestmark = pytest.mark.broker
A_HOME = 0  # the partition of the key "a"


@pytest.fixture
def kafka(broker: EmbeddedBroker, topic_prefix: str) -> KafkaSettings:
    return made(broker.bootstrap, topic_prefix)


@pytest.fixture
def witness(kafka: KafkaSettings) -> Iterator[Witness]:
    with Witness(kafka) as reading:
        yield reading


def counted(tokens: list[str]) -> list[str]:
    """What is said of a key whose messages have these tokens."""
    return [f"{number} {token}" for number, token in enumerate(tokens, 1)]


def rewind(kafka: KafkaSettings, topic: Topic) -> None:
    """The group's offsets back to the beginning, as if they had never been committed."""
    admin = AdminClient(kafka.confluent())
    name, group = kafka.topic(topic), f"{kafka.prefix}count"
    places = [TopicPartition(name, n, 0) for n in range(topic.partitions)]
    asking = [ConsumerGroupTopicPartitions(group, places)]
    admin.alter_consumer_group_offsets(asking)[group].result(60)


def test_each_message_is_counted_once_and_its_output_names_it(
    kafka: KafkaSettings, witness: Witness
) -> None:
    tokens = [str(n) for n in range(300)]

    async def scene() -> None:
        async with running(kafka):
            tell(kafka, ROLLBACKS, [asked("a", token) for token in tokens])
            await eventually(lambda: len(witness.events()) == 300)

    asyncio.run(scene())
    said = witness.events()
    assert witness.totals() == {"a": counted(tokens)}
    assert [event.cause for event in said] == [f"id-{token}" for token in tokens]
    assert len({event.id for event in said}) == 300
    assert all(event.trace.startswith("00-") for event in said)


def test_a_worker_killed_at_any_point_loses_nothing_and_counts_nothing_twice(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """SIGKILL before and after sending, after keeping the state, after acknowledging."""
    tokens = [str(n) for n in range(30)]
    worlds = [made(broker.bootstrap, f"{topic_prefix}-{n}") for n in range(len(POINTS))]
    with ExitStack() as stack:
        witnesses = [stack.enter_context(Witness(kafka)) for kafka in worlds]
        for kafka in worlds:
            tell(kafka, ROLLBACKS, [asked("a", token) for token in tokens[:20]])
        lives = [
            stack.enter_context(Life(kafka, tmp_path / point, point))
            for kafka, point in zip(worlds, POINTS, strict=True)
        ]
        for life in lives:
            assert life.ends() == -signal.SIGKILL, life.said()
        sent = [len(witness.events()) for witness in witnesses]
        assert sent[0] == 0
        assert min(sent[1:]) > 0

        async def live(kafka: KafkaSettings, witness: Witness) -> None:
            async with running(kafka):
                tell(kafka, ROLLBACKS, [asked("a", token) for token in tokens[20:]])
                await eventually(lambda: len(witness.totals().get("a", ())) == 30)

        async def second_lives() -> None:
            await asyncio.gather(*map(live, worlds, witnesses))

        asyncio.run(second_lives())
        for witness in witnesses:
            assert witness.totals() == {"a": counted(tokens)}
        assert len(witnesses[1].events()) > 30  # sent before the crash, and again after it


def test_copies_by_id_and_replays_by_offset_are_dropped(
    kafka: KafkaSettings, witness: Witness
) -> None:
    count = Count()

    async def scene() -> None:
        async with running(kafka):
            tell(kafka, ROLLBACKS, [asked("a", t) for t in ("x", "y", "x", "x", "z")])
            await eventually(lambda: len(witness.events()) == 3)
        rewind(kafka, ROLLBACKS)
        async with running(kafka, count):
            tell(kafka, ROLLBACKS, [asked("a", "y"), asked("a", "end")])
            await eventually(lambda: len(witness.events()) == 4)

    asyncio.run(scene())
    assert count.handled == ["end"]
    assert witness.totals() == {"a": counted(["x", "y", "z", "end"])}


def test_what_can_never_be_read_is_a_dead_letter_with_its_place(
    kafka: KafkaSettings, witness: Witness
) -> None:
    ((partition, offset),) = put(kafka, ROLLBACKS, [b"junk"])
    tell(kafka, ROLLBACKS, [asked("a", "no", "reject"), asked("a", "yes")])
    with Witness(kafka, DEADLETTERS) as dead:

        async def scene() -> None:
            async with running(kafka):
                await eventually(lambda: len(witness.events()) + len(dead.events()) == 3)

        asyncio.run(scene())
        unreadable, refused = sorted(dead.events(), key=lambda letter: letter.original != b"junk")
    place = (kafka.topic(ROLLBACKS), partition, offset)
    assert (unreadable.topic, unreadable.partition, unreadable.offset) == place
    assert unreadable.original == b"junk"
    assert unreadable.cause == "/".join(map(str, place))
    assert "unknown schema" in unreadable.reason
    assert (refused.stage, refused.reason) == ("count", "not this one")
    assert refused.original == encode(asked("a", "no", "reject"))[0]
    assert witness.totals() == {"a": ["1 yes"]}


def test_a_message_in_a_partition_that_is_not_its_groups_is_a_dead_letter(
    kafka: KafkaSettings,
) -> None:
    """As from a producer with another partitioner: there its state would be another."""
    value, headers = encode(asked("a", "1"))
    producer = Producer(kafka.confluent())
    producer.produce(kafka.topic(ROLLBACKS), value, "a", partition=2, headers=headers)
    assert producer.flush(120) == 0
    with Witness(kafka, DEADLETTERS) as dead:

        async def scene() -> None:
            async with running(kafka):
                await eventually(lambda: len(dead.events()) == 1)

        asyncio.run(scene())
        assert "belongs to partition 0, not 2: use its name as the key" in dead.events()[0].reason


def test_a_world_that_is_away_is_waited_for(kafka: KafkaSettings, witness: Witness) -> None:
    count = Count()
    count.away = 2
    tell(kafka, ROLLBACKS, [asked("a", "one", "away"), asked("a", "two")])

    async def scene() -> None:
        async with running(kafka, count):
            await eventually(lambda: len(witness.events()) == 2)

    asyncio.run(scene())
    assert witness.totals() == {"a": ["1 one", "2 two"]}
    assert letters(kafka) == []


def test_a_fault_of_ours_stops_the_worker_with_one_line(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    """Exit status 1; the message is not acknowledged, so it is not lost either."""
    ((partition, bad),) = tell(kafka, ROLLBACKS, [asked("a", "bad", "break")])
    with Life(kafka, tmp_path / "said") as life:
        assert life.ends() == 1
        *_, line = life.said().splitlines()
    assert line.startswith("count: LookupError: a fault of ours (counting.py:"), life.said()
    assert committed(kafka, "count", ROLLBACKS)[partition] <= bad


def tick(kafka: KafkaSettings, number: int, partition: int) -> None:
    value, headers = encode(Tick(id=f"t-{number}-{partition}", at=NOW, group="", number=number))
    producer = Producer(kafka.confluent())
    producer.produce(kafka.topic(TICKS), value, partition=partition, headers=headers)
    assert producer.flush(120) == 0


def test_a_tick_reaches_each_key_of_its_partition_once(
    kafka: KafkaSettings, witness: Witness
) -> None:
    """Though it is read again after a restart."""

    async def scene() -> set[int]:
        async with running(kafka, stage=TICKING):
            places = tell(kafka, ROLLBACKS, [asked(key, key) for key in "abcdef"])
            await eventually(lambda: len(witness.events()) == 6)
            partitions = {partition for partition, _ in places}
            for partition in partitions:
                tick(kafka, 7, partition)
            await eventually(lambda: len(witness.events()) == 12)
        rewind(kafka, TICKS)
        async with running(kafka, stage=TICKING):
            tell(kafka, ROLLBACKS, [asked(key, f"{key} end") for key in "abcdef"])
            await eventually(lambda: len(witness.events()) == 18)
        return partitions

    partitions = asyncio.run(scene())
    ticked = [event for event in witness.events() if event.reason == "tick 7"]
    assert len(ticked) == len({event.id for event in ticked}) == 6
    assert {event.cause for event in ticked} == {f"t-7-{partition}" for partition in partitions}


def test_a_forgotten_key_is_gone_from_the_changelog(kafka: KafkaSettings, witness: Witness) -> None:
    async def scene() -> None:
        async with running(kafka) as shell:
            tell(kafka, ROLLBACKS, [asked("a", "1"), asked("b", "1"), asked("a", "2", "forget")])
            await eventually(lambda: len(witness.events()) == 3 and len(shell._entries) == 1)
        async with running(kafka) as shell:
            assert {place.key for place in shell._entries} == {"b"}
            tell(kafka, ROLLBACKS, [asked("a", "3"), asked("b", "2")])
            await eventually(lambda: len(witness.events()) == 5)

    asyncio.run(scene())
    assert witness.totals() == {"a": ["1 1", "forgotten", "1 3"], "b": ["1 1", "2 2"]}


def test_the_changelog_is_compacted_in_small_segments_and_takes_large_states(
    kafka: KafkaSettings,
) -> None:
    async def scene() -> None:
        async with running(kafka):
            pass

    asyncio.run(scene())
    name = f"{kafka.prefix}count-state-changelog"
    admin = AdminClient(kafka.confluent())
    assert len(admin.list_topics(timeout=60).topics[name].partitions) == 4
    resource = ConfigResource(ResourceType.TOPIC, name)
    entries = admin.describe_configs([resource])[resource].result(60)
    config = {key: entry.value for key, entry in entries.items()}
    assert config["cleanup.policy"] == "compact"
    assert int(config["max.message.bytes"]) == 16 * 1024 * 1024
    assert int(config["segment.bytes"]) == 64 * 1024 * 1024
    assert int(config["segment.ms"]) == 3_600_000
    assert float(config["min.cleanable.dirty.ratio"]) == 0.2


def test_what_a_transaction_took_back_is_never_seen(kafka: KafkaSettings, witness: Witness) -> None:
    """Nor do the marks that transactions leave hold up the offsets, even right after the first."""
    producer = Producer({**kafka.confluent(), "transactional.id": f"{kafka.prefix}producer"})
    producer.init_transactions(60)

    def transaction(token: str, end: str) -> None:
        value, headers = encode(asked("a", token))
        producer.begin_transaction()
        producer.produce(kafka.topic(ROLLBACKS), value, partition=A_HOME, headers=headers)
        producer.flush(10)
        getattr(producer, f"{end}_transaction")(60)

    async def scene() -> None:
        async with running(kafka):
            for token, end in (("1", "commit"), ("no", "abort"), ("no", "abort"), ("2", "commit")):
                transaction(token, end)
            await eventually(lambda: len(witness.events()) == 2)
            await eventually(lambda: committed(kafka, "count", ROLLBACKS)[A_HOME] == 7)

    asyncio.run(scene())
    assert witness.totals() == {"a": ["1 1", "2 2"]}


# ---- jobs


def test_a_job_begins_when_its_intent_is_safe_and_once_only(
    kafka: KafkaSettings, witness: Witness
) -> None:
    """Later messages of the same key do not begin it again; its own event ends it."""
    count = Count()

    async def scene() -> None:
        count.gate.clear()
        async with running(kafka, count) as shell:
            tell(kafka, ROLLBACKS, [asked("a", "1", "job walk@a")])
            await eventually(lambda: count.begun == ["walk@a"])
            assert changelog(kafka, "a")[-1]["jobs"] == ["walk@a"]
            tell(kafka, ROLLBACKS, [asked("a", "2"), asked("a", "3")])
            await eventually(lambda: len(witness.events()) == 3)
            count.gate.set()
            await eventually(lambda: len(witness.events()) == 4)
            await eventually(lambda: changelog(kafka, "a")[-1]["jobs"] == [])
            assert not shell._jobs

    asyncio.run(scene())
    assert (count.begun, count.ended) == (["walk@a"], ["walk@a"])


def test_a_job_that_a_crash_cut_off_begins_again(kafka: KafkaSettings, witness: Witness) -> None:
    first, second = Count(), Count()

    async def scene() -> None:
        first.gate.clear()
        async with running(kafka, first):
            tell(kafka, ROLLBACKS, [asked("a", "1", "job walk@a")])
            await eventually(lambda: first.begun == ["walk@a"])
        async with running(kafka, second):
            await eventually(lambda: len(witness.events()) == 2)

    asyncio.run(scene())
    assert (first.ended, second.ended) == ([], ["walk@a"])


def test_a_job_waits_for_a_world_that_is_away(kafka: KafkaSettings, witness: Witness) -> None:
    count = Count()
    count.away = 2

    async def scene() -> None:
        async with running(kafka, count):
            tell(kafka, ROLLBACKS, [asked("a", "1", "job walk@a")])
            await eventually(lambda: len(witness.events()) == 2)

    asyncio.run(scene())
    assert count.begun == ["walk@a"] * 3
    assert count.ended == ["walk@a"]
