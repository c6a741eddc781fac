"""Explain: every ending of an incident gets one report, with the evidence for each figure.

Works from the events alone, without any language model: a report can be made again from the
same events, word for word. Incidents that end badly are told as well as those that end well;
what was denied, rejected or taken back is part of the story.

An incident says the same many times over. Kept are its first word, every change of status,
severity or signals, and the last; how many were left out is in the bundle.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from agents.case import Case, case_of, missing
from agents.cost import Inputs, Spread, choices, cost, nothing, why_not
from agents.evidence import Evidence, Piece, Ref
from agents.narrative import bare, headline, lasted, story
from runbooks.objectives import Objective
from runbooks.rates import RateCard
from schemas.event import Event, derive
from schemas.forecasts import Forecast
from schemas.incidents import Incident
from schemas.operations import Tick
from schemas.outcomes import Cost, Outcome, Report
from schemas.plans import Approval, Approved, Decision, Plan, Refusal
from schemas.results import Rollback, StepResult
from schemas.turn import Turn

KINDS: tuple[type[Event], ...] = (
    Incident, Forecast, Plan, Decision, Approval, Approved, Refusal, StepResult, Rollback, Outcome,
)  # fmt: skip
BY_SUBJECT = {kind.SUBJECT: kind for kind in KINDS}
NAMED = 12  # hex digits of a version in a record's id, as in incidents' ids


class ExplainSettings(BaseModel):
    """How long to wait, and how much to keep."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settle_s: float = Field(
        default=10.0,
        ge=0,
        description="an ending that comes before its causes waits this many seconds for them",
    )
    forget_after_s: float = Field(
        default=86_400.0, gt=0, description="seconds without a word, then an incident is forgotten"
    )
    keep: int = Field(
        default=24, ge=3, description="events of incident, forecast, answers or refusals, each"
    )


class Kept(BaseModel):
    """An event as JSON; equal marks of one subject say the same."""

    model_config = ConfigDict(frozen=True)

    id: str
    subject: str
    mark: str
    event: str


class Due(BaseModel):
    """An ending without report, and when it is told with what there is."""

    model_config = ConfigDict(frozen=True)

    outcome: str
    by: datetime


class Told(BaseModel):
    """What is remembered of an incident."""

    model_config = ConfigDict(frozen=True)

    kept: tuple[Kept, ...] = ()
    left_out: int = 0
    due: tuple[Due, ...] = ()
    heard: datetime


