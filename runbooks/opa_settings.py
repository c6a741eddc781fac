"""The settings of a remote OPA, apart from its client: reading settings must load no HTTP."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class OpaSettings(BaseModel):
    """Where the OPA server is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        default="", description="e.g. http://127.0.0.1:8181; empty: policies run in process"
    )
    timeout_s: float = Field(
        default=1.0, gt=0, le=10, description="longest evaluation, seconds; later is a denial"
    )
    token: SecretStr | None = Field(default=None, description="bearer token; empty: none is sent")
