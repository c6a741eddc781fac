"""The settings of detect, apart from its numerics: reading settings must not load a compiler."""

from pydantic import BaseModel, ConfigDict, Field

from agents.watch import WatchSettings


class DetectSettings(BaseModel):
    """Which series are scored, and how many there may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exclude: str = Field(
        default=r"_(bucket|created|info)$",
        description="regular expression on the metric's name: series that are not scored",
    )
    max_series: int = Field(
        default=250_000, ge=1, description="a worker's series; more are counted and left out"
    )
    save_s: float = Field(
        default=30.0, gt=0, description="seconds in which every changed block is saved once"
    )
    ended_s: float = Field(
        default=300.0, gt=0, description="an open anomaly ends when its series is silent so long"
    )
    watch: WatchSettings = WatchSettings()