class Explain:
    """Reads all that concerns an incident; says a report at each final outcome."""

    State = Told

    def __init__(
        self, settings: ExplainSettings, rates: RateCard, objectives: Iterable[Objective]
    ) -> None:
        self._settings = settings
        self._rates = rates
        self._objectives = {objective.name: objective for objective in objectives}

    def key(self, event: Event) -> str:
        """The incident."""
        match event:
            case Forecast() | Plan():
                return event.incident.incident
            case Decision() | Approved():
                return event.plan.incident.incident
            case Incident() | Approval() | Refusal() | StepResult() | Rollback() | Outcome():
                return event.incident
        return ""

    def run(self, event: Event, state: Told | None, now: datetime) -> Turn[Told]:
        """One message; ticks tell what has waited long enough for its causes."""
        if isinstance(event, Tick):
            return Turn(None) if state is None else self._on_tick(state, now)
        told = self._remember(state or Told(heard=now), event, now)
        if isinstance(event, Outcome) and event.final and not _known(state, event):
            due = Due(outcome=event.id, by=now + timedelta(seconds=self._settings.settle_s))
            told = told.model_copy(update={"due": (*told.due, due)})
        return self._tell(told, now)

    def _on_tick(self, state: Told, now: datetime) -> Turn[Told]:
        if any(due.by <= now for due in state.due):
            return self._tell(state, now)
        silent = (now - state.heard).total_seconds()
        if not state.due and silent > self._settings.forget_after_s:
            return Turn(None)
        return Turn(state)

    # ---- what is kept

    def _remember(self, state: Told, event: Event, now: datetime) -> Told:
        if event.SUBJECT not in BY_SUBJECT or _known(state, event):
            return state.model_copy(update={"heard": now})
        new = Kept(
            id=event.id, subject=event.SUBJECT, mark=mark(event), event=event.model_dump_json()
        )
        kept = [*state.kept]
        same = [entry for entry in kept if entry.subject == new.subject]
        if len(same) > 1 and same[-1].mark == same[-2].mark == new.mark:
            kept.remove(same[-1])  # neither the first of its kind nor, from now on, the last
        elif len(same) >= self._settings.keep and new.subject in REPETITIVE:
            kept.remove(same[1])
        left_out = state.left_out + len(state.kept) - len(kept)
        return state.model_copy(update={"kept": (*kept, new), "left_out": left_out, "heard": now})

    # ---- what is told

    def _tell(self, state: Told, now: datetime) -> Turn[Told]:
        if not state.due:
            return Turn(state)
        events = [BY_SUBJECT[kept.subject].model_validate_json(kept.event) for kept in state.kept]
        events.sort(key=lambda event: event.at)  # stable: what came first stays first
        by_id = {event.id: event for event in events}
        waiting, reports = [], []
        for due in state.due:
            outcome = by_id[due.outcome]
            assert isinstance(outcome, Outcome)  # noqa: S101 - only outcomes are due
            gaps = missing(events, outcome)
            if gaps and now < due.by:
                waiting.append(due)
            else:
                reports.append(self.report(events, outcome, gaps, state.left_out, now))
        return Turn(state.model_copy(update={"due": tuple(waiting)}), tuple(reports))

    def report(
        self,
        events: Sequence[Event],
        outcome: Outcome,
        gaps: Sequence[str],
        left_out: int,
        now: datetime,
    ) -> Report:
        """The report on one ending, from the events on record in order of time."""
        evidence = Evidence(events)
        case = case_of(events, outcome)
        if case is None:
            spared = nothing(self._rates.currency, "the incident is not on record")
            title, text = bare(outcome, evidence)
        else:
            spared, figures = self._cost(case, evidence)
            title = headline(case, evidence)
            text = story(case, spared, figures, gaps, evidence)
        bundle = evidence.bundle(outcome.incident, left_out)
        return Report(
            at=now,
            group=outcome.group,
            incident=outcome.incident,
            outcome=outcome.result,
            headline=title,
            story=text,
            facts=evidence.facts,
            cost=spared,
            records=tuple(event.id for event in events),
            bundle=bundle,
            bundle_sha256=hashlib.sha256(bundle.encode()).hexdigest(),
        )

    def _cost(self, case: Case, evidence: Evidence) -> tuple[Cost, tuple[Ref, ...]]:
        """The cost avoided, and where its figures stand in the bundle."""
        reason = why_not(case.outcome, dry_run=case.dry_run) or self._unknown(case)
        if reason:
            return nothing(self._rates.currency, reason), ()
        inputs = self._inputs(case, evidence)
        figures = tuple(
            evidence.computed(f"cost avoided {end}", "cost avoided", chosen)
            for end, chosen in zip(("low", "middle", "high"), choices(inputs), strict=True)
        )
        return cost(inputs, self._rates.currency), figures

    def _unknown(self, case: Case) -> str:
        """What the formula would need and is not known; empty when all is."""
        if case.plan is None:
            return "the plan is not on record"
        if case.worst is None:
            return "how fast the error budget burned is not known"
        if case.plan.budget.objective not in self._objectives:
            return "the objective is not in the catalogue any more"
        if case.forecast is None or not (
            case.forecast.load.verdict == "forecast" or case.forecast.load.now
        ):
            return "how many requests were to be expected is not known"
        return ""

    def _inputs(self, case: Case, ev: Evidence) -> Inputs:
        assert case.plan and case.worst and case.forecast  # noqa: S101, PT018 - see _unknown
        rates = self._rates_record(case.last.service, ev)
        objective = self._objectives[case.plan.budget.objective]
        target = _record(ev, f"objective/{objective.name}", "objective", target=objective.target)
        load, name = Ref(case.forecast.id, "load."), "requests a second"
        ahead = case.forecast.load.verdict == "forecast"
        fields = ("hour_low", "hour", "hour_high") if ahead else ("now", "now", "now")
        requests = [ev.fact(name, load, field, "1/s") for field in fields]
        manual, price = "manual_repair_minutes", "cost_per_bad_event"
        minutes, money = "minutes of repair by hand", "cost of a bad request"
        ends = ("low", "mid", "high")
        return Inputs(
            requests=Spread(*sorted(requests, key=lambda fact: float(fact.value))),
            burn=ev.fact("burn rate", Ref(case.worst.id), "budget.burn"),
            target=ev.fact("objective", target, "target"),
            manual=Spread(*(ev.fact(minutes, rates, f"{manual}.{end}", "min") for end in ends)),
            actual=ev.fact("actual minutes", lasted(case, ev), "value", "min"),
            price=Spread(
                *(ev.fact(money, rates, f"{price}.{end}", self._rates.currency) for end in ends)
            ),
        )

    def _rates_record(self, service: str, ev: Evidence) -> Ref:
        card = self._rates
        ident = f"rates-{card.version[:NAMED]}/{service}"
        rate = card.rate(service).model_dump(mode="json")
        return _record(ev, ident, "rates", version=card.version, currency=card.currency, **rate)


# Of these, anybody can make any number; of the others, the pipeline's own rules set a bound.
REPETITIVE = frozenset({"incident", "forecast", "approval", "refusal", "rollback"})


def mark(event: Event) -> str:
    """What an event says, without its time: equal marks of one subject repeat each other."""
    match event:
        case Incident():
            signals = sorted(f"{s.anomaly}/{s.cleared_at is None}" for s in event.signals)
            quiet = str(event.quiet_since is None)
            return derive(event.status, event.severity, event.service, quiet, *signals)
        case Forecast():
            return derive(event.budget.verdict, event.load.verdict, event.incident.status)
    return event.id


def _known(state: Told | None, event: Event) -> bool:
    return state is not None and any(kept.id == event.id for kept in state.kept)


def _record(ev: Evidence, ident: str, subject: str, **values: object) -> Ref:
    return ev.add(Piece(ident, subject, {"id": ident, **values}))
