"""A worker: up when all its stages are, down in order, and one line for whatever stopped it."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas.errors import Rejected, SentinelError, Unavailable
from schemas.topics import DEADLETTERS, REFUSALS, ROLLBACKS
from streams import worker
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.settings import Settings
from streams.stage import Stage
from tests.streams.counting import STAGE, TICKING, Count, Witness, asked, eventually, made, tell

KEEP = Stage("keep", (ROLLBACKS,), (), lambda _: Keeper())


class Keeper:
    """A sink that is given events and does nothing with them."""

    async def write(self, events: list[Any]) -> None:
        """Nothing."""


def run(settings: Settings, *stages: Stage, clock: bool = False, ready: Callable[[], None]) -> None:
    asyncio.run(worker.run(stages, settings, clock=clock, ready=ready))


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def settings(kafka: KafkaSettings) -> Settings:
    return Settings(kafka=kafka)


@pytest.mark.broker
def test_stages_and_the_clock_run_until_a_signal(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = made(broker.bootstrap, topic_prefix)

    async def scene() -> None:
        up = asyncio.Event()
        running = asyncio.create_task(
            worker.run([TICKING, KEEP], settings(kafka), clock=True, ready=up.set)
        )
        await asyncio.wait(
            {running, asyncio.ensure_future(up.wait())}, return_when="FIRST_COMPLETED"
        )
        assert up.is_set(), running.result()
        tell(kafka, ROLLBACKS, [asked("a", "1")])
        with Witness(kafka, REFUSALS) as witness:
            await eventually(lambda: any("tick" in said.reason for said in witness.events()))
        stop()
        await asyncio.wait_for(running, 120)

    asyncio.run(scene())


@pytest.mark.broker
def test_what_a_stage_does_is_told_to_prometheus(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka, registry = made(broker.bootstrap, topic_prefix), CollectorRegistry()
    topic, named = kafka.topic(ROLLBACKS), {"stage": "count"}
    stray = asked("a", "3", "reject")
    places = tell(kafka, ROLLBACKS, [asked("a", "1"), asked("a", "2"), stray])

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"sentinel_stage_{name}", named | labels)

    def seen() -> bool:
        partition = str(places[0][0])
        lag = value("lag_messages", topic=topic, partition=partition)
        return value("messages_total", topic=topic) == len(places) and lag == 0

    async def scene() -> None:
        up = asyncio.Event()
        running = asyncio.create_task(
            worker.run([STAGE], settings(kafka), clock=False, ready=up.set, registry=registry)
        )
        await eventually(seen)
        stop()
        await asyncio.wait_for(running, 120)

    asyncio.run(scene())
    assert value("deadletters_total") == 1
    assert value("written_total", topic=kafka.topic(DEADLETTERS)) == 1


@pytest.mark.broker
@pytest.mark.filterwarnings(  # aiokafka leaves a connection open whose first answer it cannot await
    "ignore:.*AIOKafkaConnection.__del__:pytest.PytestUnraisableExceptionWarning"
)
def test_a_signal_while_it_starts_stops_it_too(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = made(broker.bootstrap, topic_prefix)

    async def scene() -> None:
        running = asyncio.create_task(
            worker.run([STAGE], settings(kafka), clock=False, ready=lambda: pytest.fail("is up"))
        )
        await eventually(lambda: signal.getsignal(signal.SIGTERM) != signal.SIG_DFL)
        stop()
        await asyncio.wait_for(running, 120)

    asyncio.run(scene())
    gc.collect()  # so that such a connection is found while it is expected


@pytest.mark.broker
def test_without_a_stage_it_waits_for_a_signal(broker: EmbeddedBroker, topic_prefix: str) -> None:
    """Intake alone in a process: this part only hears the signals."""
    run(settings(made(broker.bootstrap, topic_prefix)), ready=stop)


@pytest.mark.broker
def test_topics_that_are_not_there_are_named(
    broker: EmbeddedBroker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PAUSES", (0.0,))
    kafka = KafkaSettings(brokers=broker.bootstrap, topic_prefix=f"{topic_prefix}-")
    with pytest.raises(Rejected) as error:
        run(settings(kafka), STAGE, ready=lambda: pytest.fail("is up"))
    assert str(error.value) == (
        f"no topic {topic_prefix}-refusals.v1, {topic_prefix}-rollbacks.v1:"
        " run `sentinel topics create`"
    )


def test_a_kafka_that_is_away_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PATIENCE_S", 1.0)
    with pytest.raises(Unavailable, match=r"Kafka at 127\.0\.0\.1:1: "):
        run(settings(KafkaSettings(brokers="127.0.0.1:1")), STAGE, ready=stop)


@pytest.mark.broker
def test_a_stage_that_does_not_come_up_is_named(
    broker: EmbeddedBroker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "STUCK_S", 0.01)
    kafka = made(broker.bootstrap, topic_prefix)
    with pytest.raises(Unavailable, match="count did not join within"):
        run(settings(kafka), STAGE, ready=lambda: pytest.fail("is up"))


@pytest.mark.broker
def test_one_stage_that_fails_stops_the_others_and_is_named(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    kafka = made(broker.bootstrap, topic_prefix)
    tell(kafka, ROLLBACKS, [asked("a", "1", "break")])
    with pytest.raises(SentinelError, match=r"count: LookupError: a fault of ours \(counting.py"):
        run(settings(kafka), STAGE, KEEP, ready=lambda: None)


class Breaking:
    """Comes up, breaks at once, and cannot even stop in order."""

    def __init__(self, why: str) -> None:
        self.why, self.stops = why, 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Up, and broken."""
        self.failed.set_exception(Unavailable(self.why))

    async def stop(self) -> None:
        """Never in order."""
        self.stops += 1
        raise LookupError("what was never begun")


