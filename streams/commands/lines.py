"""Events in one line each, for `tail` and for an incident's timeline."""

from datetime import datetime
from functools import singledispatch
from typing import NamedTuple

from rich.text import Text

from schemas.anomalies import Anomaly
from schemas.budgets import Budget
from schemas.event import Event, Severity
from schemas.forecasts import BudgetForecast, Forecast, LoadFit
from schemas.incidents import Incident
from schemas.intake import IntakeReport
from schemas.operations import DeadLetter, Tick
from schemas.outcomes import Outcome, Report
from schemas.plans import Approval, Approved, Decision, Plan, Refusal
from schemas.results import Rollback, StepResult
from schemas.templates import Template
from schemas.verdicts import Bar, Verdict

SHORT = 12  # characters of a hash: enough to name a plan
GOOD, WARN, BAD, QUIET = "green", "yellow", "red", "dim"
BY_SEVERITY = {
    Severity.low: QUIET,
    Severity.medium: WARN,
    Severity.high: BAD,
    Severity.critical: "bold red",
}
BY_EFFECT = {"allow": GOOD, "constrain": GOOD, "approve": WARN, "deny": BAD}
BY_STATUS = {"succeeded": GOOD, "failed": BAD, "rollback_failed": "bold red", "rolled_back": WARN}
BY_RESULT = {"resolved": GOOD, "dry_run": QUIET, "rolled_back": WARN, "no_plan": WARN}


class Said(NamedTuple):
    """What an event says, and how it looks."""

    text: str
    style: str = ""


def line(event: Event, *, at: str | None = None, about: str = "") -> Text:
    """The event on one line; `at` replaces the time of day, `about` is not said again."""
    text, style = said(event)
    text = text.removeprefix(f"{about} ")
    when = at if at is not None else moment(event.at)
    return Text.assemble((when, QUIET), "  ", f"{event.SUBJECT:<9}", "  ", (_flat(text), style))


def moment(at: datetime) -> str:
    """A time of day to the millisecond, UTC."""
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03}"


def _flat(text: str) -> str:
    return " ".join(text.split())


@singledispatch
def said(event: Event) -> Said:
    """The gist of an event."""
    return Said(event.model_dump_json())


@said.register
def _(event: Anomaly) -> Said:
    ending = f" ({event.ending})" if event.ending else ""
    return Said(
        f"{event.change}{ending} {event.severity} {event.kind} {event.series}: {event.reason}",
        QUIET if event.change in {"cleared", "weak"} else BY_SEVERITY[event.severity],
    )


@said.register
def _(event: Template) -> Said:
    into = f" into {event.into}" if event.into else ""
    level = f" {event.severity}" if event.severity else ""
    return Said(
        f"{event.change} {event.service} {event.template}{into}{level}, {event.count} lines:"
        f" {event.text}",
        QUIET if event.change == "counted" else "",
    )


@said.register
def _(event: Budget) -> Said:
    return Said(
        f"{event.objective}: {event.left:.1%} left, burning {event.burn:.1f}x"
        f" ({event.bad:g} bad of {event.total:g})",
        BAD if event.left <= 0 else WARN if event.burn > 1 else "",
    )


@said.register
def _(event: Incident) -> Said:
    return Said(
        f"{event.incident} {event.change}: {event.title} ({event.severity}): {event.reason}",
        GOOD if event.status == "resolved" else BY_SEVERITY[event.severity],
    )


@said.register
def _(event: Forecast) -> Said:
    return Said(f"{event.incident.incident} {foreseen(event.budget)}")


def foreseen(budget: BudgetForecast) -> str:
    """When the budget is gone, in one line."""
    eta = budget.minutes
    when = f", gone in {eta.p50:.0f} min ({eta.p05:.0f} to {eta.p95:.0f})" if eta else ""
    name = f"{budget.objective}: " if budget.objective else ""
    return f"{name}{budget.verdict}{when}: {budget.reason}"


@said.register
def _(event: LoadFit) -> Said:
    return Said(f"{event.service} {event.objective}: fitted on {event.fitted_on} points", QUIET)


@said.register
def _(event: Plan) -> Said:
    ident = event.incident.incident
    if not event.runbook:
        return Said(f"{ident} no plan: {event.reason}", WARN)
    return Said(f"{ident} {event.runbook} {event.hash[:SHORT]}: {event.reason}")


@said.register
def _(event: Decision) -> Said:
    rules = ", ".join(rule.id for rule in event.rules)
    return Said(
        f"{event.plan.incident.incident} {event.plan.runbook} {event.plan.hash[:SHORT]}"
        f" {event.effect}: {event.reason} [{rules}]",
        BY_EFFECT[event.effect],
    )


@said.register
def _(event: Approval) -> Said:
    comment = f": {event.comment}" if event.comment else ""
    return Said(
        f"{event.incident} {event.answer} {event.plan_hash[:SHORT]} by {event.by}"
        f" ({event.channel}){comment}"
    )


@said.register
def _(event: Approved) -> Said:
    plan, people = event.plan, ", ".join(event.approved_by)
    return Said(f"{plan.incident.incident} {plan.runbook} {plan.hash[:SHORT]} by {people}", GOOD)


@said.register
def _(event: Refusal) -> Said:
    return Said(f"{event.incident} {event.of} of {event.by} does not count: {event.reason}", BAD)


@said.register
def _(event: StepResult) -> Said:
    dry = " dry run" if event.dry_run else ""
    name = event.run if event.phase == "run" else f"{event.step + 1} {event.name} {event.phase}"
    return Said(
        f"{event.incident} {name}{dry} {event.status}: {event.detail}",
        BY_STATUS.get(event.status, ""),
    )


@said.register
def _(event: Rollback) -> Said:
    return Said(f"{event.incident} {event.token} by {event.by}: {event.reason}", WARN)


@said.register
def _(event: Verdict) -> Said:
    word = f"takes {event.undoes[:SHORT]} back" if event.says == "undo" else event.says
    why = f": {event.reason}" if event.reason else ""
    return Said(f"{event.incident} {word}, by {event.by} for {event.service}{why}")


@said.register
def _(event: Bar) -> Said:
    return Said(f"{event.incident} bar of {event.service}: {event.reason}")


@said.register
def _(event: Outcome) -> Said:
    proof = ", verified" if event.verified else ""
    return Said(
        f"{event.incident} {event.result}{proof}, by {event.by}: {event.reason}",
        BY_RESULT.get(event.result, BAD),
    )


@said.register
def _(event: Report) -> Said:
    cost = event.cost
    avoided = f", {cost.amount:.2f} {cost.currency} avoided" if cost.amount else ""
    return Said(f"{event.incident} {event.outcome}: {event.headline}{avoided}")


@said.register
def _(event: DeadLetter) -> Said:
    where = f"{event.topic}/{event.partition}/{event.offset}"
    return Said(f"{event.stage} {where} {event.rule}: {event.reason}", BAD)


@said.register
def _(event: IntakeReport) -> Said:
    refused = sum(one.elements for one in event.omissions if one.refused)
    left_out = sum(one.elements for one in event.omissions if not one.refused)
    read = sum(flow.records for flow in event.flows)
    said = f"{event.worker} read {read} records, refused {refused} elements, left out {left_out}"
    return Said(said, WARN if refused else QUIET)


@said.register
def _(event: Tick) -> Said:
    return Said(str(event.number), QUIET)
