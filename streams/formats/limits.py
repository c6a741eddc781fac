"""What one record may ask of us: declared here, so that no producer finds a limit by breaking it.

A size is checked before the bytes are decoded, a count before memory is taken for it.
"""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas.errors import Rejected
from schemas.masking import masked

MIB = 1024 * 1024
QUOTABLE = 1024  # characters of what is quoted, masked before they are cut to fewer


class Refused(Rejected):
    """An element that will never work; `rule` is a short name for counting."""

    def __init__(self, rule: str, reason: str, service: str = "") -> None:
        super().__init__(reason)
        self.rule = rule
        self.service = service  # whose element it is, as far as that is known


def quoted(given: object, most: int = 60) -> str:
    """What a reason shows of what was given: masked, then cut to `most` characters.

    >>> quoted("ann@example.com said so")
    "'<email> said so'"
    """
    return masked(repr(given)[:QUOTABLE])[:most]


class Limits(BaseModel):
    """Limits of what is read from raw topics; what is over them goes to the dead letters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    record_bytes: int = Field(default=MIB, ge=1, description="a record's value, bytes")
    decoded_bytes: int = Field(
        default=16 * MIB, ge=1, description="what a compressed value claims to unpack to, bytes"
    )
    elements: int = Field(
        default=50_000, ge=1, description="events, samples or lines in one record"
    )
    labels: int = Field(default=64, ge=1, description="labels of one series or line")
    label_name_bytes: int = Field(default=256, ge=1, description="a label's or metric's name")
    label_value_bytes: int = Field(default=4096, ge=1, description="a label's value")
    text_bytes: int = Field(default=64 * 1024, ge=1, description="one log line, bytes")
    series_per_service: int = Field(
        default=10_000, ge=1, description="series of one service at a time"
    )
    series: int = Field(
        default=500_000, ge=1, description="series of all of a tenant's services at a time"
    )
    series_mib: int = Field(
        default=256, ge=1, description="names and labels of all these series together, MiB"
    )
    series_idle_s: float = Field(
        default=3600.0, gt=0, description="a series not heard of for so long counts no more, s"
    )
    late_s: float = Field(
        default=3600.0,
        ge=0,
        description="how much older than its record's arrival in Kafka a sample may be, s; 0: any",
    )
    future_s: float = Field(
        default=300.0, ge=0, description="how far ahead of the clock a sample may be, s; 0: any"
    )
    zone: str = Field(
        default="UTC",
        description="time zone, by IANA name, of syslog's times without a year, which name none; "
        "elsewhere a time without a zone is refused",
    )
    services: tuple[str, ...] = Field(
        default=(
            "service",
            "service.name",
            "service_name",
            "job",
            "app",
            "kubernetes.labels.app",
            "kubernetes.labels.app.kubernetes.io/name",
            "kubernetes.labels.k8s-app",
            "kubernetes.pod_labels.app",
            "kubernetes.container_name",
            "kubernetes.container.name",
            "host",
            "host.name",
            "hostname",
        ),
        min_length=1,
        description="labels that name the service, the first one found wins",
    )

    @field_validator("zone")
    @classmethod
    def _exists(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"no time zone {zone!r}; write it as Europe/Berlin") from error
        return zone
