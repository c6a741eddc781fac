"""Templates: what the log lines of a service say, once their values are taken out."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from schemas.event import Event


class Template(Event):
    """One change in the life of a template, as one service says it.

    `seen` comes once, `counted` each time that the count has doubled since it was last said,
    `merged` when it turned out to be one with another: from then on `into` stands for it, in
    all that was said before, too. A service's templates are in one partition, in order.
    """

    SUBJECT: ClassVar[str] = "template"

    change: Literal["seen", "counted", "merged"]
    service: str
    template: str = Field(description="16 hex digits: the hash of the line that founded it, bare")
    into: str = Field(default="", description="merged: the template that stands for it now")
    text: str = Field(description="`<*>` for what varies, masked; of `into` once merged")
    severity: str = Field(description="the worst that it was said with; empty when none was")
    sample: str = Field(default="", description="seen: a line of it, masked")
    count: int = Field(ge=0, description="lines of it so far")
    since: datetime = Field(description="when it was first seen, event time")
