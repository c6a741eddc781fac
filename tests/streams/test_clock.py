"""Time as messages: a tick a second in every partition, however many clocks there are."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from schemas.operations import Tick
from schemas.topics import TICKS
from streams import clock as module
from streams.broker.embedded import EmbeddedBroker
from streams.clock import Clock
from streams.connection import KafkaSettings
from tests.streams.counting import Witness, eventually, made
from tests.streams.kafka_world import records


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.broker
def test_two_clocks_say_each_second_of_each_partition_under_one_id(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    kafka = made(broker.bootstrap, topic_prefix)

    async def scene() -> None:
        clocks = [Clock(kafka, now=now), Clock(kafka, now=now)]
        for clock in clocks:
            await clock.start()
        with Witness(kafka, TICKS) as ticks:
            await eventually(lambda: len({tick.number for tick in ticks.events()}) >= 3)
        for clock in clocks:
            await clock.stop()
            assert clock._producer.flush(120) == 0

    asyncio.run(scene())
    with Witness(kafka, TICKS) as ticks:
        asyncio.run(eventually(lambda: len(ticks.events()) >= len(records(kafka, TICKS))))
        said = ticks.events()
    assert all(isinstance(tick, Tick) for tick in said)
    assert all(tick.at == datetime.fromtimestamp(tick.number, UTC) for tick in said)
    seconds = sorted({tick.number for tick in said})
    assert len({tick.id for tick in said}) == TICKS.partitions * len(seconds)
    assert len(said) <= 2 * TICKS.partitions * len(seconds)
    assert {message.partition() for message in records(kafka, TICKS)} == set(range(4))


class Wound:
    """A time that a test sets; a producer that records."""

    def __init__(self, *seconds: float) -> None:
        self.times = [datetime(2026, 3, 4, tzinfo=UTC) + timedelta(seconds=s) for s in seconds]
        self.sent: list[int] = []

    def now(self) -> datetime:
        """The next of the times."""
        if not self.times:
            raise LookupError("no more time")
        return self.times.pop(0)

    def send(self, second: int, partition: int) -> None:  # noqa: ARG002 - as the clock calls it
        """Record."""
        self.sent.append(second)


def test_a_timer_that_is_early_by_a_moment_makes_no_second_tick() -> None:
    """0.9996 is the second 1 already; then 1.0002 is the same."""
    wound = Wound(0.9999, 0.9999, 0.9999, 1.0002, 1.9999, 2.0001)

    async def scene() -> None:
        clock = Clock(KafkaSettings(brokers="127.0.0.1:1"), now=wound.now)
        clock._send = wound.send  # type: ignore[method-assign] # records
        await clock.start()
        with pytest.raises(LookupError):
            await asyncio.wait_for(clock.failed, 60)
        await clock.stop()

    asyncio.run(scene())
    start = int(datetime(2026, 3, 4, tzinfo=UTC).timestamp())
    assert wound.sent == [start + 1] * 4 + [start + 2] * 4


def test_a_clock_that_breaks_says_so() -> None:
    """Or the stages would wait for ever."""

    async def scene() -> None:
        clock = Clock(KafkaSettings(brokers="127.0.0.1:1"), now=Wound().now)
        await clock.start()
        with pytest.raises(LookupError, match="no more time"):
            await asyncio.wait_for(clock.failed, 60)
        await clock.stop()

    asyncio.run(scene())


def test_ticks_that_do_not_arrive_are_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "OLDEST_S", 0.2)
    monkeypatch.setattr(module, "EVERY_S", 0.1)

    async def scene() -> None:
        clock = Clock(KafkaSettings(brokers="127.0.0.1:1"), now=now)
        await clock.start()
        await eventually(lambda: bool(caplog.messages))
        await asyncio.to_thread(clock._producer.flush, 1.0)
        await clock.stop()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    (line,) = caplog.messages
    assert line.startswith("clock: ticks do not arrive: ")
