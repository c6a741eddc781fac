"""What intake read, and what it refused or left out: the pipeline's own account of its front."""

from datetime import datetime
from typing import ClassVar, NamedTuple

from pydantic import Field

from schemas.event import Event, Record


class Kind(NamedTuple):
    """What omissions are told apart by, and summed by."""

    topic: str
    tenant: str
    service: str
    rule: str
    refused: bool


class Omission(Record):
    """Elements (samples, lines, events) of one service that one rule kept out of the frames."""

    topic: str
    tenant: str
    service: str = Field(description="empty where it could not be told")
    rule: str
    refused: bool = Field(description="whether it is in the dead letters; else left out on purpose")
    elements: int = Field(ge=1)
    letters: int = Field(ge=0, description="dead letters written for them")
    partition: int = Field(default=-1, description="of an example; -1: none is known")
    offset: int = Field(default=-1, description="of the example's record")
    reason: str = Field(default="", description="the example's, masked")

    @property
    def kind(self) -> Kind:
        """Which of them it is."""
        return Kind(self.topic, self.tenant, self.service, self.rule, self.refused)


class Flow(Record):
    """What was read of a topic for a tenant since the worker's last report."""

    topic: str
    tenant: str
    records: int = Field(ge=0)
    size: int = Field(ge=0, description="bytes of the records' values")
    samples: int = Field(ge=0)
    lines: int = Field(ge=0)


class IntakeReport(Event):
    """What a worker of intake has done since its last one.

    It is written in the transaction whose omissions it tells, so each is told exactly once.
    """

    SUBJECT: ClassVar[str] = "intakereport"

    worker: str
    since: datetime = Field(description="when the last one was written, or the worker started")
    omissions: tuple[Omission, ...] = ()
    flows: tuple[Flow, ...] = ()
    held: tuple[str, ...] = Field(
        default=(), description="tenants that waited for their bytes_per_s just then"
    )
