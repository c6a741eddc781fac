"""Verdicts: what people say of incidents afterwards, and the bar that a service has from them."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from schemas.event import Event, Record, milliseconds

Word = Literal["good", "late", "false", "undo"]


class Verdict(Event):
    """A person's word on an incident, signed; `undo` takes an earlier one back."""

    SUBJECT: ClassVar[str] = "verdict"

    incident: str
    service: str = Field(description="whose bar it moves: one of the incident's services")
    says: Word = Field(description="good: right and in time; late; false: no incident; undo")
    undoes: str = Field(default="", description="id of the verdict that is taken back")
    by: str
    reason: str = ""
    channel: str = Field(default="cli")
    signature: str = Field(description="Ed25519 over signed_text(), hex")

    def signed_text(self) -> bytes:
        """The bytes that the signature covers."""
        parts = (
            "verdict",
            self.incident,
            self.service,
            self.says,
            self.undoes,
            self.by,
            self.reason,
            milliseconds(self.at),
        )
        return "\n".join(parts).encode()


class BarStep(Record):
    """From `at` (event time of the samples) on, an alarm must exceed `factor`."""

    at: datetime
    factor: float = Field(gt=0)


class Bar(Event):
    """How high a service's scores must be to be alarms, because of what people said.

    Its group is the service itself: the bars are a compacted topic keyed by service, so each
    stands in the partition in which the service's samples travel, and the newest has it all.
    """

    SUBJECT: ClassVar[str] = "bar"

    service: str
    incident: str = Field(description="that the latest verdict was about")
    factor: float = Field(gt=0, description="alarms begin at this score, from the last step on")
    steps: tuple[BarStep, ...] = Field(description="by time; before the first the factor is 1")
    counted: tuple[str, ...] = Field(description="ids of the verdicts that it is made of")
    reason: str = Field(description="one line for a person")
