"""The settings of the log stage, apart from its numerics: reading them must load no compiler."""

from pydantic import BaseModel, ConfigDict, Field


class LogSettings(BaseModel):
    """What is counted of log lines, and when something in them is strange."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    late_s: float = Field(
        default=5.0,
        ge=0,
        description="lines so much older than their service's newest still count in time",
    )
    wait_s: float = Field(
        default=120.0,
        ge=0,
        description="others of its partition log for so long without a service before its silence"
        " counts",
    )
    learn_s: float = Field(
        default=600.0, ge=0, description="a service is known for so long before its news count"
    )
    learn_lines: int = Field(
        default=300, ge=1, description="and has said so many lines before its news count"
    )
    series_per_service: int = Field(
        default=256, ge=1, description="templates of a service with a rate of their own"
    )
    idle_s: float = Field(
        default=3600.0, gt=0, description="a rate of zero for so long ends; it may come back"
    )
    max_templates: int = Field(
        default=100_000,
        ge=100,
        description="templates remembered a partition, counted once a service; above it the half"
        " goes that was not seen for longest",
    )
    reset_damaged: bool = Field(
        default=False, description="learn anew what cannot be read, instead of stopping"
    )
    update_s: float = Field(
        default=30.0, gt=0, description="an open anomaly is said again at most so often"
    )
