"""What a decision returns: a turn, and the jobs that its state intends.

Apart from the stage itself (streams/stage.py), so that decisions need no import of streams.
"""

from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from schemas.event import Event

S = TypeVar("S", bound=BaseModel)


class Turn(NamedTuple, Generic[S]):
    """What came of a message: the state to keep (None: forget the key) and what to say."""

    state: S | None
    events: tuple[Event, ...] = ()


class Job(NamedTuple):
    """Work beside the stream; equal ids are the same work."""

    id: str
    cause: str  # id of the event that it follows from
    trace: str
    payload: Any
