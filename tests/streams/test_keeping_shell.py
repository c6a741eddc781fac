"""A sink on a real broker: everything is written, whatever is away, and nothing else waits."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from schemas.errors import Unavailable
from schemas.event import Event
from schemas.topics import REFUSALS, ROLLBACKS
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.keeping import SinkShell
from streams.stage import Position, Stage
from tests.streams.counting import Witness, asked, clock, eventually, made, tell
from tests.streams.counting import running as counting
from tests.streams.kafka_world import letters, put

pytestmark = pytest.mark.broker
STAGE = Stage("keep", (ROLLBACKS, REFUSALS), (), lambda _: Keeper())


class Keeper:
    """Keeps what it is given; may be away for so many writes, or fail for good."""

    def __init__(self, *, away: int = 0) -> None:
        self.away = away
        self.kept: list[tuple[str, Position]] = []
        self.tried = 0
        self.broken = False

    async def write(self, events: list[tuple[Event, Position]]) -> None:
        """Keep them."""
        self.tried += 1
        if self.broken:
            raise LookupError("a fault of ours")
        if self.away:
            self.away -= 1
            raise Unavailable("the database is away")
        self.kept += [(event.id, position) for event, position in events]


@asynccontextmanager
async def running(kafka: KafkaSettings, keeper: Keeper) -> AsyncIterator[SinkShell]:
    loop = asyncio.get_running_loop()
    shell = SinkShell(STAGE, keeper, kafka, clock=clock, loop=loop)
    try:
        await shell.start()
        yield shell
    finally:
        await shell.stop()


@pytest.fixture
def kafka(broker: EmbeddedBroker, topic_prefix: str) -> KafkaSettings:
    return made(broker.bootstrap, topic_prefix)


def test_every_event_is_written_with_its_place_and_once_over_a_restart(
    kafka: KafkaSettings,
) -> None:
    first, second = Keeper(), Keeper()

    async def scene() -> list[tuple[int, int]]:
        tokens = [str(n) for n in range(200)]
        async with running(kafka, first):
            places = tell(kafka, ROLLBACKS, [asked(token, token) for token in tokens])
            put(kafka, ROLLBACKS, [b"junk"])
            await eventually(lambda: len(first.kept) == 200)
        async with running(kafka, second):
            tell(kafka, ROLLBACKS, [asked("a", "end")])
            await eventually(lambda: len(second.kept) == 1)
        return places

    places = asyncio.run(scene())
    name = kafka.topic(ROLLBACKS)
    assert {ident for ident, _ in first.kept} == {f"id-{n}" for n in range(200)}
    assert sorted(place for _, place in first.kept) == sorted(Position(name, *p) for p in places)
    assert [ident for ident, _ in second.kept] == ["id-end"]
    assert [(letter.stage, letter.original) for letter in letters(kafka)] == [("keep", b"junk")]


def test_while_its_database_is_away_it_waits_and_nobody_else_does(kafka: KafkaSettings) -> None:
    keeper = Keeper(away=3)

    async def scene() -> None:
        with Witness(kafka) as witness:
            async with counting(kafka), running(kafka, keeper):
                tell(kafka, ROLLBACKS, [asked("a", str(n)) for n in range(5)])
                await eventually(lambda: len(witness.events()) == 5 or not keeper.away)
                assert len(witness.events()) == 5
                await eventually(lambda: len(keeper.kept) == 10)

    asyncio.run(scene())
    assert len({ident for ident, _ in keeper.kept}) == 10
    assert keeper.tried >= 4


def test_it_can_be_stopped_while_its_database_is_away(kafka: KafkaSettings) -> None:
    """And what it could not write is written by the next."""
    first, second = Keeper(away=1_000_000), Keeper()

    async def scene() -> None:
        async with running(kafka, first):
            tell(kafka, ROLLBACKS, [asked("a", "1")])
            await eventually(lambda: first.tried > 1)
        async with running(kafka, second):
            await eventually(lambda: len(second.kept) == 1)

    asyncio.run(scene())
    assert first.kept == []


def test_workers_join_and_leave_and_every_event_is_written(kafka: KafkaSettings) -> None:
    first, second = Keeper(), Keeper()
    numbers = itertools.count()

    def more(count: int) -> None:
        tell(kafka, ROLLBACKS, [asked(f"k{n}", str(n)) for n in itertools.islice(numbers, count)])

    async def scene() -> None:
        async with running(kafka, first):
            more(50)
            await eventually(lambda: len(first.kept) == 50)
            async with running(kafka, second):
                more(100)
                await eventually(lambda: len(first.kept) + len(second.kept) >= 150)
            more(50)
            await eventually(lambda: len({i for i, _ in first.kept + second.kept}) == 200)

    asyncio.run(scene())
    assert second.kept


def test_a_fault_of_ours_stops_it(kafka: KafkaSettings) -> None:
    keeper = Keeper()
    keeper.broken = True

    async def scene() -> None:
        async with running(kafka, keeper) as shell:
            tell(kafka, ROLLBACKS, [asked("a", "1")])
            with pytest.raises(LookupError):
                await asyncio.wait_for(shell.failed, 120)

    asyncio.run(scene())
