"""The settings of forecast, apart from its numerics: reading settings must not load numpy."""

from pydantic import BaseModel, ConfigDict, Field


class ForecastSettings(BaseModel):
    """How far ahead, and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon_s: float = Field(default=21_600.0, gt=0, description="of the budget, seconds ahead")
    refresh_s: float = Field(
        default=60.0, gt=0, description="an open incident is forecast again after so many seconds"
    )
    refit_s: float = Field(default=86_400.0, gt=0, description="a Prophet fit serves so long")
