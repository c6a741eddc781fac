"""The settings of the bridge, apart from it: reading settings must load no web framework."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from streams.formats.limits import Limits


class BridgeSettings(BaseModel):
    """Where the bridge listens and what it takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=9201, ge=0, le=65535, description="port; 0: a free one")
    token: SecretStr = Field(
        default=SecretStr(""), description="bearer token that senders must show; empty: none"
    )
    acknowledge_s: float = Field(
        default=5.0, gt=0, description="longest wait for Kafka's confirmation, s"
    )
    queue_kib: int = Field(default=64 * 1024, ge=1024, description="waiting for Kafka, KiB")
    limits: Limits = Limits()
