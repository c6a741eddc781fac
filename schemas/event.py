"""What every message of the control plane has: who it is, when, and from what it came.

Ids are derived, never drawn: the same input handled again gives the same id, so
whoever reads a message twice can tell and drop the second. That is what makes
effects exactly-once from detect on, without Kafka transactions.
"""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Self

from dataclasses_avroschema.pydantic import AvroBaseModel
from pydantic import ConfigDict, Field


class Severity(StrEnum):
    """How far from expected, in four steps; the order is `rank`."""

    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"

    @property
    def rank(self) -> int:
        """0 (low) to 3 (critical).

        >>> Severity.critical.rank > Severity.high.rank
        True
        """
        return list(Severity).index(self)


class Record(AvroBaseModel):
    """A frozen part of an event; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Event(Record):
    """A message: frozen, strict, traceable.

    Functions that decide leave `id`, `cause` and `trace` empty; the shell stamps them
    (`stamped`) from the message that was being handled.
    """

    SUBJECT: ClassVar[str]  # the schema's name on the wire and in `schemas/avsc/`

    id: str = Field(default="", description="derived from stage, cause and position")
    at: datetime = Field(description="when it was decided, UTC")
    cause: str = Field(default="", description="id of the message that it came from")
    trace: str = Field(default="", description="W3C traceparent")
    group: str = Field(description="correlation group: the topic key, one partition an incident")

    def stamped(self, *, stage: str, cause: str, position: str, trace: str) -> Self:
        """A copy with identity; an id that is set already stays."""
        ident = self.id or derive(stage, cause, position)
        return self.model_copy(
            update={"id": ident, "cause": self.cause or cause, "trace": child(trace, ident)}
        )


def derive(*parts: str) -> str:
    """A 128-bit id in hex from what it stands for; equal parts give equal ids.

    >>> derive("plan", "a1", "0") == derive("plan", "a1", "0") != derive("plan", "a1", "1")
    True
    """
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def child(trace: str, ident: str) -> str:
    """The traceparent of a message that came from one with `trace`; a new trace if there is none.

    The span id is derived from the message's id, so a replay gives the same trace.
    Source: W3C Trace Context, section 3.2.

    >>> child("", "00112233445566778899aabbccddeeff")
    '00-00112233445566778899aabbccddeeff-0011223344556677-01'
    """
    version, sampled = "00", "01"
    parts = trace.split("-")
    root = parts[1] if len(parts) == 4 else derive(ident) if len(ident) != 32 else ident  # noqa: PLR2004 - the format has four fields, a trace id 32 digits
    span = derive(ident)[:16] if parts[0] else root[:16]
    return f"{version}-{root}-{span}-{sampled}"


def milliseconds(at: datetime) -> str:
    """A time as it survives the wire (Avro timestamp-millis), for signing.

    >>> from datetime import UTC
    >>> milliseconds(datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC))
    '1767323045678'
    """
    return str(int(at.timestamp() * 1000))
