"""First said, then kept, then acknowledged: in any other order a crash loses something.

Kept before it was said, a crash between the two leaves a state that knows of the message, and
outputs that nobody will say: the kill tests on the broker would have to hit that moment, these
look at the order itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from schemas.avro import HEADER, encode
from schemas.errors import Rejected
from schemas.event import Event
from schemas.frames import Samples, canonical, write_samples
from schemas.topics import ROLLBACKS, SAMPLES, Topic
from streams import columns, kafka
from streams.columns import ColumnShell
from streams.connection import KafkaSettings
from streams.group.message import home
from streams.kafka import Shell
from tests.streams.counting import STAGE, Count, asked, clock, said
from tests.streams.framing_world import STAGE as DETECT

SETTINGS = KafkaSettings()


class Log:
    """What a shell does to Kafka, in order; `send` or `keep` may fail, or wait."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails = ""
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, _app: Any, _kafka: Any, records: list[Any]) -> None:
        """Outputs."""
        await self._do(f"said {len(records)}")

    async def keep(self, _app: Any, _table: Any, _partition: int, rows: dict[bytes, Any]) -> None:
        """State."""
        await self._do(f"kept {len(rows)}")

    def ack(self) -> None:
        """A message."""
        self.done.append("acknowledged")

    async def _do(self, what: str) -> None:
        await self.open.wait()
        if self.fails and what.startswith(self.fails):
            raise LookupError(what)
        self.done.append(what)


async def nothing() -> None:
    """As when the group has heard of us."""


def event(log: Log, topic: Topic, partition: int, value: bytes, headers: Any = ()) -> Any:
    """A message as Faust hands it out."""
    message = SimpleNamespace(
        topic=SETTINGS.topic(topic), partition=partition, offset=0,
        value=value, headers=headers, key=None,
    )  # fmt: skip
    return SimpleNamespace(message=message, value=value, ack=log.ack)


# ---- decisions


@asynccontextmanager
async def shell(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Shell, Log]]:
    log = Log()
    made = Shell(STAGE, Count(), SETTINGS, clock=clock, loop=asyncio.get_running_loop())
    monkeypatch.setattr(kafka, "send", log.send)
    monkeypatch.setattr(kafka, "keep", log.keep)
    monkeypatch.setattr(made.member, "check", nothing)
    yield made, log


def told(log: Log) -> Any:
    value, headers = encode(asked("a", "1"))
    return event(log, ROLLBACKS, home("a"), value, [(HEADER, headers[HEADER].encode())])


@pytest.mark.parametrize(
    ("fails", "done"),
    [
        ("", ["said 1", "kept 1", "acknowledged"]),
        ("said", []),
        ("kept", ["said 1"]),
    ],
)
def test_a_decision_is_said_then_kept_then_acknowledged(
    monkeypatch: pytest.MonkeyPatch, fails: str, done: list[str]
) -> None:
    async def scene() -> list[str]:
        async with shell(monkeypatch) as (made, log):
            log.fails = fails
            try:
                await made.handle([told(log)])
            except LookupError:
                assert fails
            return log.done

    assert asyncio.run(scene()) == done


def test_what_was_not_kept_is_not_in_the_store_that_a_rebalance_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> dict[bytes, bytes]:
        async with shell(monkeypatch) as (made, log):
            log.fails = "kept"
            with pytest.raises(LookupError):
                await made.handle([told(log)])
            return dict(made._table.data.data)

    assert asyncio.run(scene()) == {}


# ---- frames


class Counted:
    """A consumer with one block, which says something of every frame."""

    def __init__(self) -> None:
        self.block = SimpleNamespace(included=-1, saved=-1, changed=False, dump=lambda: b"state")

    def blocks(self, _partition: int) -> Sequence[Any]:
        """The block."""
        return [self.block]

    def load(self, partition: int, saved: Any) -> None:
        """Nothing."""

    def drop(self, partition: int) -> None:
        """Nothing."""

    def feed(self, _frame: Samples, _partition: int, offset: int) -> list[Event]:
        """Count, and say so."""
        self.block.included, self.block.changed = offset, True
        return [said("a", None, "counted")]


class Heard(Counted):
    """And hears, of what it cannot read again."""

    def hear(self, _event: Event, _partition: int) -> None:
        """No news."""

    def recall(self, _partition: int, kept: bytes) -> None:
        """Never."""
        raise Rejected(f"no bars: {kept.decode()}")


