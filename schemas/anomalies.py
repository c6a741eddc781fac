"""Anomalies: one series (or budget) is not as expected, from its opening to its end."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from schemas.event import Event, Severity


class Anomaly(Event):
    """One change in the life of an anomaly.

    `anomaly` stays the same from `opened` over `updated` to `cleared`. `raw` is the score
    before rest and bar, the one to weigh evidence by; 1 or more is an alarm. A `weak` one is
    evidence below an alarm (raw from 0.3), said for correlate and never by itself a reason to
    wake anybody; it has no life.
    """

    SUBJECT: ClassVar[str] = "anomaly"

    anomaly: str = Field(description="identity over its life: derived from series and opening")
    change: Literal["opened", "updated", "cleared", "weak"]
    source: Literal["metric", "slo", "log", "rule"]
    kind: str = Field(description="spike, level shift, trend, jitter, missing, reset, burn, ...")
    service: str
    series: str = Field(description="canonical label string, or the objective's name")
    direction: Literal["up", "down"]
    severity: Severity
    score: float = Field(ge=0)
    raw: float = Field(ge=0)
    value: float
    low: float = Field(description="expected range as it was when the anomaly opened")
    high: float
    since: datetime = Field(description="when it opened, event time")
    ending: Literal["", "recovered", "adapted", "ended"] = Field(
        default="", description="cleared: back in range, became the new normal, series gone"
    )
    statistic: str = Field(default="", description="what fired: surprise, record, rule, rhythm ...")
    horizon_s: float = Field(default=0.0, ge=0, description="over how long it looked, seconds")
    level_before: float | None = Field(default=None, description="a level shift's old level")
    level_after: float | None = Field(default=None, description="and its new one")
    siblings: int = Field(default=0, ge=0, description="other series of the service")
    siblings_moved: int = Field(default=0, ge=0, description="how many of them moved with it")
    service_score: float | None = Field(
        default=None, ge=0, le=1, description="the service's multivariate model, 1 most unusual"
    )
    reason: str = Field(description="one line for a person")
    evidence_at: tuple[float, ...] = Field(default=(), description="epoch seconds, last 60 points")
    evidence_value: tuple[float, ...] = ()
    evidence_lines: tuple[str, ...] = Field(default=(), description="log lines, masked")
