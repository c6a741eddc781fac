"""The ledger: what a run intends, what it did, and what is needed to take it back.

It is the state of the execute stage, one an incident, kept in the stage's changelog. A call
that changes a target is made only after its intent is in here: arguments, key, the state
before and how to undo it. So whoever finds the ledger after a crash knows what may have
happened and whom to ask.
"""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from schemas.event import derive
from schemas.plans import Approved, Step, Verification
from schemas.results import StepResult

Phase = Literal["precheck", "do", "undo"]
Progress = Literal["waiting", "done", "skipped", "failed", "unknown", "undone", "left"]
RunStatus = Literal["running", "undoing", "succeeded", "failed", "rolled_back", "rollback_failed"]


class Entry(BaseModel):
    """One step. `unknown`: whether it took effect is not known; `left`: undoing it failed."""

    model_config = ConfigDict(frozen=True)

    step: Step
    progress: Progress = "waiting"
    before: str = Field(default="", description="state observed before, JSON")


class Intent(BaseModel):
    """The one phase that is under way."""

    model_config = ConfigDict(frozen=True)

    step: int
    phase: Phase
    arguments: str = Field(default="", description="exactly what is sent; empty for a precheck")
    key: str = ""
    worker: str = Field(
        default="", description="process that may send it, once; empty: none has claimed it yet"
    )


class Ledger(BaseModel):
    """A run, and what is left of it when it is over."""

    model_config = ConfigDict(frozen=True)

    incident: str
    group: str
    run: str
    plan_hash: str
    dry_run: bool
    step_timeout_s: float | None = None
    verification: Verification | None
    entries: tuple[Entry, ...]
    intent: Intent | None = None
    status: RunStatus = "running"
    why: str = Field(default="", description="why it is taken back")
    demanded: str = Field(default="", description="who wants it back, and why")
    token: str
    until: datetime = Field(description="the token can be used until then")
    settled: bool = Field(default=False, description="a final outcome was said")
    cause: str
    trace: str

    @property
    def live(self) -> bool:
        """Whether it may still change something by itself."""
        if self.status == "succeeded":
            return not (self.dry_run or self.settled)
        return self.status in {"running", "undoing"}

    def marked(self, index: int, **changes: object) -> Self:
        """A copy with one entry changed."""
        entry = self.entries[index].model_copy(update=changes)
        entries = (*self.entries[:index], entry, *self.entries[index + 1 :])
        return self.model_copy(update={"entries": entries})

    def intending(self, index: int, phase: Phase, arguments: str = "") -> Self:
        """A copy that intends this phase next."""
        key = "" if phase == "precheck" else derive(self.run, str(index), phase)
        intent = Intent(step=index, phase=phase, arguments=arguments, key=key)
        return self.model_copy(update={"intent": intent})

    def claimed(self, worker: str) -> Self:
        """A copy whose intent belongs to a process."""
        if self.intent is None:
            return self
        intent = self.intent.model_copy(update={"worker": worker})
        return self.model_copy(update={"intent": intent})

    def names(self, *progress: Progress) -> str:
        """The steps that stand so, for people; empty when none does."""
        return ", ".join(entry.step.name for entry in self.entries if entry.progress in progress)

    def step_event(
        self, index: int, phase: Phase, status: str, detail: str, now: datetime
    ) -> StepResult:
        """A step's event; a phase starts once and ends once, so repeats have the same id."""
        half = "started" if status == "started" else "finished"
        ident = derive("execute", self.run, str(index), phase, half)
        name = self.entries[index].step.name
        return self._event(
            id=ident, at=now, step=index, name=name, phase=phase, status=status, detail=detail
        )

    def run_event(self, status: str, detail: str, now: datetime, *, token: bool) -> StepResult:
        """The run's own event, with the token if the run can be taken back."""
        said = self._event(
            id=derive("execute", self.run, status),
            at=now,
            step=-1,
            name=self.run,
            phase="run",
            status=status,
            detail=detail,
            verification=self.verification,
        )
        given = {"rollback_token": self.token, "rollback_until": self.until}
        return said.model_copy(update=given) if token else said

    def _event(self, **fields: object) -> StepResult:
        return StepResult.model_validate(
            {
                "group": self.group,
                "incident": self.incident,
                "plan_hash": self.plan_hash,
                "run": self.run,
                "dry_run": self.dry_run,
                **fields,
            }
        )


def run_id(approved: Approved) -> str:
    """A grant makes one run, however often it is read."""
    return f"run-{derive('run', approved.id)[:12]}"


def rollback_token(run: str) -> str:
    """Names the right to take a run back once; using it takes a signature as well."""
    return f"rb-{derive('rollback', run)[:20]}"
