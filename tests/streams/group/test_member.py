"""Partitions come and go: what is under way ends first, and nobody writes what is not theirs."""

import asyncio
import itertools
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.cluster import ClusterMetadata
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.errors import SentinelError
from schemas.topics import REFUSALS, ROLLBACKS
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.kafka import Shell
from tests.streams.counting import (
    FROZEN,
    STAGE,
    Count,
    Life,
    Witness,
    asked,
    changelog,
    clock,
    eventually,
    made,
    running,
    tell,
)

pytestmark = pytest.mark.broker
KEYS = [f"key-{n}" for n in range(12)]


@pytest.fixture
def kafka(broker: EmbeddedBroker, topic_prefix: str) -> KafkaSettings:
    return made(broker.bootstrap, topic_prefix)


@pytest.fixture
def witness(kafka: KafkaSettings) -> Iterator[Witness]:
    with Witness(kafka) as reading:
        yield reading


@asynccontextmanager
async def load(kafka: KafkaSettings) -> AsyncIterator[list[str]]:
    """Messages to every key, on and on, until the end; their tokens."""
    tokens: list[str] = []
    ending = asyncio.Event()

    async def send() -> None:
        for n in itertools.count():
            if ending.is_set():
                return
            tokens.append(str(n))
            await asyncio.to_thread(
                tell, kafka, ROLLBACKS, [asked(key, f"{key}/{n}") for key in KEYS]
            )
            await asyncio.sleep(0.02)

    sending = asyncio.create_task(send())
    try:
        yield tokens
    finally:
        ending.set()
        await sending


def lag(shell: Shell) -> float:
    """What it tells Prometheus, of all partitions."""
    (told,) = shell.member.signal._metrics.lag.collect()
    return sum(sample.value for sample in told.samples)


def assert_counted_once(witness: Witness, tokens: list[str]) -> None:
    want = {key: [f"{n} {key}/{token}" for n, token in enumerate(tokens, 1)] for key in KEYS}
    assert witness.totals() == want


def test_workers_join_and_leave_under_load_and_no_message_is_handled_by_two(
    kafka: KafkaSettings, witness: Witness, caplog: pytest.LogCaptureFixture
) -> None:
    """And a rebalance is nothing to warn of."""
    first, second = Count(), Count()

    async def scene() -> list[str]:
        async with running(kafka, first) as one:
            async with load(kafka) as tokens:
                await eventually(lambda: len(witness.events()) > 50)
                async with running(kafka, second) as two:
                    await eventually(lambda: len(second.handled) > 50)
                    held = [{place.partition for place in shell._entries} for shell in (one, two)]
                    assert held[0] | held[1] == {0, 1, 2, 3}
                    assert not held[0] & held[1]
                seen = len(first.handled)
                await eventually(lambda: len(first.handled) > seen + 100)
            await eventually(lambda: len(witness.events()) >= len(KEYS) * len(tokens))
            return tokens

    with caplog.at_level(logging.WARNING):
        tokens = asyncio.run(scene())
    assert_counted_once(witness, tokens)
    assert not {*first.handled} & {*second.handled}
    assert len(first.handled) + len(second.handled) == len(KEYS) * len(tokens)
    # On a busy machine, Kafka may truly be silent for a while
    assert [said for said in caplog.messages if ": Kafka " not in said] == []


def test_jobs_move_with_their_keys_and_never_run_in_two_places(
    kafka: KafkaSettings, witness: Witness
) -> None:
    first, second = Count(), Count()

    async def scene() -> None:
        first.gate.clear()
        async with running(kafka, first):
            tell(kafka, ROLLBACKS, [asked(key, key, f"job walk@{key}") for key in KEYS])
            await eventually(lambda: len(first.begun) == len(KEYS))
            async with running(kafka, second):
                await eventually(lambda: len(second.ended) > 0)
                kept = len(KEYS) - len(second.begun)
                await eventually(lambda: len(first.begun) == len(KEYS) + kept)
                first.gate.set()
                await eventually(lambda: len(witness.events()) == 2 * len(KEYS))

    asyncio.run(scene())
    assert not {*first.ended} & {*second.ended}
    assert len(first.ended) + len(second.ended) == len(KEYS)


