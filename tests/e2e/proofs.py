"""What must be true of an incident when it is over, whatever was killed on its way."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from agents.detect import Detect
from agents.slo import Slo
from schemas.anomalies import Anomaly
from schemas.budgets import Budget
from schemas.event import Event
from schemas.forecasts import Forecast
from schemas.frames import read_samples
from schemas.incidents import Incident
from schemas.operations import DeadLetter
from schemas.outcomes import Outcome, Report
from schemas.plans import Approved, Decision, Plan, Refusal
from schemas.results import StepResult
from schemas.topics import BY_EVENT, SAMPLES
from sinks.audit import verify
from streams import parts
from streams.connection import KafkaSettings
from streams.pipeline import RECORD
from streams.settings import Settings
from tests.e2e.events import Counted, Shop
from tests.e2e.site import RUNBOOK
from tests.e2e.target import STEPS, Effect, Target
from tests.e2e.witness import Witness
from tests.streams.kafka_world import records

KEPT: tuple[type[Event], ...] = tuple(kind for kind, topic in BY_EVENT.items() if topic in RECORD)
STEP = [("precheck", "started"), ("precheck", "succeeded"), ("do", "started"), ("do", "succeeded")]


class Kept:
    """What the sinks of a pipeline kept, read past their own code."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stored(self, group: str) -> set[str]:
        """Ids in the database's events of a group; an id can be there once only."""
        return {row[0] for row in self._rows('SELECT id FROM events WHERE "group" = ?', group)}

    def status(self, incident: str) -> str:
        """The incident's status as the database shows it."""
        found = self._rows("SELECT status FROM incidents WHERE incident = ?", incident)
        return found[0][0] if found else ""

    def audited(self) -> list[tuple[int, str]]:
        """Numbers and event ids of the audit, in order."""
        return self._rows("SELECT number, event FROM audit ORDER BY number")

    def require_whole_audit(self) -> None:
        """The chain verifies, its numbers have no gap, and no event is in it twice."""
        url = f"sqlite:///{self._folder / 'sentinel.db'}"
        verdict = verify(url, self._folder / "audit.checkpoint", b"of this test")
        assert verdict.ok, verdict
        records = self.audited()
        assert [number for number, _ in records] == list(range(1, len(records) + 1))
        assert [ident for ident, times in Counter(e for _, e in records).items() if times > 1] == []

    def _rows(self, query: str, *values: str) -> list[Any]:
        path = self._folder / "sentinel.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as database:
            try:
                return database.execute(query, values).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise


def over(witness: Witness, shop: Shop) -> bool:
    """Whether the shop's incident is resolved and has a report on that."""
    told = any(report.outcome == "resolved" for report in witness.said(Report, shop.group))
    return told and any(i.status == "resolved" for i in witness.said(Incident, shop.group))


def progress(witness: Witness, shop: Shop) -> str:
    """How far the shop's incident has come, for an error message."""
    told = {
        topic.name: [_word(event) for event in witness.said(kind, shop.group)][-6:]
        for kind, topic in BY_EVENT.items()
    }
    lines = [f"  {name}: {', '.join(words)}" for name, words in told.items() if words]
    return "\n".join([f"{shop.name} {shop.phase} at second {shop.length}:", *lines])


def _word(event: Event) -> str:
    names = ("change", "status", "result", "runbook", "effect", "phase", "step", "outcome")
    return "/".join(str(getattr(event, name)) for name in names if hasattr(event, name)) or "."


def require_resolved_once(witness: Witness, shop: Shop) -> None:
    """One incident with one life, one plan, one grant, one run, one end."""
    group = shop.group
    incidents = witness.said(Incident, group)
    assert len({incident.incident for incident in incidents}) == 1
    changes = Counter(incident.change for incident in incidents)
    assert (changes["opened"], changes["quiet"], changes["resolved"]) == (1, 1, 1), changes
    assert changes["escalated"] == changes["noisy"] == 0, changes
    plans = [plan for plan in witness.said(Plan, group) if plan.runbook]
    assert [plan.runbook for plan in plans] == [RUNBOOK]
    assert [decision.effect for decision in witness.said(Decision, group)] == ["allow"]
    assert [grant.plan.hash for grant in witness.said(Approved, group)] == [plans[0].hash]
    assert len(witness.said(Forecast, group)) >= 1
    assert witness.said(Refusal, group) == []
    ends = witness.said(Outcome, group)
    assert [(end.result, end.verified, end.final) for end in ends] == [("resolved", True, True)]
    assert [report.outcome for report in witness.said(Report, group)] == ["resolved"]


