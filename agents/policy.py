"""Policy: what a plan may do here and now, by rules that a team writes in Rego.

The rules say what speaks for and against a plan; this stage makes sure that they are heard. Only
a clear answer opens the way: when there is none in time, or one that is not understood, the plan
is refused. Deny wins over approve, approve over constrain, constrain over allow; and silence is
a refusal too.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Protocol, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.event import Event, derive
from schemas.outcomes import Outcome
from schemas.plans import Constraint, Decision, Plan, Rule, Step, plan_hash
from schemas.turn import Turn

Effect = Literal["allow", "constrain", "approve", "deny"]
ORDER: tuple[Effect, ...] = ("deny", "approve", "constrain", "allow")
DECISIVE = {"allow", "approve", "deny"}  # a limit alone permits nothing
START_WITHIN = "start_within_s"  # of the policies; the run is told the time, `not_after`
WEEK_S = 7 * 86_400.0
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Text = Annotated[str, Field(min_length=1, max_length=500)]


class Evaluator(Protocol):
    """What evaluates the policies: runbooks/rego.py in process, runbooks/opa.py over HTTP."""

    engine: str

    def evaluate(self, document: Mapping[str, object]) -> object:
        """The answer to an input document; whatever it raises is a refusal."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class _Rule(_Strict):
    id: Text
    effect: Effect
    reason: Text


class _Constraint(_Strict):
    name: Text
    value: Text


class _Approvals(_Strict):
    count: int = Field(ge=0, le=20)
    approvers: list[Text]
    expires_s: float = Field(gt=0, le=WEEK_S)


class _Answer(_Strict):
    """What the policies must say, to the letter."""

    rules: list[_Rule]
    constraints: list[_Constraint]
    approvals: _Approvals

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        effects = {rule.effect for rule in self.rules}
        if ("approve" in effects) != (self.approvals.count > 0):
            raise ValueError(f"rules and approvals differ: {self.approvals.count} are asked for")
        if ("constrain" in effects) != bool(self.constraints):
            raise ValueError("rules and constraints differ: one is there without the other")
        names = [constraint.name for constraint in self.constraints]
        if len(set(names)) < len(names):
            raise ValueError("a constraint has two values")
        return self


class Nothing(BaseModel):
    """Policy remembers nothing between plans."""

    model_config = ConfigDict(frozen=True)


class Judge:
    """Reads plans; says decisions, and refused for what is denied.

    `environment` is the place where this pipeline acts: a plan for another one is refused.
    """

    State = Nothing

    def __init__(self, evaluator: Evaluator, *, environment: str) -> None:
        self._evaluator = evaluator
        self._environment = environment

    def key(self, event: Event) -> str:
        """The incident."""
        return event.incident.incident if isinstance(event, Plan) else ""

    def run(self, event: Event, state: Nothing | None, now: datetime) -> Turn[Nothing]:  # noqa: ARG002 - a decision's signature
        """One plan, one decision; a plan without a runbook needs none."""
        if not isinstance(event, Plan) or not event.runbook:
            return Turn(None)
        if event.hash != plan_hash(event):
            decision = _closed(
                event, self._evaluator, "the plan is not what its hash was made of", now
            )
        elif event.environment != self._environment:
            reason = f"the plan is for {event.environment}, this is {self._environment}"
            decision = _closed(event, self._evaluator, reason, now)
        else:
            decision = evaluate_plan(event, event.environment, self._evaluator, now)
        if decision.effect != "deny":
            return Turn(None, (decision,))
        return Turn(None, (decision, _refused(decision, now)))


def evaluate_plan(plan: Plan, environment: str, evaluator: Evaluator, now: datetime) -> Decision:
    """What the policies say of a plan if it were for `environment`. Never raises: fails closed."""
    if environment != plan.environment:
        plan = plan.model_copy(update={"environment": environment})
        plan = plan.model_copy(update={"hash": plan_hash(plan)})
    try:
        answer = _Answer.model_validate(evaluator.evaluate(document(plan, now)))
        return _decided(plan, answer, evaluator, now)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "answer"
        return _closed(plan, evaluator, f"malformed answer, {where}: {first['msg']}", now)
    except Exception as error:  # noqa: BLE001 - whatever went wrong, nothing was allowed
        return _closed(plan, evaluator, f"{type(error).__name__}: {error}", now)


