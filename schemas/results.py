"""What execution did, step by step, and the demand to take it back."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from schemas.event import Event, milliseconds
from schemas.plans import Verification


class StepResult(Event):
    """A live event of one step, or (phase `run`) of the whole run.

    Steps count from 0; a run's own events have step -1. A step's phase ends with exactly
    one of succeeded, failed or skipped; `reconciled` tells that the end was found out by asking
    the target after a crash, not seen.
    """

    SUBJECT: ClassVar[str] = "result"

    incident: str
    plan_hash: str
    run: str = Field(description="run-..., derived from the approval")
    step: int = Field(ge=-1)
    name: str
    phase: Literal["run", "precheck", "do", "undo"]
    status: Literal["started", "succeeded", "failed", "skipped", "rolled_back", "rollback_failed"]
    reconciled: bool = False
    unknown: bool = Field(
        default=False, description="failed, and whether it took effect could not be found out"
    )
    dry_run: bool
    detail: str = Field(description="one line for a person")
    key: str = Field(default="", description="idempotency key that was sent to the target")
    before: str = Field(default="", description="state observed before, JSON")
    answer: str = Field(default="", description="what the target answered, JSON or text, cut")
    duration_s: float = Field(default=0.0, ge=0)
    worker: str = Field(
        default="", description="process that claims the phase: after a crash no other may send it"
    )
    verification: Verification | None = Field(
        default=None, description="what must hold now, on the run's own events"
    )
    rollback_token: str = Field(default="", description="on the run's own events")
    rollback_until: datetime | None = None


class Rollback(Event):
    """A person asks to take a run back, signed."""

    SUBJECT: ClassVar[str] = "rollback"

    incident: str
    token: str
    by: str
    reason: str = ""
    signature: str = Field(description="Ed25519 over signed_text(), hex")

    def signed_text(self) -> bytes:
        """The bytes that the signature covers."""
        parts = ("rollback", self.incident, self.token, self.by, milliseconds(self.at))
        return "\n".join(parts).encode()