def test_a_batch_that_cannot_end_is_given_up_and_handled_by_the_next_owner(
    kafka: KafkaSettings, witness: Witness
) -> None:
    """The world of the first worker is away for good; the second's is not.

    That it waits is told by its lag, though it has handled nothing yet.
    """
    first, second = Count(), Count()
    first.away = 1_000_000
    tokens = [asked(key, key, "away") for key in KEYS]

    async def scene() -> None:
        async with running(kafka, first) as shell:
            tell(kafka, ROLLBACKS, tokens)
            await eventually(lambda: first.away < 1_000_000)
            await eventually(lambda: lag(shell) == len(KEYS))
            async with running(kafka, second):
                await eventually(lambda: len(witness.events()) > 0)
                first.away = 0
                await eventually(lambda: len(witness.events()) == len(KEYS))

    asyncio.run(scene())
    assert witness.totals() == {key: [f"1 {key}"] for key in KEYS}
    assert not {*first.handled} & {*second.handled}


def test_a_worker_that_was_frozen_writes_nothing_on_waking(
    kafka: KafkaSettings, witness: Witness, tmp_path: Path
) -> None:
    """Frozen with a state in hand, until another has its partitions; then it joins again."""
    tell(kafka, ROLLBACKS, [asked("a", "1")])

    async def scene(life: Life) -> None:
        await eventually(lambda: len(witness.events()) == 1)
        async with running(kafka) as shell:
            tell(kafka, ROLLBACKS, [asked("a", "2")])
            await eventually(lambda: "2 2" in witness.totals()["a"])
            life.send(signal.SIGCONT)
            await eventually(lambda: len(shell.member.app.consumer.assignment()) == 2 * 3)
            tell(kafka, ROLLBACKS, [asked("a", "3")])
            await eventually(lambda: len(witness.totals()["a"]) == 3)

    with Life(kafka, tmp_path / "said", FROZEN) as life:
        asyncio.run(scene(life))
    assert witness.totals() == {"a": ["1 1", "2 2", "3 3"]}
    written = [state["total"] for state in changelog(kafka, "a")]
    assert written == sorted(written)


def test_a_changelog_whose_end_never_comes_stops_the_worker(kafka: KafkaSettings) -> None:
    """A transaction that was taken back at its end: Faust waits for that record for ever."""

    async def scene() -> None:
        async with running(kafka):
            pass
        changelog = f"{kafka.prefix}count-state-changelog"
        producer = Producer({**kafka.confluent(), "transactional.id": f"{kafka.prefix}p"})
        producer.init_transactions(60)
        producer.begin_transaction()
        producer.produce(changelog, b"{}", key=b"0/a", partition=0)
        producer.flush(10)
        producer.abort_transaction(20)
        loop = asyncio.get_running_loop()
        shell = Shell(STAGE, Count(), kafka, clock=clock, loop=loop)
        shell.member.stuck_s = 2.0
        starting = asyncio.create_task(shell.start())
        with pytest.raises(SentinelError, match=r"stood still .* with \d+ changelog records"):
            await asyncio.wait_for(shell.failed, 120)
        starting.cancel()
        await shell.stop()

    asyncio.run(scene())


class Another(ClusterMetadata):  # type: ignore[misc] # the client library is untyped
    """What a broker says that is asked beside the one from which we have our metadata."""


@pytest.fixture(params=[ClusterMetadata, Another], ids=["the one that is asked", "another"])
def late(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kafka: KafkaSettings
) -> dict[str, int]:
    """The changelog, and how often a broker is still asked for it in vain."""
    left = {f"{kafka.prefix}count-state-changelog": 20}
    known = ClusterMetadata.partitions_for_topic

    def told(self: ClusterMetadata, topic: str) -> set[int] | None:
        if left.get(topic):
            left[topic] -= 1
            return None
        partitions: set[int] | None = known(self, topic)
        return partitions

    monkeypatch.setattr("streams.group.reader.ClusterMetadata", Another)
    monkeypatch.setattr(request.param, "partitions_for_topic", told)
    return left


def test_a_changelog_that_brokers_do_not_show_yet_is_waited_for(
    kafka: KafkaSettings, witness: Witness, late: dict[str, int]
) -> None:
    """The controller has created it, a broker has not heard of it."""

    async def scene() -> None:
        async with running(kafka):
            tell(kafka, ROLLBACKS, [asked("a", "x")])
            await eventually(lambda: witness.totals() == {"a": ["1 x"]})

    asyncio.run(scene())
    assert set(late.values()) == {0}


