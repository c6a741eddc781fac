"""Plan: what to do about an incident, from the catalogue of runbooks and from nowhere else.

The best runbook that fits becomes a plan with every value in place, so that people and policy
see exactly what would be sent. An incident has one live plan at most; a runbook that was refused
or taken back is not proposed for it again. Where nothing fits, that is said, with the reason,
and after a while the incident is a person's.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field

from agents.candidates import Verdict, active, judge
from runbooks.model import Runbook
from runbooks.resolve import blast_radius, resolved, values_for
from schemas.errors import Rejected
from schemas.event import Event
from schemas.forecasts import Forecast
from schemas.operations import Tick
from schemas.outcomes import Outcome
from schemas.plans import Candidate, Plan, Step, Verification, plan_hash
from schemas.turn import Turn

SENTINEL = "sentinel"
FAILED = {"rolled_back", "rollback_failed", "refused", "escalated", "dry_run"}


class PlanSettings(BaseModel):
    """How plans are made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    no_plan_after_s: float = Field(
        default=300.0, gt=0, description="an incident that nothing fits is a person's after this"
    )
    remember_s: float = Field(
        default=3600.0, ge=0, description="a resolved incident is not planned for again, seconds"
    )


class Tried(BaseModel):
    """A runbook that was proposed for the incident, and how that ended."""

    model_config = ConfigDict(frozen=True)

    runbook: str
    result: str


class Planning(BaseModel):
    """What plan remembers of an incident."""

    model_config = ConfigDict(frozen=True)

    incident: str
    group: str
    live: str = Field(default="", description="hash of the plan that is under way")
    runbook: str = Field(default="", description="its runbook")
    tried: tuple[Tried, ...] = ()
    halted: str = Field(default="", description="why nothing more is proposed by itself")
    unfit: str = Field(default="", description="why nothing fits, as last said")
    unfit_since: datetime | None = None
    given_up: bool = Field(default=False, description="no_plan was said")
    over: datetime | None = Field(default=None, description="resolved at")


class Considered(NamedTuple):
    """A runbook for the incident: the verdict, and its steps if it fits."""

    runbook: Runbook
    verdict: Verdict
    steps: tuple[Step, ...] = ()
    blast_radius: tuple[str, ...] = ()


class Propose:
    """Reads forecasts, outcomes and ticks; says plans, and no_plan when there is none.

    `targets` gives, by executor, the names of the targets that the settings allow: a runbook
    that needs another executor or target does not fit.
    `environment` is what policy calls this place; with `dry_run` every plan changes nothing.
    """

    State = Planning

    def __init__(
        self,
        settings: PlanSettings,
        runbooks: Sequence[Runbook],
        targets: Mapping[str, Collection[str]],
        *,
        environment: str,
        dry_run: bool,
    ) -> None:
        self._settings = settings
        self._runbooks = runbooks
        self._targets = targets
        self._environment = environment
        self._dry_run = dry_run

    def key(self, event: Event) -> str:
        """The incident."""
        match event:
            case Forecast():
                return event.incident.incident
            case Outcome():
                return event.incident
        return ""

    def run(self, event: Event, state: Planning | None, now: datetime) -> Turn[Planning]:
        """A forecast may make a plan, an outcome ends one, ticks run out of patience."""
        match event:
            case Forecast():
                fresh = Planning(incident=event.incident.incident, group=event.group)
                return self._on_forecast(event, state or fresh, now)
            case Outcome():
                fresh = Planning(incident=event.incident, group=event.group)
                return Turn(_ended(event, state or fresh, now))
            case Tick() if state is not None:
                return self._on_tick(state, now)
        return Turn(state)

    def _on_forecast(self, forecast: Forecast, state: Planning, now: datetime) -> Turn[Planning]:
        incident = forecast.incident
        if incident.status == "resolved" and state.over is None:
            return Turn(state.model_copy(update={"over": now, "live": ""}))
        if state.over or state.live or state.halted or incident.status == "mitigating":
            return Turn(state)
        if not active(incident):  # quiet: it may heal by itself
            return Turn(state.model_copy(update={"unfit": "", "unfit_since": None}))
        tried = {each.runbook: each.result for each in state.tried}
        ranked = consider(self._runbooks, forecast, self._environment, tried, self._targets)
        plan = build(
            ranked,
            forecast,
            environment=self._environment,
            dry_run=self._dry_run,
            requested_by=SENTINEL,
            now=now,
        )
        if plan.runbook:
            made = {"live": plan.hash, "runbook": plan.runbook, "unfit": "", "unfit_since": None}
            return Turn(state.model_copy(update=made), (plan,))
        since = state.unfit_since or now
        kept = state.model_copy(update={"unfit": plan.reason, "unfit_since": since})
        return Turn(kept, () if plan.reason == state.unfit else (plan,))

    def _on_tick(self, state: Planning, now: datetime) -> Turn[Planning]:
        if state.over is not None:
            forget = now - state.over >= timedelta(seconds=self._settings.remember_s)
            return Turn(None if forget else state)
        patience = timedelta(seconds=self._settings.no_plan_after_s)
        waited = state.unfit_since is not None and now - state.unfit_since >= patience
        if not waited or state.given_up or state.tried:  # tried: a person has been told
            return Turn(state)
        said = Outcome(
            at=now,
            group=state.group,
            incident=state.incident,
            result="no_plan",
            final=False,
            by="plan",
            reason=state.unfit,
        )
        return Turn(state.model_copy(update={"given_up": True}), (said,))