def document(plan: Plan, now: datetime) -> dict[str, object]:
    """The input of the policies. Times are UTC; JSON values only."""
    incident, budget, at = plan.incident, plan.budget, now.astimezone(UTC)
    return {
        "plan": {
            "runbook": plan.runbook,
            "version": plan.runbook_version,
            "owner": plan.owner,
            "risk": plan.risk,
            "blast_radius": list(plan.blast_radius),
            "dry_run": plan.dry_run,
            "requested_by": plan.requested_by,
            "hash": plan.hash,
            "steps": [_step(step) for step in plan.steps],
        },
        "incident": {
            "id": incident.incident,
            "service": incident.service,
            "services": list(incident.services),
            "severity": incident.severity.value,
            "status": incident.status,
            "signals": len(incident.signals),
        },
        "environment": plan.environment,
        "budget": {
            "objective": budget.objective,
            "verdict": budget.verdict,
            "left": budget.left,
            "burn": budget.burn,
            "exhausts": budget.exhausts,
        },
        "now": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "now_s": int(at.timestamp()),
        "hour": at.hour,
        "weekday": WEEKDAYS[at.weekday()],
    }


def explain_decision(decision: Decision) -> list[str]:
    """The decision for a screen: the verdict, then every rule, limit and condition, one a line."""
    plan = decision.plan
    verdict = {
        "allow": "allowed",
        "constrain": "allowed within limits",
        "approve": "allowed once approved",
        "deny": "refused",
    }[decision.effect]
    dry = " as a dry run" if plan.dry_run else ""
    lines = [f"{plan.runbook or 'no runbook'} in {plan.environment}{dry}: {verdict}"]
    width = max((len(rule.id) for rule in decision.rules), default=0)
    lines += [f"  {rule.effect:<9}  {rule.id:<{width}}  {rule.reason}" for rule in decision.rules]
    lines += [f"  limit      {limit.name} = {limit.value}" for limit in decision.constraints]
    if decision.effect == "approve":
        who = ", ".join(decision.approvers) or "anyone known"
        until = f"{decision.expires_at:%Y-%m-%d %H:%M:%S} UTC" if decision.expires_at else "open"
        lines.append(f"  approvals  {decision.approvals_needed} of {who}, until {until}")
    return [*lines, f"  plan       {plan.hash[:12]}, judged by {decision.engine}"]


def _step(step: Step) -> dict[str, object]:
    return {
        "name": step.name,
        "touches": step.touches,
        "executors": sorted({action.executor for action in step.actions()}),
        "actions": [
            {"executor": action.executor, "arguments": orjson.loads(action.arguments)}
            for action in step.actions()
        ],
        "reversible": step.undo is not None,
        "timeout_s": step.timeout_s,
    }


def _decided(plan: Plan, answer: _Answer, evaluator: Evaluator, now: datetime) -> Decision:
    rules = tuple(
        Rule(id=rule.id, effect=rule.effect, reason=rule.reason)
        for rule in sorted(answer.rules, key=lambda r: (ORDER.index(r.effect), r.id, r.reason))
    )
    if not any(rule.effect in DECISIVE for rule in rules):
        silent = Rule(id="nothing-allows", effect="deny", reason="no rule allows this plan")
        rules = (silent, *rules)
    effect = _strongest(rules)
    asks = effect == "approve"
    expires_at = now + timedelta(seconds=answer.approvals.expires_s) if asks else None
    return Decision(
        at=now,
        group=plan.group,
        plan=plan,
        effect=effect,
        rules=rules,
        constraints=_constraints(answer, expires_at or now) if effect != "deny" else (),
        approvals_needed=answer.approvals.count if asks else 0,
        approvers=tuple(answer.approvals.approvers) if asks else (),
        expires_at=expires_at,
        engine=evaluator.engine,
        reason="; ".join(rule.reason for rule in rules if rule.effect == effect),
    )


def _strongest(rules: tuple[Rule, ...]) -> Effect:
    return min((rule.effect for rule in rules), key=ORDER.index)


def _constraints(answer: _Answer, start: datetime) -> tuple[Constraint, ...]:
    """The limits by name; `start_within_s` becomes the time that the run must have started by."""
    found = {}
    for limit in answer.constraints:
        name, value = limit.name, limit.value
        if name == START_WITHIN:
            latest = start.astimezone(UTC) + timedelta(seconds=float(value))
            name, value = "not_after", f"{latest:%Y-%m-%dT%H:%M:%SZ}"
        if name in found:
            raise ValueError(f"constraint {name} has two values")
        found[name] = Constraint(name=name, value=value)
    return tuple(found[name] for name in sorted(found))


def _closed(plan: Plan, evaluator: Evaluator, why: str, now: datetime) -> Decision:
    """Refused because policy could not be heard."""
    reason = " ".join(f"no clear answer, so no: {why}".split())[:500]
    return Decision(
        at=now,
        group=plan.group,
        plan=plan,
        effect="deny",
        rules=(Rule(id="fail-closed", effect="deny", reason=reason),),
        engine=evaluator.engine,
        reason=reason,
    )


def _refused(decision: Decision, now: datetime) -> Outcome:
    return Outcome(
        id=derive("policy", "refused", decision.plan.id or decision.plan.hash),
        at=now,
        group=decision.group,
        incident=decision.plan.incident.incident,
        result="refused",
        final=True,
        plan_hash=decision.plan.hash,
        by="policy",
        reason=decision.reason,
    )