def test_a_changelog_that_brokers_never_show_stops_the_worker(
    kafka: KafkaSettings, late: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would share out its sources without their state."""
    monkeypatch.setattr("streams.group.reader.SEEN_S", 0.5)
    late.update(dict.fromkeys(late, 1_000_000))

    async def scene() -> None:
        shell = Shell(STAGE, Count(), kafka, clock=clock, loop=asyncio.get_running_loop())
        starting = asyncio.create_task(shell.start())
        with pytest.raises(SentinelError, match=r"Kafka does not show .*count-state-changelog"):
            await asyncio.wait_for(shell.failed, 120)
        starting.cancel()
        await shell.stop()

    asyncio.run(scene())


def reads_no_more(shell: Shell) -> None:
    """As a rebalance may leave it: the group is at peace, and nothing is fetched.

    Nor later: to resume a partition that was full does not mend it.
    """
    shell.member.app.consumer._get_active_partitions = set


def commits_no_more(shell: Shell) -> None:
    """All is handled, and Kafka never hears of it."""
    shell.member.app.consumer._new_offset = lambda _: None


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (reads_no_more, r"^count: .*: \d+ records behind offset \d+ are not read"),
        (commits_no_more, r"^count: .*: \d+ records from offset \d+ on are not acknowledged"),
    ],
)
def test_a_worker_that_stands_still_in_a_group_at_peace_stops(
    kafka: KafkaSettings, witness: Witness, breaks: Callable[[Shell], None], said: str
) -> None:
    """While it had nothing to do nobody minded; what it left is handled after a restart."""

    async def life() -> None:
        async with running(kafka) as shell:
            shell.member.stuck_s = 2.0
            tell(kafka, ROLLBACKS, [asked(key, f"{key}/0") for key in KEYS])
            await eventually(lambda: len(witness.events()) == len(KEYS))
            breaks(shell)
            tell(kafka, ROLLBACKS, [asked(key, f"{key}/1") for key in KEYS])
            await eventually(shell.failed.done)  # which ends this life

    async def scene() -> None:
        with pytest.raises(SentinelError, match=said):
            await asyncio.create_task(life())
        async with running(kafka):
            await eventually(lambda: sum(map(len, witness.totals().values())) == 2 * len(KEYS))

    asyncio.run(scene())
    assert_counted_once(witness, ["0", "1"])


@pytest.mark.faults
def test_a_kafka_that_goes_away_and_comes_back_is_told_twice_and_costs_nothing(
    topic_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed for longer than a session lasts."""

    async def scene(broker: EmbeddedBroker, kafka: KafkaSettings, witness: Witness) -> None:
        async with running(kafka):
            tell(kafka, ROLLBACKS, [asked("a", str(n)) for n in range(5)])
            await eventually(lambda: len(witness.events()) == 5)
            broker.kill(1)
            await eventually(lambda: len(caplog.messages) == 1)
            await asyncio.to_thread(broker.restart, 1)
            await eventually(lambda: len(caplog.messages) == 2)
        with Witness(kafka) as again:
            async with running(kafka):
                tell(kafka, ROLLBACKS, [asked("a", str(n)) for n in range(5, 10)])
                await eventually(lambda: len(again.totals().get("a", ())) == 10)
                assert again.totals() == {"a": [f"{n} {n - 1}" for n in range(1, 11)]}

    with EmbeddedBroker() as broker, caplog.at_level(logging.WARNING):
        kafka = made(broker.bootstrap, topic_prefix)
        with Witness(kafka) as witness:
            asyncio.run(scene(broker, kafka, witness))
    away, back = caplog.messages
    assert away.startswith("count: Kafka has been silent for ")
    assert back == "count: Kafka answers again"


def test_topics_with_other_numbers_of_partitions_are_refused(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    """State and messages of a key would be on different workers."""
    kafka = KafkaSettings(
        brokers=broker.bootstrap, prefix=f"{topic_prefix}-", topic_prefix=f"{topic_prefix}-"
    )
    admin = AdminClient(kafka.confluent())
    topics = [NewTopic(kafka.topic(ROLLBACKS), 2, 1), NewTopic(kafka.topic(REFUSALS), 4, 1)]
    for future in admin.create_topics(topics).values():
        future.result(60)

    async def scene() -> None:
        async with running(kafka):
            pass

    with pytest.raises(SentinelError, match="count: its topics must have equally many partitions"):
        asyncio.run(scene())
