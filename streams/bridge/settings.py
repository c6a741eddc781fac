"""The settings of the bridge, apart from it: reading settings must load no web framework.

How large a body may be and what is checked in it are `intake.limits`: the bridge refuses what
intake would.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from streams.formats.limits import MIB

SHORTEST = 16  # characters; 64 bits in hexadecimal, beyond guessing over a network


class Token(BaseModel):
    """A bearer token, whose records it lets in, and how many."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: SecretStr = Field(
        description="what senders show as `Authorization: Bearer ...`, 16 characters or more; "
        "`openssl rand -hex 16` makes a good one"
    )
    tenant: str = Field(
        default="", description="tenant of all that comes with this token; empty: none is named"
    )
    requests_per_s: float = Field(
        default=0.0, ge=0, description="requests a second that it may send; 0: any number"
    )


class ScrapeSettings(BaseModel):
    """What is pulled and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: tuple[str, ...] = Field(
        default=(), description="URL or service=URL; without a path /metrics is meant"
    )
    interval_s: float = Field(default=15.0, gt=0, description="between rounds, s; 0.5 is fine")
    timeout_s: float = Field(default=10.0, gt=0, description="longest wait for a target, s")
    exposition_bytes: int = Field(default=16 * MIB, ge=1, description="largest exposition, bytes")


class BridgeSettings(BaseModel):
    """Where the bridge listens, whom it lets in and how much it holds at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        default="127.0.0.1",
        description="address to listen on; one that other machines reach needs tokens",
    )
    port: int = Field(default=9201, ge=0, le=65535, description="port; 0: a free one")
    tokens: dict[str, Token] = Field(
        default={}, description="name -> token of those who may send; none: whoever reaches it"
    )
    requests: int = Field(
        default=256, ge=1, description="requests under way at once; more are told to come back"
    )
    in_flight_kib: int = Field(
        default=64 * 1024,
        ge=1,
        description="bodies held at once, as they came and unpacked, KiB; more are told to "
        "come back",
    )
    receive_s: float = Field(default=30.0, gt=0, description="longest wait for a body, s")
    acknowledge_s: float = Field(
        default=5.0, gt=0, description="longest wait for Kafka's confirmation, s"
    )
    queue_kib: int = Field(default=64 * 1024, ge=1024, description="waiting for Kafka, KiB")
    scrape: ScrapeSettings = Field(
        default=ScrapeSettings(), description="exporters to pull from, where no Prometheus does"
    )

    @model_validator(mode="after")
    def _tokens_tell_senders_apart(self) -> Self:
        names: dict[str, str] = {}
        for name, given in self.tokens.items():
            secret = given.token.get_secret_value()
            if len(secret) < SHORTEST or not secret.isascii() or " " in secret:
                raise ValueError(
                    f"the token of {name} must be {SHORTEST} ASCII characters or more, without "
                    "spaces: openssl rand -hex 16"
                )
            if secret in names:
                raise ValueError(f"{names[secret]} and {name} have the same token")
            names[secret] = name
        return self