def require_each_step_once(witness: Witness, target: Target, shop: Shop) -> None:
    """Each step took effect once, under one key, in order; and that is what was told."""
    effects = target.of(shop.service)
    assert effects == [
        Effect(service=shop.service, step=step, on=True, key=effect.key)
        for step, effect in zip(STEPS, effects, strict=True)
    ]
    assert len({effect.key for effect in effects}) == len(STEPS)
    results = witness.said(StepResult, shop.group)
    assert len({result.run for result in results}) == 1
    told = Counter((result.step, result.phase, result.status) for result in results)
    steps = Counter((n, phase, status) for n in range(len(STEPS)) for phase, status in STEP)
    assert told == steps + Counter({(-1, "run", "started"): 1, (-1, "run", "succeeded"): 1})
    assert not any(result.unknown for result in results)


def require_every_request_counted(witness: Witness, shop: Shop) -> None:
    """Every closed bucket holds exactly what was fed in its time, none is missing or twice."""
    budgets = witness.said(Budget, shop.group)
    numbers = [round(budget.bucket_start.timestamp()) for budget in budgets]
    assert numbers == list(range(numbers[0], numbers[-1] + 1, numbers[1] - numbers[0]))
    fed = shop.counted()
    assert numbers[0] == min(fed)
    assert numbers[-1] > shop.start + max(shop.broken)
    counted = {
        at: Counted(budget.total, budget.bad) for at, budget in zip(numbers, budgets, strict=True)
    }
    assert counted == {at: fed[at] for at in numbers}


def require_whole_lives(witness: Witness, shop: Shop) -> None:
    """Each anomaly opened once and cleared once; an incident's signals have all recovered."""
    lives: dict[str, Counter[str]] = {}
    for anomaly in witness.said(Anomaly, shop.group):
        if anomaly.change != "weak":  # a hint has no life
            lives.setdefault(anomaly.anomaly, Counter())[anomaly.change] += 1
    assert {(life["opened"], life["cleared"]) for life in lives.values()} == {(1, 1)}, lives
    (resolved,) = [i for i in witness.said(Incident, shop.group) if i.change == "resolved"]
    assert {s.source for s in resolved.signals} == {"metric", "slo"}
    assert {s.ending for s in resolved.signals} == {"recovered"}


def require_causes(witness: Witness, shop: Shop) -> None:
    """Whatever was said came from something that is on record: nothing in between was lost."""
    known = witness.ids()
    orphans = [
        f"{event.SUBJECT} {event.id} from {event.cause}"
        for kind in KEPT
        for event in witness.said(kind, shop.group)
        if event.cause not in known and not event.cause.startswith("samples/")
    ]
    assert orphans == []


def require_kept(witness: Witness, kept: Kept, shop: Shop) -> None:
    """Database and audit hold every event that was said, and nothing else."""
    (incident,) = {incident.incident for incident in witness.said(Incident, shop.group)}

    def all_kept() -> bool:
        said = witness.ids(*KEPT, group=shop.group)
        audited = {event for _, event in kept.audited()}
        return said == kept.stored(shop.group) and said <= audited

    witness.wait(all_kept, 120, f"{shop.name}: every event in database and audit")
    assert kept.status(incident) == "resolved"


def require_as_never_killed(witness: Witness, kafka: KafkaSettings, settings: Settings) -> None:
    """Detect and SLO said exactly what they say of the same frames when nobody kills them."""
    groups = parts.groups(settings)
    detect = Detect(settings.detect, groups)
    slo = Slo(parts.objectives(settings), groups)
    expected: set[str] = set()
    for message in records(kafka, SAMPLES):
        frame, place = read_samples(message.value()), (message.partition(), message.offset())
        said = (*detect.feed(frame, *place), *slo.feed(frame, *place))
        expected |= {event.id for event in said if _lasting(event)}

    def as_expected() -> bool:
        said = (*witness.said(Anomaly), *witness.said(Budget))
        return {event.id for event in said if _lasting(event)} == expected

    witness.wait(as_expected, 120, "what an unkilled worker says")


def _lasting(event: Event) -> bool:
    """Whether it is more than weak evidence, which a restart may forget."""
    return getattr(event, "change", "") != "weak"


def require_no_letters(witness: Witness) -> None:
    """Nothing went to the dead letters."""
    assert [(e.stage, e.topic, e.reason) for e in witness.said(DeadLetter)] == []
