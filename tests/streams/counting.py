"""A small recording decision, and workers around it: what the tests of the shells run.

It counts the messages of a key and says the count after each, so that a message that was lost
or counted twice is seen in what it says. A message's reason tells it what else to do.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from confluent_kafka import KafkaError, Producer
from pydantic import BaseModel, ConfigDict

from schemas.avro import HEADER, decode, encode
from schemas.errors import Rejected, SentinelError, Unavailable
from schemas.event import Event
from schemas.operations import Tick
from schemas.plans import Refusal
from schemas.results import Rollback
from schemas.topics import DEADLETTERS, REFUSALS, ROLLBACKS, TICKS, Topic
from schemas.turn import Job, Turn
from streams import worker
from streams.connection import KafkaSettings
from streams.kafka import Shell
from streams.settings import Settings
from streams.stage import Stage
from streams.topics import create
from tests.streams.kafka_world import reader, records

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
STAGE = Stage("count", (ROLLBACKS, REFUSALS), (REFUSALS,), lambda _: Count())
S = TypeVar("S", bound=worker.Running)
TICKING = Stage("count", (ROLLBACKS,), (REFUSALS,), lambda _: Count(), ticks=True)


class Tally(BaseModel):
    """What is kept of a key."""

    model_config = ConfigDict(frozen=True)

    total: int = 0
    jobs: tuple[str, ...] = ()


class Count:
    """Counts, says so, and does what it is told."""

    State = Tally

    def __init__(self) -> None:
        self.handled: list[str] = []  # tokens of messages, in the order of being handled
        self.away = 0  # how often the next "away" finds the world so
        self.begun: list[str] = []  # jobs
        self.ended: list[str] = []
        self.gate = asyncio.Event()  # jobs wait for it
        self.gate.set()

    def key(self, event: Event) -> str:
        """The incident, whatever its group."""
        return event.incident if isinstance(event, (Rollback, Refusal)) else ""

    def run(self, event: Event, state: Tally | None, _now: datetime) -> Turn[Tally]:
        """The count after the message."""
        held = state or Tally()
        match event:
            case Tick():
                return Turn(held, (said(event.group or "ticked", held, f"tick {event.number}"),))
            case Refusal() if event.reason.startswith("did "):
                left = tuple(job for job in held.jobs if job != event.reason[4:])
                return Turn(held.model_copy(update={"jobs": left}))
            case Rollback():
                return self._counted(event, held)
        return Turn(state)

    def _counted(self, event: Rollback, held: Tally) -> Turn[Tally]:
        verb, _, rest = event.reason.partition(" ")
        if verb == "reject":
            raise Rejected("not this one")
        if verb == "break":
            raise LookupError("a fault of ours")
        if verb == "away" and self.away:
            self.away -= 1
            raise Unavailable("the world is away")
        self.handled.append(event.token)
        if verb == "forget":
            return Turn(None, (said(event.group, held, "forgotten"),))
        jobs = (*held.jobs, rest) if verb == "job" else held.jobs
        held = Tally(total=held.total + 1, jobs=jobs)
        return Turn(held, (said(event.incident, held, f"{held.total} {event.token}"),))

    def pending(self, state: Tally) -> Iterable[Job]:
        """A job for each that was asked for and not done."""
        for name in state.jobs:
            yield Job(name, "asked", "", name)

    async def act(self, job: Job) -> AsyncIterator[Event]:
        """Say that it is done, once the gate is open."""
        self.begun.append(job.payload)
        if self.away:
            self.away -= 1
            raise Unavailable("the world is away")
        await self.gate.wait()
        incident = job.payload.partition("@")[2]
        yield said(incident, None, f"did {job.payload}")
        self.ended.append(job.payload)


def said(incident: str, held: Tally | None, reason: str) -> Refusal:
    """An output; the total travels in it to be seen."""
    by = "" if held is None else str(held.total)
    return Refusal(at=NOW, group=incident, incident=incident, of="rollback", by=by, reason=reason)


def asked(key: str, token: str, reason: str = "", ident: str = "") -> Rollback:
    """An input."""
    return Rollback(
        id=ident or f"id-{token}", at=NOW, group=key, incident=key, token=token, by="sre",
        reason=reason, signature="",
    )  # fmt: skip


def made(bootstrap: str, prefix: str) -> KafkaSettings:
    """Settings with names of their own, and the topics made."""
    kafka = KafkaSettings(brokers=bootstrap, prefix=f"{prefix}-", topic_prefix=f"{prefix}-")
    create(kafka, (ROLLBACKS, REFUSALS, TICKS, DEADLETTERS))
    return kafka


def tell(kafka: KafkaSettings, topic: Topic, events: Iterable[Event]) -> list[tuple[int, int]]:
    """Write events; partition and offset of each."""
    producer = Producer({**kafka.confluent(), "partitioner": "murmur2_random"})
    places: list[tuple[int, int]] = []

    def delivered(error: KafkaError | None, message: Any) -> None:
        assert error is None, error
        places.append((message.partition(), message.offset()))

    for event in events:
        value, headers = encode(event)
        producer.produce(
            kafka.topic(topic), value, event.group, headers=headers, on_delivery=delivered
        )
    assert producer.flush(120) == 0
    return places


class Witness:
    """Reads a topic from its beginning, on and on; only what is committed."""

    def __init__(self, kafka: KafkaSettings, topic: Topic = REFUSALS) -> None:
        self._consumer = reader(kafka, topic)
        self._events: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def events(self) -> list[Any]:
        """All events that have come so far."""
        while messages := self._consumer.consume(500, 0.05):
            for message in messages:
                assert message.error() is None, message.error()
                schema = dict(message.headers())[HEADER].decode()
                self._events.append(decode(message.value(), schema))
        return self._events

    def totals(self) -> dict[str, list[str]]:
        """What was said of each key, in order, copies by id left out."""
        result: dict[str, list[str]] = {}
        for event in {event.id: event for event in reversed(self.events())}.values():
            if not event.reason.startswith("did "):
                result.setdefault(event.incident, []).insert(0, event.reason)
        return result


async def eventually(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for the world, looking from a thread. Raises AssertionError when it does not come.

    Longer than a member takes to find that its rebalance stands still: that says more.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not await asyncio.to_thread(condition):
        assert loop.time() < deadline, "waited too long"
        await asyncio.sleep(0.1)


def changelog(kafka: KafkaSettings, key: str) -> list[dict[str, Any]]:
    """The states of a key that were written to the changelog, in order."""
    topic = Topic(f"{kafka.prefix}count-state-changelog", None, "", 0)
    found = records(kafka.model_copy(update={"topic_prefix": ""}), topic)
    ours = [message.value() for message in found if message.key().endswith(f"/{key}".encode())]
    return [json.loads(value)["state"] if value else {} for value in ours]


def clock() -> datetime:
    """A time that stands still: nothing here depends on it."""
    return NOW


@asynccontextmanager
async def running(
    kafka: KafkaSettings, count: Count | None = None, stage: Stage = STAGE
) -> AsyncIterator[Shell]:
    """A shell in this process, as `in_order` runs it."""
    loop = asyncio.get_running_loop()
    async with in_order(Shell(stage, count or Count(), kafka, clock=clock, loop=loop)) as shell:
        yield shell


@asynccontextmanager
async def in_order(shell: S) -> AsyncIterator[S]:
    """Run a shell, leave in order at the end; raises what it failed of."""
    scene = asyncio.current_task()
    assert scene is not None
    shell.failed.add_done_callback(lambda _: scene.cancel())
    try:
        await shell.start()
        yield shell
    except asyncio.CancelledError:
        shell.failed.result()
        raise
    finally:
        await shell.stop()


# ---- in a process of its own

POINTS = ("before sending", "after sending", "after keeping", "after acknowledging")
FROZEN = "frozen before keeping"


class Dying(Shell):
    """Kills its process at a point, in the first batch that changes something."""

    point = ""

    def _die(self, point: str) -> None:
        if point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)

    async def _send(self, records: list[Any]) -> None:
        if records:
            self._die("before sending")
        await super()._send(records)
        if records:
            self._die("after sending")

    async def _keep(self, changed: dict[Any, Any]) -> None:
        if changed and self.point == FROZEN:
            Dying.point = ""
            os.kill(os.getpid(), signal.SIGSTOP)
        await super()._keep(changed)
        if changed:
            self._die("after keeping")

    async def handle(self, events: list[Any]) -> None:
        """As the shell does it."""
        await super().handle(events)
        self._die("after acknowledging")


def serve(kafka: KafkaSettings, point: str, output: str) -> None:
    """Run the worker until it dies, is stopped, or fails: then one line and exit status 1."""
    with Path(output).open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    Dying.point = point
    worker.Shell = Dying  # type: ignore[attr-defined] # as it is, but for the dying
    settings = Settings(kafka=kafka)
    try:
        asyncio.run(worker.run([STAGE], settings, clock=False, ready=lambda: None))
    except SentinelError as error:
        sys.exit(str(error))


class Life:
    """A worker in a process of its own, forked from a server that has loaded all it needs."""

    def __init__(self, kafka: KafkaSettings, output: Path, point: str = "") -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self.output = output
        self.process = context.Process(target=serve, args=(kafka, point, str(output)), daemon=True)

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.is_alive():
            self.send(signal.SIGCONT)
            self.process.kill()
        self.process.join()
        self.process.close()

    def send(self, number: signal.Signals) -> None:
        """Signal the process."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def ends(self, seconds: float = 240.0) -> int:
        """Its exit status, negative for a signal, once it has ended."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, self.said()
        return self.process.exitcode

    def said(self) -> str:
        """What it wrote."""
        return self.output.read_text()
