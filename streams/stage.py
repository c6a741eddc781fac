"""What a stage is: topics in, topics out, and a plain function in between.

A decision is a class with `run(message, state, now) -> Turn`; it may hold settings and
models, never a clock, a client or mutable memory: what must be remembered between messages
is in `state`, one frozen value a key, which the shell (streams/kafka.py) keeps in a changelog.

What takes long or touches the world is not done in `run`. A decision that acts leaves its
intent in the state; `pending(state)` names the jobs that follow from it and `act(job)` carries
one out beside the stream, yielding events. The shell sends those to their topics, which the
stage reads too, so that the next `run` sees how it went. A job is started only after the
state that intends it is safely in the changelog, and again after a crash, until `pending`
no longer names it: `act` must find out by itself what an earlier try has done.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol, runtime_checkable

from schemas.event import Event
from schemas.topics import Topic
from schemas.turn import Job, S, Turn


class Decision(Protocol[S]):
    """One stage's logic. `State` is the frozen pydantic model kept a key."""

    State: type[S]

    def key(self, event: Event) -> str:
        """Which state the event belongs to; empty when the stage has no use for the event."""

    def run(self, event: Event, state: S | None, now: datetime) -> Turn[S]:
        """Handle one message; ticks come once for every key that has state."""


@runtime_checkable
class Acting(Protocol):
    """A decision that also touches the world."""

    def pending(self, state: Any) -> Iterable[Job]:
        """The jobs that the state intends and that have not been heard of since."""

    def act(self, job: Job) -> AsyncIterator[Event]:
        """Carry a job out. Raises Unavailable to be called again later."""


class Sink(Protocol):
    """A consumer that keeps or shows events: `write` must be idempotent by event id."""

    async def write(self, events: list[tuple[Event, "Position"]]) -> None:
        """Keep a batch. Raises Unavailable to be called again with the same batch."""


class Position(NamedTuple):
    """Where a record stood."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Stage:
    """A consumer group: its name, what it reads, what it writes, how it is made from settings."""

    name: str
    source: tuple[Topic, ...]
    sink: tuple[Topic, ...]
    make: Callable[[Any], Any]
    ticks: bool = False
