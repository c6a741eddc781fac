"""Outcomes and reports: how it ended, and the story with its evidence."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.event import Event, Record


class Outcome(Event):
    """A turn in how an incident's handling ends.

    `unverified` demands the rollback of the run; `final`: nothing more is coming by itself.
    refused: policy or people said no (or the answer came too late); no_plan: nothing fits.
    """

    SUBJECT: ClassVar[str] = "outcome"

    incident: str
    result: Literal[
        "resolved",
        "unverified",
        "rolled_back",
        "rollback_failed",
        "escalated",
        "refused",
        "no_plan",
        "dry_run",
    ]
    final: bool
    run: str = ""
    plan_hash: str = ""
    by: str = Field(description="stage or person whose word it is")
    verified: bool = Field(default=False, description="fixed by a run, signals clear")
    reason: str


class Fact(Record):
    """A number of the story and the record that it came from."""

    name: str
    value: str
    unit: str
    record: str = Field(description="id of the event")
    field: str = Field(description="path inside that event")


class Cost(Record):
    """Cost avoided, from a formula whose inputs are facts; zero unless a fix was verified."""

    amount: float = Field(ge=0)
    low: float = Field(ge=0)
    high: float = Field(ge=0)
    currency: str
    formula: str
    inputs: tuple[Fact, ...] = ()
    reason: str


class Report(Event):
    """The explained incident."""

    SUBJECT: ClassVar[str] = "report"

    incident: str
    outcome: str
    headline: str
    story: str = Field(description="Markdown; every number is one of `facts`")
    facts: tuple[Fact, ...]
    cost: Cost
    records: tuple[str, ...] = Field(description="ids of all events told about, in order")
    bundle: str = Field(description="JSON bundle: the events themselves with their hashes")
    bundle_sha256: str
