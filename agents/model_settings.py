"""The settings of River's models in detect: one a series where asked for, one a service."""

import re
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.errors import Rejected


class RiverModel(BaseModel):
    """A River detector or pipeline: its dotted name below `river.`, and how it is built."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="e.g. anomaly.HalfSpaceTrees, or compose.Pipeline with args")
    params: dict[str, Any] = Field(
        default={}, description="by name; a model in a parameter is {model, params, args}"
    )
    args: tuple[Any, ...] = Field(default=(), description="by position, as a pipeline's steps")


class SeriesModel(RiverModel):
    """A River model that decides in place of the vectorised scorer, series by series."""

    metrics: str = Field(
        default="", description="regular expression on the metric's name; empty: all of the service"
    )
    quantile: float = Field(
        default=0.999, gt=0.5, lt=1, description="of a series' own past scores; above is an alarm"
    )
    series: int = Field(
        default=100,
        ge=1,
        description="at most so many series a partition: each costs 30 to 300 us a sample",
    )

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        """River is loaded only by who uses it."""
        from agents.river_models import river_model  # noqa: PLC0415 - see above

        try:
            re.compile(self.metrics)
        except re.error as error:
            raise ValueError(f"metrics: not a regular expression: {error}") from error
        try:
            river_model(self.name, self.params, self.args)
        except Rejected as error:
            raise ValueError(str(error)) from error
        return self


class ServiceModel(RiverModel):
    """One multivariate River model a service, over its main series: the second opinion."""

    name: str = Field(
        default="anomaly.HalfSpaceTrees", description="e.g. anomaly.LODA; empty: no second opinion"
    )
    params: dict[str, Any] = Field(
        default={"n_trees": 12, "height": 6, "window_size": 50, "seed": 1},
        description="by name; features are between 0 and 1, 0.5 what is usual",
    )
    services: int = Field(default=32, ge=0, description="at most so many a partition; 0: none")
    series: int = Field(default=16, ge=2, le=64, description="main series of a service")
    bucket_s: float = Field(
        default=15.0, ge=10, le=60, description="one vector in this time, seconds of event time"
    )

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        """The model as shipped is known to be good, and River takes a second to load."""
        if not {"name", "params", "args"} & self.model_fields_set or not self.name:
            return self
        from agents.river_models import river_vector  # noqa: PLC0415 - see above

        try:
            river_vector(self.name, self.params, self.args)
        except Rejected as error:
            raise ValueError(str(error)) from error
        return self