def consider(
    runbooks: Iterable[Runbook],
    forecast: Forecast,
    environment: str,
    tried: Mapping[str, str],
    targets: Mapping[str, Collection[str]],
) -> tuple[Considered, ...]:
    """Every runbook for the incident, the best first; equal ones by name."""
    found = [_considered(each, forecast, environment, tried, targets) for each in runbooks]
    return tuple(sorted(found, key=lambda each: (-each.verdict.score, each.runbook.name)))


def build(
    ranked: Sequence[Considered],
    forecast: Forecast,
    *,
    environment: str,
    dry_run: bool,
    requested_by: str,
    now: datetime,
) -> Plan:
    """The plan that the best candidate makes; one without a runbook when none fits."""
    best = next((each for each in ranked if each.verdict.fits), None)
    candidates = tuple(
        Candidate(
            runbook=each.runbook.name,
            score=each.verdict.score,
            chosen=each is best,
            reasons=each.verdict.reasons,
        )
        for each in ranked
    )
    plan = Plan(
        at=now,
        group=forecast.group,
        incident=forecast.incident,
        budget=forecast.budget,
        runbook="",
        environment=environment,
        dry_run=dry_run,
        requested_by=requested_by,
        candidates=candidates,
        reason=_unfit(ranked),
    )
    return plan if best is None else _chosen(plan, best)


def _chosen(plan: Plan, best: Considered) -> Plan:
    runbook = best.runbook
    budget = f"budget {plan.budget.verdict}: {plan.budget.reason}"
    made = plan.model_copy(
        update={
            "runbook": runbook.name,
            "runbook_version": str(runbook.version),
            "owner": runbook.owner,
            "risk": runbook.risk,
            "blast_radius": best.blast_radius,
            "steps": best.steps,
            "verification": Verification(
                within_s=runbook.verification.within,
                stable_s=runbook.verification.stable,
                touches=best.blast_radius,
            ),
            "reason": f"{runbook.name}: {', '.join(best.verdict.reasons)}; {budget}",
        }
    )
    return made.model_copy(update={"hash": plan_hash(made)})


def _considered(
    runbook: Runbook,
    forecast: Forecast,
    environment: str,
    tried: Mapping[str, str],
    targets: Mapping[str, Collection[str]],
) -> Considered:
    incident = forecast.incident
    verdict = judge(runbook, incident, environment, tried)
    if not verdict.fits:
        return Considered(runbook, verdict)
    values = values_for(
        runbook,
        incident=incident.incident,
        service=incident.service,
        severity=incident.severity,
    )
    try:
        steps = resolved(runbook, values)
        touched = blast_radius(runbook, values)
    except Rejected as error:  # a service's name came from outside
        return Considered(runbook, Verdict(fits=False, score=0.0, reasons=(str(error),)))
    if missing := _missing(steps, targets):
        reason = f"needs what the settings do not allow: {missing}"
        return Considered(runbook, Verdict(fits=False, score=0.0, reasons=(reason,)))
    return Considered(runbook, verdict, steps, touched)


def _missing(steps: Iterable[Step], targets: Mapping[str, Collection[str]]) -> str:
    """The executors and targets that are not allowed, as text; empty when all are."""
    wrong = {
        f"{action.executor} target {name}" if action.executor in targets else action.executor
        for step in steps
        for action in step.actions()
        if (name := str(orjson.loads(action.arguments).get("target", "")))
        not in targets.get(action.executor, ())
    }
    return ", ".join(sorted(wrong))


def _unfit(ranked: Sequence[Considered]) -> str:
    whys = sorted(f"{each.runbook.name} {each.verdict.reasons[0]}" for each in ranked)
    return f"no runbook fits: {'; '.join(whys) or 'the catalogue is empty'}"


def _ended(outcome: Outcome, state: Planning, now: datetime) -> Planning:
    """What an outcome means for the plan under way."""
    if outcome.result == "resolved":
        return state.model_copy(update={"over": now, "live": "", "runbook": ""})
    other = outcome.plan_hash and outcome.plan_hash != state.live
    if outcome.result not in FAILED or not state.live or other:
        return state
    failed = Tried(runbook=state.runbook, result=f"{outcome.result}, {outcome.reason}")
    broken = outcome.result == "rollback_failed"  # nobody knows the state any more: a person's
    return state.model_copy(
        update={
            "live": "",
            "runbook": "",
            "tried": (*state.tried, failed),
            "halted": f"{state.runbook}: {outcome.reason}" if broken else state.halted,
        }
    )
