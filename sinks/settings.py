"""The settings of store and audit, apart from them: reading settings must load no database."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class DatabaseSettings(BaseModel):
    """Where incidents, actions, budgets and costs are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr = Field(
        default=SecretStr("sqlite:///data/sentinel.db"),
        description="sqlite:///path or postgresql://user:password@host/name",
    )


class AuditSettings(BaseModel):
    """Where the audit's checkpoint is, and what seals it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint: Path = Field(
        default=Path("data/audit.checkpoint"),
        description="file outside the database, best on another disk or host",
    )
    key: SecretStr = Field(
        default=SecretStr(""),
        description="seals checkpoints (HMAC-SHA-256); empty: plain hashes, no seal",
    )
