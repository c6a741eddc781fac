"""One line for a person of what an event says: topic, colour, words."""

from typing import NamedTuple

from schemas.anomalies import Anomaly
from schemas.event import Event, Severity
from schemas.forecasts import BudgetForecast, Forecast
from schemas.incidents import Incident
from schemas.operations import DeadLetter
from schemas.outcomes import Outcome, Report
from schemas.plans import Approval, Approved, Decision, Plan, Refusal
from schemas.results import Rollback, StepResult

LONGEST = 220  # characters of a line; what is cut is in the report


class Line(NamedTuple):
    """What is said of an event: `style` is one of rich's."""

    what: str
    text: str
    style: str = ""


BAD, GOOD, NOTE, QUIET = "bold red", "bold green", "cyan", "dim"
LOUD = {Severity.critical: "red", Severity.high: "yellow"}


def told(event: Event) -> Line | None:
    """The line of an event; None for one that is nothing new to a person."""
    line = _told(event)
    if line is None:
        return None
    text = " ".join(line.text.split())
    return line._replace(text=text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def minutes(budget: BudgetForecast) -> str:
    """When the budget is gone, in words.

    >>> minutes(BudgetForecast(objective="o", verdict="holds", reason="burn 0", left=1, burn=0,
    ...     exhausts=0, horizon_minutes=60))
    'holds: burn 0'
    """
    eta = budget.minutes
    if eta is None:
        return f"{budget.verdict}: {budget.reason}"
    return f"budget gone in {eta.p50:.1f} min, between {eta.p05:.1f} and {eta.p95:.1f} (90 %)"


def ruled(decision: Decision) -> str:
    """A policy verdict with the rules that decided."""
    rules = ", ".join(f"{rule.id} ({rule.reason})" for rule in decision.rules)
    limits = "".join(f"; {limit.name} = {limit.value}" for limit in decision.constraints)
    return f"{decision.plan.environment}: {decision.effect} by {rules}{limits}"


def _told(event: Event) -> Line | None:  # noqa: PLR0911 - one a kind
    match event:
        case Anomaly():
            return _anomaly(event)
        case Incident():
            return _incident(event)
        case Forecast():
            return Line("forecast", minutes(event.budget), NOTE)
        case Plan():
            return _plan(event)
        case StepResult():
            return _step(event)
        case Outcome():
            style = GOOD if event.result == "resolved" else BAD
            return Line("outcome", f"{event.result}: {event.reason}", style)
        case Report():
            return Line("report", event.headline, NOTE)
        case DeadLetter():
            return Line("dead", f"{event.stage}, {event.topic}: {event.reason}", BAD)
    return _answered(event)


def _answered(event: Event) -> Line | None:
    """What policy and people said."""
    match event:
        case Decision():
            return Line("policy", ruled(event), BAD if event.effect == "deny" else NOTE)
        case Approval():
            return Line("answer", f"{event.by} says {event.answer}", NOTE)
        case Approved():
            return Line("approved", f"by {', '.join(event.approved_by)}", NOTE)
        case Refusal():
            return Line("refused", f"the answer of {event.by}: {event.reason}", BAD)
        case Rollback():
            return Line("rollback", f"demanded by {event.by}: {event.reason}", BAD)
    return None


def _anomaly(anomaly: Anomaly) -> Line | None:
    text = f"{anomaly.service}: {anomaly.reason}"
    if anomaly.change == "opened":
        style = LOUD.get(anomaly.severity, "")
        return Line("anomaly", f"{text} ({anomaly.kind}, {anomaly.severity.value})", style)
    return Line("clear", text, "green") if anomaly.change == "cleared" else None


def _incident(incident: Incident) -> Line | None:
    name = incident.incident
    match incident.change:
        case "opened":
            return Line("incident", f"{name} opened: {incident.title} ({incident.reason})", BAD)
        case "updated":
            return None  # the anomaly that it took in has a line
        case "quiet" | "resolved":
            return Line("incident", f"{name} {incident.change}: {incident.reason}", GOOD)
        case "mitigating":
            return Line("incident", f"{name} mitigating: {incident.reason}", NOTE)
    return Line("incident", f"{name} {incident.change}: {incident.reason}", BAD)


def _plan(plan: Plan) -> Line:
    if not plan.runbook:
        return Line("plan", f"none: {plan.reason}", "yellow")
    steps = ", ".join(step.name for step in plan.steps)
    kind = "dry run of " if plan.dry_run else ""
    about = f"{kind}{plan.runbook} v{plan.runbook_version} ({plan.risk} risk): {steps}"
    return Line("plan", f"{about}; {plan.reason}", NOTE)


def _step(result: StepResult) -> Line | None:
    if result.phase == "run":
        bad = result.status in {"failed", "rolled_back", "rollback_failed"}
        style = BAD if bad else GOOD if result.status == "succeeded" else NOTE
        return Line("run", f"{result.status.replace('_', ' ')}: {result.detail}", style)
    if result.status == "started":
        return None
    style = {"failed": BAD, "succeeded": "green"}.get(result.status, "")
    if result.phase == "precheck" and result.status != "failed":
        style = QUIET
    return Line("step", f"{result.name}, {result.phase} {result.status}: {result.detail}", style)
