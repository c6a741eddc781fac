"""The case of an incident: which of its many events the story of one ending is about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agents.evidence import Ref
from schemas.event import Event
from schemas.forecasts import Forecast
from schemas.incidents import Incident
from schemas.outcomes import Outcome
from schemas.plans import Approval, Approved, Decision, Plan, Refusal
from schemas.results import StepResult

E = TypeVar("E", bound=Event)
ENDS = ("succeeded", "failed", "rolled_back", "rollback_failed")


@dataclass(frozen=True)
class Case:
    """One ending and what led to it; what is not on record is None or empty."""

    outcome: Outcome
    first: Incident
    last: Incident
    forecast: Forecast | None
    forecasts: tuple[Forecast, ...]  # all of them, in order
    plan: Plan | None
    plan_ref: Ref | None  # where the plan stands: in its own event, or in one that carries it
    decision: Decision | None
    answers: tuple[Approval, ...]
    refusals: tuple[Refusal, ...]
    approved: Approved | None
    results: tuple[StepResult, ...]
    earlier: tuple[Outcome, ...]

    @property
    def dry_run(self) -> bool:
        """Whether nothing was changed, for that was so ordered."""
        return any(result.dry_run for result in self.results) or (
            self.plan is not None and self.plan.dry_run
        )

    @property
    def worst(self) -> Forecast | None:
        """The forecast with the fastest burn of the plan's objective, where one is known.

        A fix may be chosen before the budget has burned at all: how bad it was shows later.
        """
        known = [
            forecast
            for forecast in self.forecasts
            if self.plan is not None
            and forecast.budget.objective == self.plan.budget.objective
            and forecast.budget.verdict != "not enough data"
        ]
        return max(known, key=lambda forecast: forecast.budget.burn, default=None)

    @property
    def quiet(self) -> Incident | None:
        """The incident as it was when all signals had cleared; None while they had not."""
        return self.last if self.last.quiet_since is not None else None


def case_of(events: Sequence[Event], outcome: Outcome) -> Case | None:
    """The case that `outcome` ends; None when nothing of the incident itself is on record."""
    incidents = _of(Incident, events)
    if not incidents:
        return None
    plan, ref = _plan(events, outcome)
    about = outcome.plan_hash or (plan.hash if plan else "")
    approved = _last(e for e in _of(Approved, events) if about and e.plan.hash == about)
    before = [
        event
        for event in _of(Forecast, events)
        if plan is None or event.id == plan.cause or event.at <= plan.at
    ]
    return Case(
        outcome=outcome,
        first=incidents[0],
        last=incidents[-1],
        forecast=_last(before) or next(iter(_of(Forecast, events)), None),
        forecasts=_of(Forecast, events),
        plan=plan,
        plan_ref=ref,
        decision=_last(e for e in _of(Decision, events) if about and e.plan.hash == about),
        answers=_counted(_of(Approval, events), approved, outcome),
        refusals=_of(Refusal, events),
        approved=approved,
        results=tuple(
            event
            for event in _of(StepResult, events)
            if event.run == outcome.run or (not outcome.run and about and event.plan_hash == about)
        ),
        earlier=tuple(event for event in _of(Outcome, events) if event.id != outcome.id),
    )


def missing(events: Sequence[Event], outcome: Outcome) -> tuple[str, ...]:
    """What must still be on its way: topics are read side by side, so an end may come early."""
    case = case_of(events, outcome)
    if case is None:
        return ("the incident",)
    gaps = []
    if outcome.plan_hash and case.plan is None:
        gaps.append("the plan")
    if outcome.plan_hash and case.decision is None:
        gaps.append("the policy's decision")
    if outcome.run and case.approved is None:
        gaps.append("the approval")
    if outcome.run and not any(r.phase == "run" and r.status in ENDS for r in case.results):
        gaps.append("the end of the run")
    return tuple(gaps)


def _plan(events: Sequence[Event], outcome: Outcome) -> tuple[Plan | None, Ref | None]:
    """The plan that the outcome is about; of no_plan, the latest that says why there is none."""
    wanted = outcome.plan_hash
    for event in reversed(_of(Plan, events)):
        if event.hash == wanted if wanted else outcome.result == "no_plan" and not event.runbook:
            return event, Ref(event.id)
    for carrier in reversed(events):
        if isinstance(carrier, (Decision, Approved)) and wanted and carrier.plan.hash == wanted:
            return carrier.plan, Ref(carrier.id, "plan.")
    return None, None


def _counted(
    answers: Iterable[Approval], approved: Approved | None, outcome: Outcome
) -> tuple[Approval, ...]:
    """The answers that counted: anybody can write an answer, only the stage checks it."""
    yes = approved.approvals if approved else ()
    return tuple(
        answer
        for answer in answers
        if answer.id in yes
        or (
            answer.answer == "reject"
            and answer.plan_hash == outcome.plan_hash
            and (outcome.result, outcome.by) == ("refused", answer.by)
        )
    )


def _of(kind: type[E], events: Iterable[Event]) -> tuple[E, ...]:
    return tuple(event for event in events if isinstance(event, kind))


def _last(events: Iterable[E]) -> E | None:
    return next(reversed(list(events)), None)
