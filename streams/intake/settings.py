"""Settings of intake: what is read, in which format, and how it is batched."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.topics import CATALOGUE, RAW, RAW_LOGS, RAW_METRICS, RAW_REMOTE_WRITE
from streams.formats import FORMATS
from streams.formats.limits import Limits
from streams.formats.registry_settings import RegistrySettings
from streams.intake.lanes import DEFAULT
from streams.intake.redaction_settings import RedactionSettings
from streams.intake.tenants import Tenant

WRITTEN = {topic.name for topic in CATALOGUE if topic not in RAW}  # by the pipeline itself


class IntakeSettings(BaseModel):
    """How raw topics become frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topics: dict[str, str] = Field(
        default={
            RAW_METRICS.name: "json",
            RAW_LOGS.name: "json",
            RAW_REMOTE_WRITE.name: "remote-write",
        },
        min_length=1,
        description="topic -> format; a record's headers may say otherwise",
    )
    services: dict[str, str] = Field(
        default={}, description="topic -> service of its records that name none themselves"
    )
    start: Literal["earliest", "latest"] = Field(
        default="earliest", description="where a group without committed offsets begins"
    )
    instance: str = Field(
        default="",
        description="this worker's name, one a worker that runs; the same after a restart lets "
        "it clear up at once after its predecessor's crash; empty: host and process id",
    )
    commit_ms: int = Field(
        default=100,
        ge=10,
        le=5000,
        description="longest time between commits, ms; where the brokers are quick it is less",
    )
    batch_records: int = Field(
        default=20_000, ge=1, description="records parsed at once; also bounds memory"
    )
    batch_kib: int = Field(
        default=8 * 1024,
        ge=64,
        description="records parsed at once, KiB, as the size of the last ones tells: of large "
        "ones fewer than batch_records",
    )
    frame_rows: int = Field(default=5000, ge=100, description="rows of a frame at most")
    queue_kib: int = Field(
        default=8 * 1024,
        ge=1024,
        description="raw records fetched ahead, KiB; one tenant's hold up the others' for as long "
        "as it takes to read these",
    )
    session_timeout_ms: int = Field(
        default=6000, ge=1000, description="a worker silent for so long is taken for dead, ms"
    )
    transaction_timeout_ms: int = Field(
        default=15_000,
        ge=1000,
        le=15_000,
        description="a dead worker's transaction holds readers up for so long at most, ms",
    )
    pulse_s: float = Field(
        default=5.0,
        ge=0,
        le=10,
        description="seconds between two pulses, by which a service that dies is missed though "
        "nothing else speaks in its partition; sent while intake keeps up; 0: none, and such a "
        "silence is not told",
    )
    limits: Limits = Limits()
    redaction: RedactionSettings = Field(
        default=RedactionSettings(),
        description="secrets and personal data that stay in the raw topics",
    )
    tenants: dict[str, Tenant] = Field(
        default={},
        description="tenants by name: topics, weight, bytes_per_s and limits of their own; a "
        "record's header `tenant` names one, else its topic does, else a label of its series",
    )
    tenant_label: str = Field(
        default="",
        description="label whose value names a series' tenant where neither header nor topic "
        "does: its series count for that tenant's limits.series and limits.series_per_service; "
        "empty: none",
    )
    registry: RegistrySettings = Field(
        default=RegistrySettings(), description="schema registry of topics in Avro"
    )

    @model_validator(mode="after")
    def _formats_exist(self) -> Self:
        for topic, name in self.topics.items():
            if topic in WRITTEN:  # of its own dead letters it would make dead letters for ever
                raise ValueError(f"{topic} is written by Sentinel itself: intake cannot read it")
            if name not in FORMATS:
                base = f"{name.partition('@')[0]}@"
                near = [known for known in FORMATS if f"{known}@".startswith(base)]
                named = ", ".join(near or [known for known in FORMATS if "@" not in known])
                raise ValueError(f"{topic}: no format {name!r}; there are {named}")
            if name.partition("@")[0] == "avro" and not self.registry.url:
                raise ValueError(f"{topic}: avro needs intake.registry.url")
        if strangers := self.services.keys() - self.topics.keys():
            raise ValueError(f"services of topics not read: {', '.join(sorted(strangers))}")
        self._tenants_are_apart()
        return self

    def _tenants_are_apart(self) -> None:
        owner: dict[str, str] = {}
        for name, tenant in self.tenants.items():
            for topic in tenant.topics:
                if topic not in self.topics:
                    raise ValueError(f"tenants.{name}: topic {topic} is not in intake.topics")
                if owner.setdefault(topic, name) != name:
                    raise ValueError(f"{topic} is of two tenants, {owner[topic]} and {name}")
            apart = {"weight", "bytes_per_s"} & tenant.model_fields_set
            if apart and not tenant.topics and name != DEFAULT:
                raise ValueError(
                    f"tenants.{name}: {', '.join(sorted(apart))} hold for topics of its own:"
                    " name them in its topics"
                )
