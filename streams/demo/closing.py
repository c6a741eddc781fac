"""The end of the demo on the screen: the whole story once more, in order and in numbers."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.incidents import Incident
from schemas.outcomes import Report
from schemas.plans import Approved, Decision
from streams.commands.terminal import safe
from streams.demo.charts import chart
from streams.demo.expected import Seen
from streams.demo.site import TARGET
from streams.demo.story import P95, Story
from streams.demo.summary import Summary
from streams.demo.telling import minutes

if TYPE_CHECKING:
    from schemas.event import Event

BEFORE_S = 15.0  # of normal load in the charts
GOOD = {"resolved", "dry_run", "quiet"}
STATUS = {"succeeded": "green", "failed": "bold red", "undone": "yellow", "skipped": "cyan"}


def close(console: Console, seen: Seen, summary: Summary, written: Sequence[Path]) -> None:
    """Print it."""
    story = seen.story
    if story.fault_at is not None:
        console.print(_timeline(story, story.fault_at))
        _charts(console, story, summary, story.fault_at)
    for table in (_steps(seen), _verdicts(seen)):
        if table.row_count:
            console.print(table)
    for line in (*_forecast(story, summary), *_cost(story.report)):
        console.print(safe(line), soft_wrap=True)
    style = "bold green" if summary.outcome in GOOD else "bold red"
    console.print(Text(f"\nOutcome: {summary.outcome}", style))
    for reason in summary.missing:
        console.print(safe(Text(f"Not as it should be: {reason}", "bold red")), soft_wrap=True)
    if not summary.missing:
        console.print(f"Everything that {summary.mode.value} promises was seen.")
    console.print("Files: " + ", ".join(map(str, written)), soft_wrap=True)


def _timeline(story: Story, fault: datetime) -> Table:
    table = Table(title="Timeline", title_justify="left", show_edge=False, title_style="bold")
    table.add_column("after the fault", justify="right")
    table.add_column("what")
    for at, what, text in sorted(_moments(story, fault), key=lambda moment: moment[0]):
        seconds = f"{(at - fault).total_seconds():.1f} s"
        table.add_row(seconds, safe(Text.assemble((f"{what}  ", "bold"), text)))
    return table


def _moments(story: Story, fault: datetime) -> Iterator[tuple[datetime, str, str]]:
    """What a person would tell of it: when, what, more."""
    yield fault, "fault", "the batch job starts to flood the queue"
    anomaly = next((alarm for alarm in story.alarms if alarm.since >= fault), None)
    if anomaly:
        yield anomaly.at, "first anomaly", anomaly.reason
    named: tuple[tuple[str, Event | None, str], ...] = (
        ("incident opened", story.opened, story.opened.title if story.opened else ""),
        ("forecast", story.forecast, minutes(story.forecast.budget) if story.forecast else ""),
        ("plan", story.plan, story.plan.runbook if story.plan else ""),
        ("policy", story.decision, story.decision.effect if story.decision else ""),
        ("approved", approved := story.first(Approved), _by(approved)),
        ("last change", story.last_change, story.last_change.name if story.last_change else ""),
        ("run ended", story.run_end, story.run_end.status if story.run_end else ""),
        ("signals clear", _quiet(story), ""),
        ("outcome", story.outcome, story.outcome.reason if story.outcome else ""),
    )
    for what, event, text in named:
        if event is not None:
            yield event.at, what, text


def _by(approved: Approved | None) -> str:
    return f"by {', '.join(approved.approved_by)}" if approved else ""


def _quiet(story: Story) -> Incident | None:
    """When the signals cleared for the last time."""
    said = [incident for incident in story.of(Incident) if incident.change == "quiet"]
    return said[-1] if said else None


def _charts(console: Console, story: Story, summary: Summary, fault: datetime) -> None:
    moments = {
        "fault": fault,
        "found": summary.detected_at,
        "cured": summary.executed_at,
        "verified": summary.recovered_at,
    }
    marks = {name: at.timestamp() for name, at in moments.items() if at is not None}
    lines = (("p95 of checkout (s)", story.lines[P95]), ("budget left", story.budget_left))
    start = fault.timestamp() - BEFORE_S
    for title, line in lines:
        points = [point for point in line if point.at >= start]
        if points:
            text = chart(
                title, points,
                zero=fault.timestamp(), marks=marks, width=console.width,
                colours=console.color_system is not None,
            )  # fmt: skip
            console.print(Text.from_ansi(text))


def _steps(seen: Seen) -> Table:
    table = Table(title="Steps", title_justify="left", show_edge=False, title_style="bold")
    for name in ("step", "ended", "detail"):
        table.add_column(name)
    for step in seen.story.steps:
        status = Text(step.status, STATUS.get(step.status, ""))
        table.add_row(safe(step.name), status, safe(step.detail))
    for change in seen.changes:
        how = Text("applied" if change.applied else "failed", "dim")
        said = f"{change.component}: {change.action} {change.arguments} at {change.at}"
        table.add_row(Text("shop's own log", "dim"), how, safe(Text(said, "dim")))
    return table


def _verdicts(seen: Seen) -> Table:
    table = Table(title="Policy", title_justify="left", show_edge=False, title_style="bold")
    for name in ("environment", "verdict", "rule", "reason"):
        table.add_column(name)
    for decision in (seen.story.decision, seen.elsewhere):
        if decision is not None:
            for row in _rules(decision):
                table.add_row(*map(safe, row))
    return table


def _rules(decision: Decision) -> Iterator[tuple[str, str, str, str]]:
    for number, rule in enumerate(decision.rules):
        place = ("", "") if number else (decision.plan.environment, str(decision.effect))
        yield (*place, rule.id, rule.reason)


def _forecast(story: Story, summary: Summary) -> Iterator[str]:
    """What was expected, by the first forecast that gave minutes, and what came of it."""
    if story.forecast is None:
        return
    yield f"\nForecast: {minutes(story.forecast.budget)}."
    points = story.budget_left
    if points and summary.detected_at is not None:
        at = summary.detected_at.timestamp()
        before = [point.value for point in points if point.at <= at]
        then = before[-1] if before else points[0].value
        end = f"{points[-1].value:.1%} of it {points[-1].at - at:.0f} s later"
        yield f"What happened: {then:.1%} of the {TARGET:.0%} objective's budget was left, {end}."


def _cost(report: Report | None) -> Iterator[str]:
    if report is not None:
        cost = report.cost
        about = f"{cost.amount:,.2f} {cost.currency} ({cost.low:,.2f} to {cost.high:,.2f})"
        yield f"Cost avoided: {about} = {cost.formula}. {cost.reason}"
