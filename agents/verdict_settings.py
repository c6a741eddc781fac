"""How much a person's verdict moves a service's bar."""

from pydantic import BaseModel, ConfigDict, Field


class VerdictSettings(BaseModel):
    """Verdicts, and the bars that they make."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: float = Field(
        default=1.15,
        gt=1,
        description="a false alarm raises the bar so many times, a late one lowers",
    )
    highest: float = Field(default=2.0, ge=1, description="no bar is higher")
    lowest: float = Field(default=1 / 1.5, gt=0, le=1, description="and none is lower")
    after_s: float = Field(
        default=10.0,
        ge=0,
        description="a bar applies to samples this much later than the verdict was counted: by then"
        " every detector has heard of it",
    )
    window_s: float = Field(
        default=600.0, gt=0, description="a verdict is signed at most so long before it is counted"
    )
    skew_s: float = Field(
        default=30.0, ge=0, description="a verdict's time may be this many seconds ahead of ours"
    )
