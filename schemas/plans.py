"""Plans: what would be done, exactly, and how it would be undone."""

import hashlib
from datetime import datetime
from typing import ClassVar, Literal

import orjson
from pydantic import Field

from schemas.event import Event, Record, milliseconds
from schemas.forecasts import BudgetForecast
from schemas.incidents import Incident


class Action(Record):
    """One call to an executor, fully resolved; `arguments` is canonical JSON."""

    executor: str
    arguments: str

    @classmethod
    def of(cls, executor: str, arguments: dict[str, object]) -> "Action":
        """An action with its arguments in canonical form (sorted keys)."""
        return cls(
            executor=executor,
            arguments=orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS).decode(),
        )


class Check(Record):
    """A read-only call and what its answer must show, e.g. `replicas < max_replicas`."""

    action: Action
    expect: str = Field(description="CEL-like comparison on the answer, see runbooks/checks.py")


class Step(Record):
    """One step: look first, do, and how to undo; one of `undo` and `irreversible` is given."""

    name: str
    summary: str
    touches: str = Field(default="", description="the service that it changes")
    precheck: Check | None = None
    observe: Action | None = Field(
        default=None, description="read before doing; its answer is the state before"
    )
    do: Action
    undo: Action | None = Field(
        description="`{{before.x}}` takes x from the state observed before; None: nothing to undo"
    )
    irreversible: str = Field(default="", description="why there is nothing to undo")
    timeout_s: float = Field(gt=0)

    def actions(self) -> tuple[Action, ...]:
        """Every call that the step may make, in order."""
        precheck = None if self.precheck is None else self.precheck.action
        calls = (precheck, self.observe, self.do, self.undo)
        return tuple(call for call in calls if call is not None)


class Verification(Record):
    """What must hold after the last step for the incident to count as fixed."""

    within_s: float = Field(gt=0, description="signals must be clear within this time")
    stable_s: float = Field(gt=0, description="and stay clear this long")
    touches: tuple[str, ...] = Field(
        default=(), description="services that the run moves: what begins there is its doing"
    )


class Candidate(Record):
    """A runbook that was considered."""

    runbook: str
    score: float = Field(ge=0, le=1)
    chosen: bool
    reasons: tuple[str, ...]


class Plan(Event):
    """A proposal for one incident; `runbook` is empty when nothing fits, `reason` says why."""

    SUBJECT: ClassVar[str] = "plan"

    incident: Incident
    budget: BudgetForecast
    runbook: str
    runbook_version: str = ""
    owner: str = ""
    risk: Literal["low", "medium", "high"] = "low"
    blast_radius: tuple[str, ...] = Field(default=(), description="services that it touches")
    environment: str
    dry_run: bool
    requested_by: str = Field(description="'sentinel', or the person who asked for it")
    steps: tuple[Step, ...] = ()
    verification: Verification | None = None
    candidates: tuple[Candidate, ...] = ()
    reason: str
    hash: str = Field(default="", description="of all that would be executed; see plan_hash")


def plan_hash(plan: Plan) -> str:
    """SHA-256 over what approval binds: incident, runbook, steps, verification, place, dry run."""
    bound = plan.model_dump(
        mode="json",
        include={"runbook", "runbook_version", "steps", "verification", "environment", "dry_run"},
    )
    bound["incident"] = plan.incident.incident
    return hashlib.sha256(orjson.dumps(bound, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Rule(Record):
    """A policy rule that spoke."""

    id: str
    effect: Literal["allow", "constrain", "approve", "deny"]
    reason: str


class Constraint(Record):
    """A limit under which the plan is allowed, e.g. max_replicas = 6."""

    name: str
    value: str


class Decision(Event):
    """What policy said of a plan; anything but a clear answer is a denial."""

    SUBJECT: ClassVar[str] = "decision"

    plan: Plan
    effect: Literal["allow", "constrain", "approve", "deny"]
    rules: tuple[Rule, ...]
    constraints: tuple[Constraint, ...] = ()
    approvals_needed: int = Field(default=0, ge=0)
    approvers: tuple[str, ...] = Field(default=(), description="who may; empty: anyone known")
    expires_at: datetime | None = None
    engine: str = Field(description="what evaluated, with its version")
    reason: str


class Approval(Event):
    """A person's answer, signed over (plan hash, answer, by, at)."""

    SUBJECT: ClassVar[str] = "approval"

    incident: str
    plan_hash: str
    answer: Literal["approve", "reject"]
    by: str
    comment: str = ""
    channel: str = Field(default="cli")
    signature: str = Field(description="Ed25519 over signed_text(), hex")

    def signed_text(self) -> bytes:
        """The bytes that the signature covers."""
        parts = (
            "approval",
            self.incident,
            self.plan_hash,
            self.answer,
            self.by,
            milliseconds(self.at),
        )
        return "\n".join(parts).encode()


class Approved(Event):
    """A plan that may run now, and by whose word."""

    SUBJECT: ClassVar[str] = "approved"

    plan: Plan
    decision: str = Field(description="id of the decision")
    rules: tuple[Rule, ...]
    constraints: tuple[Constraint, ...] = ()
    approved_by: tuple[str, ...] = Field(description="people; ('policy',) when none was needed")
    approvals: tuple[str, ...] = Field(default=(), description="ids of the answers")


class Refusal(Event):
    """A person's answer or demand that does not count, and why; nothing is dropped in silence."""

    SUBJECT: ClassVar[str] = "refusal"

    incident: str
    of: Literal["approval", "rollback", "verdict"]
    by: str = Field(description="the name as given: it may be false")
    channel: str = ""
    reason: str
