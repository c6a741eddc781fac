"""Incidents: the anomalies of one fault, with one life."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from schemas.event import Event, Record, Severity


class Signal(Record):
    """One anomaly as the incident knows it."""

    anomaly: str
    source: Literal["metric", "slo", "log", "rule"]
    kind: str
    service: str
    series: str
    direction: Literal["up", "down"]
    severity: Severity
    score: float = Field(description="the highest raw score seen")
    value: float = Field(description="the latest value seen")
    low: float
    high: float
    since: datetime
    seen: datetime | None = Field(
        default=None, description="event time of what was heard of it last, as of `value`"
    )
    cleared_at: datetime | None = None
    ending: Literal["", "recovered", "adapted", "ended"] = ""
    reason: str
    record: str = Field(description="id of the latest anomaly event, for citation")
    siblings: int = Field(default=0, ge=0, description="other series of the service")
    siblings_moved: int = Field(default=0, ge=0, description="the most of them that moved with it")
    service_score: float | None = Field(
        default=None, ge=0, le=1, description="the highest of the service's multivariate model"
    )


class Incident(Event):
    """The incident as it stood after a change.

    `quiet` is said once when every signal has cleared, `noisy` when one came back after that;
    neither changes `status`: only an outcome resolves or escalates.
    """

    SUBJECT: ClassVar[str] = "incident"

    incident: str = Field(description="inc-..., derived from group and first anomaly")
    change: Literal["opened", "updated", "quiet", "noisy", "mitigating", "resolved", "escalated"]
    status: Literal["open", "mitigating", "resolved", "escalated"]
    title: str
    service: str = Field(description="where it hurts most: highest burn, then score")
    services: tuple[str, ...]
    severity: Severity
    opened_at: datetime
    quiet_since: datetime | None = Field(default=None, description="all signals clear since")
    signals: tuple[Signal, ...]
    reason: str = Field(description="why this change, one line")
    support: str = Field(
        default="", description="what else moved: '7 of 12 other series of checkout moved'"
    )
