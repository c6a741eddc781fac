"""The settings of detect, apart from its numerics: reading settings must not load a compiler."""

from pydantic import BaseModel, ConfigDict, Field

from agents.model_settings import SeriesModel, ServiceModel
from agents.watch import WatchSettings


class DetectSettings(BaseModel):
    """Which series are scored, and how many there may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exclude: str = Field(
        default=r"_(bucket|created|info)$",
        description="regular expression on the metric's name: series that are not scored",
    )
    max_series: int = Field(
        default=250_000,
        ge=1,
        description="series of one worker, not of the group; more are counted and left out",
    )
    idle_s: float = Field(
        default=3600.0, gt=0, description="a block of series silent so long leaves memory, s"
    )
    forget_s: float = Field(
        default=604_800.0, gt=0, description="a series silent so long is gone for good, s"
    )
    reset_damaged: bool = Field(
        default=False, description="learn anew what cannot be read, instead of stopping"
    )
    save_s: float = Field(
        default=30.0, gt=0, description="seconds in which every changed block is saved once"
    )
    ended_s: float = Field(
        default=300.0, gt=0, description="an open anomaly ends when its series is silent so long"
    )
    watch: WatchSettings = WatchSettings()
    models: dict[str, SeriesModel] = Field(
        default={}, description="by service: a River model that decides for its series"
    )
    service_model: ServiceModel = Field(
        default=ServiceModel(), description="a River model of each service as a whole"
    )