def test_what_was_heard_and_cannot_be_read_again_stops_the_worker_and_says_what_to_do() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        made = ColumnShell(DETECT, Heard(), SETTINGS, save_s=1.0, clock=clock, loop=loop)
        made._kept.data.data.update({b"0": b"of another", b"1": b"ours"})
        await made.assigned({1})

    with pytest.raises(Rejected) as error:
        asyncio.run(scene())
    assert str(error.value) == (
        "detect: partition 1: no bars: ours: run the version that wrote it, or delete the topic"
        " sentinel-detect-heard-changelog to begin without what was heard before"
    )


Scene = Callable[[ColumnShell, Log], Coroutine[Any, Any, None]]


def played(monkeypatch: pytest.MonkeyPatch, scene: Scene) -> list[str]:
    """What a column shell that has partition 0 did in a scene."""

    async def run() -> list[str]:
        log = Log()
        loop = asyncio.get_running_loop()
        made = ColumnShell(DETECT, Counted(), SETTINGS, save_s=1.0, clock=clock, loop=loop)
        monkeypatch.setattr(columns, "send", log.send)
        monkeypatch.setattr(columns, "keep", log.keep)
        monkeypatch.setattr(made.member, "check", nothing)
        await made.assigned({0})
        await scene(made, log)
        return log.done

    return asyncio.run(run())


def frame(log: Log) -> Any:
    one = np.zeros(1, np.int32)
    samples = Samples([canonical("m", {"service": "s"})], one, one.astype(np.int64), np.ones(1))
    return event(log, SAMPLES, 0, write_samples(samples))


def test_a_frame_is_acknowledged_when_it_is_said_and_its_block_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene(made: ColumnShell, log: Log) -> None:
        await made.handle([frame(log)])
        assert log.done == ["said 1"]
        await made._save_share()

    assert played(monkeypatch, scene) == ["said 1", "kept 1", "acknowledged"]


async def batch_and_save(made: ColumnShell, log: Log) -> None:
    await made.handle([frame(log)])
    await made._save_share()


@pytest.mark.parametrize("fails", ["said", "kept"])
def test_a_frame_that_could_not_be_said_or_kept_is_not_acknowledged(
    monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    async def scene(made: ColumnShell, log: Log) -> None:
        log.fails = fails
        with pytest.raises(LookupError):
            await batch_and_save(made, log)
        assert dict(made._table.data.data) == {}

    assert played(monkeypatch, scene) == ([] if fails == "said" else ["said 1"])


def test_no_block_is_saved_while_what_it_knows_is_not_said_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The saver's turn comes in the middle of a batch: it waits."""

    async def scene(made: ColumnShell, log: Log) -> None:
        sleep = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", lambda _: sleep(0))
        log.open.clear()
        async with made.member.lock:  # as the member holds it over a batch
            batch = asyncio.ensure_future(made.handle([frame(log)]))
            saver = asyncio.ensure_future(made._save_always())
            for _ in range(20):
                await sleep(0)
            assert made.consumer.blocks(0)[0].changed
            assert log.done == []
            log.open.set()
            await batch
            assert log.done == ["said 1"]
        while "acknowledged" not in log.done:
            await sleep(0)
        saver.cancel()

    assert played(monkeypatch, scene) == ["said 1", "kept 1", "acknowledged"]


def test_a_frame_that_comes_while_blocks_are_saved_waits_for_one_of_them_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With thousands of series it would wait for a second's share of them."""

    async def scene(made: ColumnShell, log: Log) -> None:
        other = SimpleNamespace(included=0, saved=-1, changed=True, dump=lambda: b"other")
        first: Any = made.consumer
        monkeypatch.setattr(first, "blocks", lambda _: [first.block, other])

        async def batch() -> None:
            async with made.member.lock:  # as the member holds it over a batch
                await made.handle([frame(log)])

        await batch()
        log.open.clear()
        saver = asyncio.ensure_future(made._save_share())
        for _ in range(5):
            await asyncio.sleep(0)
        coming = asyncio.ensure_future(batch())
        await asyncio.sleep(0)
        log.open.set()
        await asyncio.gather(saver, coming)

    done = played(monkeypatch, scene)
    assert done == ["said 1", "kept 1", "said 1", "kept 1", "acknowledged", "acknowledged"]


def test_what_was_given_up_half_way_is_not_saved_at_a_rebalance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its block knows of a frame whose anomalies were never said."""

    async def scene(made: ColumnShell, log: Log) -> None:
        log.fails = "said"
        with pytest.raises(LookupError):
            await made.handle([frame(log)])
        await made.revoked(finished=False)

    assert played(monkeypatch, scene) == []
