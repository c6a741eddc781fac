"""A demo's events as Sentinel would have said them, told step by step by the tests' story."""

from datetime import timedelta
from typing import Any

from schemas.anomalies import Anomaly
from schemas.outcomes import Cost, Outcome, Report
from schemas.plans import Approved, Decision, Plan
from streams.demo.expected import Seen
from streams.demo.story import Story
from streams.demo.world import Change
from tests.story import START, Script

STEPS = ("scale-workers", "throttle-batch", "clear-queue")
CHANGES = [
    Change(f"2026-01-01T00:00:0{n}Z", "shop", action, "{}", applied=True)
    for n, action in enumerate(("scale", "throttle", "clear"))
]


class Play:
    """One demo: its script, what the shop logged, and what policy would say elsewhere."""

    def __init__(self) -> None:
        self.script = Script("checkout-1")
        self.story = Story(["checkout"])
        self.story.fault_at = START - timedelta(seconds=1)
        self.changes = list(CHANGES)
        self.elsewhere: Decision | None = None
        self._plan: Plan
        self._approved: Approved

    @property
    def seen(self) -> Seen:
        """All of it, as the demo goes by it."""
        self.story.events = list(self.script.said)
        return Seen(self.story, self.elsewhere, self.changes)

    def found(self, effect: str = "allow", **plan: Any) -> "Play":
        """From the first anomaly to policy's word, here and elsewhere."""
        anomaly = self.script.anomaly(0)
        incident = self.script.incident(1, anomaly)
        forecast = self.script.forecast(2, incident, self.script.budget(1.5))
        proposed = self.script.plan(3, forecast, environment="staging", **plan)
        step = proposed.steps[0]
        steps = tuple(step.model_copy(update={"name": name}) for name in STEPS)
        self._plan = proposed.model_copy(update={"steps": steps, "runbook": "relieve-queue"})
        self.script.said[-1] = self._plan
        decision = self.script.decision(4, self._plan, effect)
        other = "approve" if effect == "allow" else "allow"
        self.elsewhere = decision.model_copy(update={"effect": other})
        return self

    def approved(self, *people: str) -> "Play":
        """Approved by these people, or by policy."""
        decision = self.story_decision()
        approved = self.script.approved(5, decision)
        self._approved = approved.model_copy(update={"approved_by": people or ("policy",)})
        self.script.said[-1] = self._approved
        self.result(6, "run", "started")
        return self

    def story_decision(self) -> Decision:
        """Policy's word."""
        return next(event for event in self.script.said if isinstance(event, Decision))

    def result(self, seconds: float, phase: str, status: str, step: int = -1) -> "Play":
        """A step's or the run's event."""
        said = self.script.result(seconds, self._approved, phase, status)
        if step >= 0:
            self.script.said[-1] = said.model_copy(update={"step": step, "name": STEPS[step]})
        return self

    def stepped(self, *statuses: str) -> "Play":
        """Every step's end, in order."""
        for step, status in enumerate(statuses):
            self.result(7 + step, "precheck", "succeeded", step)
            self.result(7.5 + step, "do", status, step)
        return self

    def ended(self, result: str, *, verified: bool = False, told: bool = True) -> "Play":
        """The last word, and the report of it."""
        said: Outcome = self.script.outcome(20, result, None, verified=verified)
        if told:
            self.script.say(report(said))
        return self


def fixed() -> Play:
    """The whole story of a fix."""
    play = Play().found().approved().stepped("succeeded", "succeeded", "succeeded")
    return play.result(11, "run", "succeeded").ended("resolved", verified=True)


def rolled_back() -> Play:
    """The last step failed, the others were undone in reverse."""
    play = Play().found().approved().stepped("succeeded", "succeeded", "failed")
    play.result(11, "undo", "succeeded", 1).result(12, "undo", "succeeded", 0)
    return play.result(13, "run", "rolled_back").ended("rolled_back")


def rehearsed() -> Play:
    """A dry run."""
    play = Play().found(dry_run=True).approved().stepped("skipped", "skipped", "skipped")
    play.changes = []
    return play.result(11, "run", "succeeded").ended("dry_run")


def approved_by(name: str) -> Play:
    """A fix that waited for a person."""
    play = Play().found("approve").approved(name).stepped("succeeded", "succeeded", "succeeded")
    return play.result(11, "run", "succeeded").ended("resolved", verified=True)


def quiet() -> Play:
    """Nothing but a weak anomaly."""
    play = Play()
    play.story.fault_at = None
    play.script.anomaly(0)
    play.changes = []
    return play


def report(outcome: Outcome) -> Report:
    """The explained outcome."""
    return Report(
        at=outcome.at, group=outcome.group, incident=outcome.incident, outcome=outcome.result,
        headline="checkout: fixed", story="## What happened\n\nIt broke.", facts=(),
        cost=Cost(amount=120.5, low=10, high=900, currency="EUR", formula="a * b", reason="fixed"),
        records=(), bundle='{"events": []}', bundle_sha256="00",
    )  # fmt: skip


def anomalies(play: Play) -> list[Anomaly]:
    """Its anomalies."""
    return [event for event in play.script.said if isinstance(event, Anomaly)]
