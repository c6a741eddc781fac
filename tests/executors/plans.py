"""Plans of any number of steps against a target that counts, and the events around them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.event import Severity, derive
from schemas.forecasts import BudgetForecast
from schemas.incidents import Incident, Signal
from schemas.plans import (
    Action,
    Approved,
    Check,
    Constraint,
    Decision,
    Plan,
    Rule,
    Step,
    Verification,
    plan_hash,
)

START = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
GROUP = "checkout-group"
INCIDENT = "inc-0123456789"


def at(seconds: float) -> datetime:
    """So many seconds into the test."""
    return START + timedelta(seconds=seconds)


def signal(**changes: Any) -> Signal:
    """One anomaly of the incident."""
    values: dict[str, Any] = {
        "anomaly": "a1",
        "source": "metric",
        "kind": "level shift",
        "service": "checkout",
        "series": "queue_depth",
        "direction": "up",
        "severity": Severity.high,
        "score": 7.0,
        "value": 90.0,
        "low": 0.0,
        "high": 10.0,
        "since": START,
        "reason": "queue_depth is 90, expected 0 to 10",
        "record": "r1",
        **changes,
    }
    return Signal(**values)


def incident(seconds: float = 0, **changes: Any) -> Incident:
    """The incident as it stands."""
    values: dict[str, Any] = {
        "id": derive("incident", str(seconds), repr(sorted(changes))),
        "at": at(seconds),
        "group": GROUP,
        "incident": INCIDENT,
        "change": "opened",
        "status": "open",
        "title": "checkout: the queue grows",
        "service": "checkout",
        "services": ("checkout",),
        "severity": Severity.high,
        "opened_at": START,
        "signals": (signal(),),
        "reason": "the queue grows",
        **changes,
    }
    return Incident(**values)


def step(number: int, **changes: Any) -> Step:
    """Set the dial of this number to 10, and back to what it was."""
    dial = f"dial{number}"
    read = Action.of("fake", {"target": dial})
    values: dict[str, Any] = {
        "name": f"turn {dial}",
        "summary": f"set {dial} to 10",
        "precheck": Check(action=read, expect="value < 100"),
        "observe": read,
        "do": Action.of("fake", {"target": dial, "value": 10}),
        "undo": Action.of("fake", {"target": dial, "value": "{{before.value}}"}),
        "timeout_s": 5,
        **changes,
    }
    return Step(**values)


def plan(*steps: Step, **changes: Any) -> Plan:
    """A plan of these steps, hashed."""
    values: dict[str, Any] = {
        "id": "plan-1",
        "at": at(0),
        "group": GROUP,
        "incident": incident(),
        "budget": BudgetForecast(
            objective="", verdict="not enough data", reason="new", left=1.0, burn=0.0,
            exhausts=0.0, horizon_minutes=240,
        ),
        "runbook": "turn-dials",
        "environment": "production",
        "dry_run": False,
        "requested_by": "sentinel",
        "steps": steps or (step(0),),
        "verification": Verification(within_s=300, stable_s=60),
        "reason": "fits",
        **changes,
    }  # fmt: skip
    made = Plan(**values)
    return made.model_copy(update={"hash": plan_hash(made)})


def decision(proposed: Plan, effect: str = "approve", **changes: Any) -> Decision:
    """What policy said of a plan."""
    values: dict[str, Any] = {
        "id": derive("decision", proposed.id, proposed.hash),
        "at": at(1),
        "group": GROUP,
        "plan": proposed,
        "effect": effect,
        "rules": (Rule(id="r", effect="approve", reason="risk"),),
        "engine": "test",
        "reason": "because",
        **changes,
    }
    return Decision(**values)


def approved(proposed: Plan, *constraints: tuple[str, str], ident: str = "grant-1") -> Approved:
    """A plan that may run."""
    return Approved(
        id=derive(ident),
        at=at(2),
        group=GROUP,
        plan=proposed,
        decision="d1",
        rules=(),
        constraints=tuple(Constraint(name=name, value=value) for name, value in constraints),
        approved_by=("policy",),
    )
