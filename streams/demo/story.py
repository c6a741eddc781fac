"""What happened, as the topics told it: the events of one demo, and what follows from them.

Nothing is known here that was not read from a topic, apart from when the fault was made.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from schemas.anomalies import Anomaly
from schemas.budgets import Budget
from schemas.event import Event
from schemas.forecasts import Forecast
from schemas.frames import Samples, parsed
from schemas.incidents import Incident
from schemas.operations import DeadLetter
from schemas.outcomes import Outcome, Report
from schemas.plans import Approved, Decision, Plan
from schemas.results import StepResult

if TYPE_CHECKING:
    from datetime import datetime

P95 = "checkout_latency_p95_seconds"
ERRORS = "checkout_error_ratio"
DEPTH = "shop_queue_depth"
DRAWN = frozenset({P95, ERRORS, DEPTH})

E = TypeVar("E", bound=Event)


class Point(NamedTuple):
    """A value of a chart's line; `at` in epoch seconds."""

    at: float
    value: float


class StepEnd(NamedTuple):
    """How one step of the run ended, and what it said."""

    name: str
    status: str
    detail: str


class Story:
    """Everything that was read, in order, and the turns that it took."""

    def __init__(self, services: Iterable[str]) -> None:
        self.events: list[Event] = []
        self.lines: dict[str, list[Point]] = {name: [] for name in sorted(DRAWN)}
        self.fault_at: datetime | None = None
        self._counts: dict[str, dict[str, int]] = {service: {} for service in services}

    # ---- reading

    def hear(self, event: Event) -> None:
        """One control event."""
        self.events.append(event)

    def sample(self, samples: Samples) -> None:
        """One frame: count each series, keep what is drawn."""
        for index, code in enumerate(samples.code.tolist()):
            metric, labels = parsed(samples.names[code])
            counts = self._counts.get(labels.get("service", ""))
            if counts is None:
                continue
            counts[samples.names[code]] = counts.get(samples.names[code], 0) + 1
            value = float(samples.value[index])
            if metric in DRAWN and math.isfinite(value):
                self.lines[metric].append(Point(float(samples.at[index]) / 1000, value))

    @property
    def learned(self) -> int:
        """Samples of the longest series of the service that has sent least."""
        return min(max(counts.values(), default=0) for counts in self._counts.values())

    @property
    def series(self) -> int:
        """How many series were seen."""
        return sum(len(counts) for counts in self._counts.values())

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def first(self, kind: type[E]) -> E | None:
        """The first event of a kind."""
        return next((event for event in self.events if isinstance(event, kind)), None)

    # ---- turns

    @property
    def budget_left(self) -> list[Point]:
        """The budget that was left, ratio, at the end of each bucket."""
        return [Point(budget.at.timestamp(), budget.left) for budget in self.of(Budget)]

    @property
    def alarms(self) -> list[Anomaly]:
        """What was said to be abnormal, and of its end; weak evidence alone says nothing."""
        return [anomaly for anomaly in self.of(Anomaly) if anomaly.change != "weak"]

    @property
    def anomalies(self) -> int:
        """How many opened; a burning budget is not one of them."""
        opened = (alarm for alarm in self.alarms if alarm.change == "opened")
        return len({alarm.anomaly for alarm in opened if alarm.source != "slo"})

    @property
    def incidents(self) -> list[str]:
        """Distinct incidents, in order."""
        return list(dict.fromkeys(incident.incident for incident in self.of(Incident)))

    @property
    def opened(self) -> Incident | None:
        """The first incident as it was opened."""
        return self.first(Incident)

    @property
    def forecast(self) -> Forecast | None:
        """The first forecast that gave minutes; else the first at all."""
        said = self.of(Forecast)
        timed = (forecast for forecast in said if forecast.budget.minutes)
        return next(timed, said[0] if said else None)

    @property
    def plan(self) -> Plan | None:
        """The first plan that proposes something."""
        return next((plan for plan in self.of(Plan) if plan.runbook), None)

    @property
    def decision(self) -> Decision | None:
        """Policy's first word."""
        return self.first(Decision)

    @property
    def approved(self) -> Approved | None:
        """The first approval of a plan, by policy or people."""
        return self.first(Approved)

    @property
    def outcome(self) -> Outcome | None:
        """The outcome after which nothing more is coming; the latest one until then."""
        said = self.of(Outcome)
        return next((one for one in said if one.final), said[-1] if said else None)

    @property
    def report(self) -> Report | None:
        """The latest report."""
        said = self.of(Report)
        return said[-1] if said else None

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """What no stage could handle."""
        return self.of(DeadLetter)

    @property
    def run_end(self) -> StepResult | None:
        """How the run ended: succeeded, rolled back, or neither."""
        ends = [r for r in self.of(StepResult) if r.phase == "run" and r.status != "started"]
        return ends[-1] if ends else None

    @property
    def rolled_back(self) -> bool:
        """Whether a run was taken back completely."""
        return any(r.phase == "run" and r.status == "rolled_back" for r in self.of(StepResult))

    @property
    def last_change(self) -> StepResult | None:
        """The last step that changed the world."""
        changed = [
            result
            for result in self.of(StepResult)
            if result.phase == "do" and result.status == "succeeded" and not result.dry_run
        ]
        return changed[-1] if changed else None

    @property
    def steps(self) -> list[StepEnd]:
        """The plan's steps with the end that each came to; undone ones say so."""
        planned = self.plan.steps if self.plan else ()
        ends = {step.name: StepEnd(step.name, "not reached", "") for step in planned}
        for result in self.of(StepResult):
            end = _end(result)
            if result.step >= 0 and end:
                ends[result.name] = StepEnd(result.name, end, result.detail)
        return list(ends.values())

    @property
    def undone(self) -> list[str]:
        """Steps that were taken back, in that order."""
        return [
            result.name
            for result in self.of(StepResult)
            if result.phase == "undo" and result.status == "succeeded"
        ]


def _end(result: StepResult) -> str:
    """What a step's event says of how it ended; empty while it is under way."""
    match result.phase, result.status:
        case "precheck", "failed":
            return "refused"
        case "do", ("succeeded" | "failed" | "skipped") as status:
            return status
        case "undo", "succeeded":
            return "undone"
        case "undo", "failed":
            return "undo failed"
    return ""
