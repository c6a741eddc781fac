"""Where a worker tells its metrics; apart from the server, so that settings load no more."""

from pydantic import BaseModel, ConfigDict, Field


class MetricsSettings(BaseModel):
    """The /metrics and /healthz of every worker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=True, description="false: no port is opened")
    host: str = Field(
        default="127.0.0.1",
        description="address to listen on; 0.0.0.0 lets Prometheus in from other machines",
    )
    port: int = Field(
        default=0,
        ge=0,
        le=65_000,
        description="port of a worker; 0: a free one, which it says when it is ready. `sentinel "
        "up` gives its processes this one and those that follow, in the order of the flow",
    )
