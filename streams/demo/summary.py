"""What the demo leaves: summary.json and, of an incident, its report in three forms."""

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from schemas.anomalies import Anomaly
from schemas.event import Event
from schemas.plans import Decision
from sinks.charts import charts_of
from sinks.report import render_html, render_markdown
from streams.demo.expected import Seen, missing, outcome
from streams.demo.mode import Mode
from streams.demo.story import P95, Point, Story

FILES = ("summary.json", "report.md", "report.html", "bundle.json")


class Step(BaseModel):
    """One step of the plan and how it ended."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: str


class Verdict(BaseModel):
    """What policy said of the plan for one environment."""

    model_config = ConfigDict(frozen=True)

    environment: str
    effect: str
    rules: tuple[str, ...]


class Summary(BaseModel):
    """summary.json; times are ISO 8601 in UTC, null for what did not happen."""

    model_config = ConfigDict(frozen=True)

    mode: Mode
    outcome: str = Field(description="resolved, escalated, dry_run, quiet; open if it never ended")
    fault_at: datetime | None
    detected_at: datetime | None = Field(description="the first incident was opened")
    planned_at: datetime | None
    executed_at: datetime | None = Field(description="the last step that changed something")
    recovered_at: datetime | None = Field(description="the outcome `resolved`")
    rolled_back: bool
    steps: tuple[Step, ...]
    incidents: int
    anomalies: int = Field(description="opened by metrics, logs and rules, in the whole run")
    budget_minutes_left: float | None = Field(
        description="median of the first forecast that gave minutes, which may follow the fix"
    )
    budget_minutes_low: float | None = Field(description="5 % of the paths are sooner")
    budget_minutes_high: float | None = Field(description="5 % of the paths are later")
    cost_avoided: float | None
    currency: str | None
    policy: tuple[Verdict, ...]
    missing: tuple[str, ...] = Field(description="what was promised and not seen; exit status 1")
    p95_seconds: tuple[Point, ...] = Field(description="[epoch s, s]")
    budget_left: tuple[Point, ...] = Field(description="[epoch s, ratio]")


def summarise(mode: Mode, seen: Seen) -> Summary:
    """The summary of what was seen."""
    story = seen.story
    last, forecast, report = story.outcome, story.forecast, story.report
    eta = forecast.budget.minutes if forecast else None
    return Summary(
        mode=mode,
        outcome=outcome(story),
        fault_at=story.fault_at,
        detected_at=_at(story.opened),
        planned_at=_at(story.plan),
        executed_at=_at(story.last_change),
        recovered_at=_at(last) if last and last.result == "resolved" else None,
        rolled_back=story.rolled_back,
        steps=tuple(Step(name=step.name, status=step.status) for step in story.steps),
        incidents=len(story.incidents),
        anomalies=story.anomalies,
        budget_minutes_left=eta.p50 if eta else None,
        budget_minutes_low=eta.p05 if eta else None,
        budget_minutes_high=eta.p95 if eta else None,
        cost_avoided=report.cost.amount if report else None,
        currency=report.cost.currency if report else None,
        policy=tuple(_verdict(d) for d in (story.decision, seen.elsewhere) if d),
        missing=tuple(missing(mode, seen)),
        p95_seconds=tuple(story.lines[P95]),
        budget_left=tuple(story.budget_left),
    )


def clear(folder: Path) -> None:
    """Make the folder and remove what an earlier demo left: nobody is to read an old story."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def write(folder: Path, summary: Summary, story: Story) -> list[Path]:
    """Write the files that there is something for; their paths."""
    texts = {"summary.json": summary.model_dump_json(indent=1)}
    report = story.report
    if report is not None:
        texts |= {
            "report.md": render_markdown(report),
            "report.html": render_html(report, charts_of(sorted(story.events, key=_felt))),
            "bundle.json": report.bundle,
        }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _felt(event: Event) -> bool:
    """Sorts what customers feel before the rest: a page has room for few charts of signals."""
    return not (isinstance(event, Anomaly) and event.series.startswith(P95))


def _at(event: Any) -> datetime | None:
    return event.at if event is not None else None


def _verdict(decision: Decision) -> Verdict:
    return Verdict(
        environment=decision.plan.environment,
        effect=decision.effect,
        rules=tuple(rule.id for rule in decision.rules),
    )