def test_what_stopped_a_worker_is_told_also_when_its_stages_do_not_stop_in_order(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of several the first; of the others, and of what went wrong at the end, the log."""
    made: list[Breaking] = []
    told: list[dict[str, Any]] = []

    def shell(stage: Stage, *_: Any, **__: Any) -> Breaking:
        made.append(Breaking(f"{stage.name}: its database is away"))
        return made[-1]

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        with pytest.raises(Unavailable, match=r"^count: its database is away$"):
            await worker.run([STAGE, KEEP], Settings(), clock=False, ready=lambda: None)
        stops = [one.stops for one in made]
        made.clear()
        gc.collect()  # an error that nobody asked for is told here
        assert stops == [1, 1]

    monkeypatch.setattr(worker, "shell", shell)
    monkeypatch.setattr(worker, "_fitted", lambda settings, _: settings)
    asyncio.run(scene())
    assert [message.partition(" (")[0] for message in caplog.messages] == [
        "not stopped in order: count: LookupError: what was never begun",
        "not stopped in order: keep: LookupError: what was never begun",
        "keep: its database is away",
    ]
    assert told == []


def failed() -> Exception:
    """An error that was raised, and so knows where."""
    with pytest.raises(LookupError) as error:
        fail()
    return error.value


def fail() -> None:
    raise LookupError("two\n  lines")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Unavailable("the database is away"), "the database is away"),
        (ValueError(""), "count: ValueError: no reason given"),
        (failed(), "count: LookupError: two lines (test_worker.py:"),
    ],
)
def test_whatever_stopped_a_stage_is_one_line(error: Exception, line: str) -> None:
    said = str(worker.said("count", error))
    assert said.startswith(line)
    assert "\n" not in said


def test_each_kind_of_stage_gets_its_shell() -> None:
    async def scene() -> list[str]:
        made = [
            worker.shell(s, Settings())
            for s in (STAGE, KEEP, Stage("f", (ROLLBACKS,), (), Feeding))
        ]
        return [type(one).__name__ for one in made]

    assert asyncio.run(scene()) == ["Shell", "SinkShell", "ColumnShell"]


class Feeding:
    """Looks like a consumer of frames."""

    def __init__(self, _: Settings) -> None:
        self.feed = Count
