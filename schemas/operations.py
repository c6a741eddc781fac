"""Dead letters and ticks: the pipeline's own events."""

from typing import ClassVar

from pydantic import Field

from schemas.event import Event


class DeadLetter(Event):
    """A record that will never work, with what it broke and where it stood."""

    SUBJECT: ClassVar[str] = "deadletter"

    stage: str
    rule: str = Field(description="short name of the rule that it broke, for counting")
    reason: str
    topic: str
    partition: int
    offset: int
    size: int = Field(ge=0, description="bytes of the original; `original` may be cut")
    original: bytes = Field(description="the record's value")
    headers: dict[str, str] = Field(default_factory=dict)


class Tick(Event):
    """Time passing, as a message: the only clock that decisions know."""

    SUBJECT: ClassVar[str] = "tick"

    number: int = Field(description="seconds since the epoch, so that two clocks agree")
