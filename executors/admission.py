"""Whether an approved plan may start, asked before anything is looked at or changed."""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from executors.before import asks_before
from executors.executor import Executor, decode
from runbooks.checks import parse
from schemas.errors import Denied, Rejected
from schemas.plans import Action, Approved, Constraint, Step, plan_hash


class Terms(NamedTuple):
    """What the constraints leave."""

    dry_run: bool
    step_timeout_s: float | None


def admit(approved: Approved, executors: Mapping[str, Executor], now: datetime) -> Terms:
    """The terms on which the plan may run now. Raises Denied or Rejected with the reason."""
    plan = approved.plan
    if plan.hash != plan_hash(plan):
        raise Denied("the plan is not the one that was approved: its hash differs")
    if not plan.steps:
        raise Rejected("the plan has no steps")
    terms = _terms(approved.constraints, now)
    for number, step in enumerate(plan.steps, start=1):
        try:
            _admit_step(step, executors)
        except (Denied, Rejected) as error:
            raise type(error)(f"step {number}, {step.name}: {error}") from error
    return Terms(terms.dry_run or plan.dry_run, terms.step_timeout_s)


def _terms(constraints: tuple[Constraint, ...], now: datetime) -> Terms:
    """Raises Denied for a constraint that is broken, or not known: it cannot be kept."""
    dry_run, timeout = False, None
    for constraint in constraints:
        match constraint.name, constraint.value:
            case "not_after", value:
                if now > _time(value):
                    raise Denied(f"the plan had to start by {value}")
            case "dry_run", "true" | "false" as value:
                dry_run = dry_run or value == "true"
            case "step_timeout_s", value:
                seconds = _seconds(value)
                timeout = seconds if timeout is None else min(timeout, seconds)
            case "dry_run", value:
                raise Denied(f"the constraint dry_run={value!r:.60} is neither true nor false")
            case name, _:
                raise Denied(f"unknown constraint {name!r:.60}: it cannot be kept")
    return Terms(dry_run, timeout)


def _time(value: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise Denied(f"the constraint not_after={value!r:.60} is no ISO time") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError as error:
        raise Denied(f"the constraint step_timeout_s={value!r:.60} is no number") from error
    if not (math.isfinite(seconds) and seconds > 0):
        raise Denied(f"the constraint step_timeout_s={value} is no time")
    return seconds


def _admit_step(step: Step, executors: Mapping[str, Executor]) -> None:
    for action, changes in _calls(step):
        executor = executors.get(action.executor)
        if executor is None:
            known = ", ".join(sorted(executors)) or "none"
            raise Denied(f"no executor {action.executor!r:.60} is configured; there are: {known}")
        executor.check(decode(action.arguments), changes=changes)
    if step.precheck is not None:
        parse(step.precheck.expect)
    if step.undo is None:
        if not step.irreversible:
            raise Rejected("it has no undo, and does not say why")
    elif asks_before(step.undo.arguments):
        if step.observe is None:
            raise Rejected("the undo needs the state before, and the step does not observe it")
        if step.undo.executor not in executors:
            raise Denied(f"no executor {step.undo.executor!r:.60} is configured for the undo")


def _calls(step: Step) -> Iterator[tuple[Action, bool]]:
    """What is known in full already: an undo may wait for the state before."""
    if step.precheck is not None:
        yield step.precheck.action, False
    if step.observe is not None:
        yield step.observe, False
    yield step.do, True
    if step.undo is not None and not asks_before(step.undo.arguments):
        yield step.undo, True
