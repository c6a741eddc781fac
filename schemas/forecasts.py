"""Forecasts: when the budget is gone and where load goes, with bands."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.event import Event, Record
from schemas.incidents import Incident


class Eta(Record):
    """Quantiles of the minutes until the budget is gone, over the paths that get there."""

    p05: float
    p10: float
    p25: float
    p50: float
    p75: float
    p90: float
    p95: float


class BudgetForecast(Record):
    """When the error budget is gone. `minutes` is there with exhausts."""

    objective: str
    verdict: Literal["exhausts", "holds", "exhausted", "not enough data"]
    reason: str
    left: float = Field(description="budget left now, ratio")
    burn: float
    exhausts: float = Field(ge=0, le=1, description="share of paths that use the budget up")
    minutes: Eta | None = None
    horizon_minutes: float
    fan_minutes: tuple[float, ...] = Field(default=(), description="chart: minutes from now")
    fan_low: tuple[float, ...] = Field(default=(), description="budget left, 5 % of paths below")
    fan_mid: tuple[float, ...] = ()
    fan_high: tuple[float, ...] = Field(default=(), description="budget left, 95 % of paths below")
    record: str = Field(default="", description="id of the budget event it rests on")


class LoadForecast(Record):
    """Requests a second one and six hours ahead, with 80 % bands."""

    verdict: Literal["forecast", "not enough data"]
    model: Literal["", "profile", "prophet"] = ""
    reason: str
    now: float = Field(default=0.0, description="requests a second, latest 5-minute mean")
    hour: float = 0.0
    hour_low: float = 0.0
    hour_high: float = 0.0
    six_hours: float = 0.0
    six_hours_low: float = 0.0
    six_hours_high: float = 0.0


class Forecast(Event):
    """What to expect of an incident if nobody acts; carries the incident as it stood."""

    SUBJECT: ClassVar[str] = "forecast"

    incident: Incident
    budget: BudgetForecast
    load: LoadForecast


class LoadFit(Event):
    """A seasonal model fitted beside the stream: load expected on a 5-minute grid."""

    SUBJECT: ClassVar[str] = "loadfit"

    service: str
    objective: str
    start: float = Field(description="epoch seconds of the first grid point")
    step_s: float
    expected: tuple[float, ...] = Field(description="requests a second")
    fitted_on: int = Field(description="points of history")
