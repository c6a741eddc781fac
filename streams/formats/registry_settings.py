"""Settings of the schema registry, apart from its client: reading settings loads no HTTP."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class RegistrySettings(BaseModel):
    """Where Avro schemas are found; only topics whose format is avro need one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="of the registry; empty: there is none",
    )
    user: str = Field(default="", description="name or API key to show; empty: none")
    password: SecretStr = Field(default=SecretStr(""), description="password or API secret")
    timeout_s: float = Field(
        default=3.0, gt=0, le=3.0, description="longest wait for an answer; four attempts, s"
    )
