"""Tenants: whose a record is, and what each may have.

A record's header `tenant` says it (`sentinel bridge` writes it for the token that was shown),
else its topic does, else a label of its series, else it is the default tenant's. Limits belong to
the tenant, and so do the series known of it: one that brings a million series fills its own
index and nobody else's. Topics are what fetching can hold back, so weights and rates go by topic.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from streams.formats.avro_schema import Schemas
from streams.formats.columns import Reading
from streams.formats.limits import Limits
from streams.formats.series import ByLabel, SeriesIndex, Show, as_given
from streams.intake.lanes import DEFAULT, Lanes, Share

HEADER = "tenant"


class Tenant(BaseModel):
    """What is a tenant's, and what it may have. One called `default` has what nobody else has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topics: tuple[str, ...] = Field(
        default=(), description="topics whose records are its own where their header says nothing"
    )
    weight: float = Field(
        default=1.0, gt=0, le=1000,
        description="its part of the work while others have records waiting, too: 2 is twice as "
        "much as 1",
    )  # fmt: skip
    bytes_per_s: float = Field(
        default=0.0, ge=0,
        description="bytes a second that a worker reads of its topics; what is more waits in "
        "Kafka, where nothing is lost; 0: any",
    )  # fmt: skip
    limits: Limits = Field(
        default=Limits(),
        description="limits of its own; each that is left out is as in intake.limits",
    )

    def over(self, common: Limits) -> Limits:
        """The limits that hold for it."""
        own = {name: getattr(self.limits, name) for name in self.limits.model_fields_set}
        return common.model_copy(update=own)


class Tenancy:
    """What is known of each tenant's series, under its own limits."""

    def __init__(
        self,
        tenants: Mapping[str, Tenant],
        limits: Limits,
        label: str,
        schemas: Schemas,
        show: Show = as_given,
    ) -> None:
        """`label` is the one that names tenants where topic and header do not; empty: none.

        `show` says what is to be seen of a series' labels.
        """
        own = {name: tenant.over(limits) for name, tenant in tenants.items()}
        default = own.get(DEFAULT, limits)
        labelled = ByLabel(label, {n: o for n, o in own.items() if n != DEFAULT}) if label else None
        self.names = {DEFAULT, *own}
        self.readings = {
            name: Reading(limit, SeriesIndex(limit, show=show), schemas)
            for name, limit in own.items()
            if name != DEFAULT
        }
        self.readings[DEFAULT] = Reading(default, SeriesIndex(default, labelled, show), schemas)
        self._alone = len(self.names) == 1

    def split(self, records: Sequence[Any], otherwise: str) -> Mapping[str, Sequence[Any]]:
        """Records by tenant; `otherwise` is their topic's."""
        headers = () if self._alone else [record.headers() for record in records]
        if not any(headers):
            return {otherwise: records}
        result: dict[str, list[Any]] = {}
        for record, said in zip(records, headers, strict=True):
            result.setdefault(self.told(said, otherwise), []).append(record)
        return result

    def told(self, headers: Any, otherwise: str) -> str:
        """The tenant that a record's headers name, if they name one that there is."""
        for name, value in headers or ():
            if name == HEADER and value is not None:
                found = bytes(value).decode("utf-8", "replace")
                return found if found in self.names else otherwise
        return otherwise


def owner(tenants: Mapping[str, Tenant], topic: str) -> str:
    """The tenant of a topic."""
    return next((name for name, tenant in tenants.items() if topic in tenant.topics), DEFAULT)


def lanes(tenants: Mapping[str, Tenant], prefix: str) -> Lanes:
    """The lanes of these tenants; `prefix` is before every topic's name."""
    whose = {prefix + topic: name for name, tenant in tenants.items() for topic in tenant.topics}
    return Lanes(whose, {n: Share(t.weight, t.bytes_per_s) for n, t in tenants.items()})
