"""Error budgets: one bucket of good and total events, and what is left."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from schemas.event import Event


class Budget(Event):
    """One closed bucket of one objective."""

    SUBJECT: ClassVar[str] = "budget"

    service: str
    objective: str = Field(description="the SLO's name")
    target: float = Field(gt=0, lt=1, description="ratio of good events, 0.999 for three nines")
    period_s: float = Field(gt=0, description="the SLO's period, seconds")
    rolling: bool = Field(default=True, description="rolling period, else calendar")
    bucket_start: datetime
    bucket_s: float = Field(gt=0, description="length of a bucket, seconds")
    total: float = Field(ge=0, description="events in the bucket")
    bad: float = Field(ge=0, description="bad events in the bucket")
    expiring_total: float = Field(default=0.0, ge=0, description="bucket that left the period")
    expiring_bad: float = Field(default=0.0, ge=0)
    period_total: float = Field(ge=0, description="events in the period so far")
    period_bad: float = Field(ge=0)
    left: float = Field(le=1, description="budget left, 1 full, 0 gone, negative overspent")
    burn: float = Field(ge=0, description="burn rate over the shortest alert window")
