"""What each mode promises to show, and what of it was missing.

A demo that prints a story and exits 0 whatever happened proves nothing. Here every mode says
what must have been on the topics and in the shop's own log; what was not is why it exits 1.
"""

from collections.abc import Callable
from typing import NamedTuple

from schemas.outcomes import Report
from schemas.plans import Approved, Decision
from streams.demo.mode import Mode
from streams.demo.site import APPROVER, RUNBOOK
from streams.demo.story import Story
from streams.demo.world import Change

CURE = ["scale", "throttle", "clear"]  # the runbook's three changes, by the shop's names
PERMITTED = {"allow", "constrain"}


class Seen(NamedTuple):
    """All that the demo goes by: the topics, the other environment's verdict, the shop's log."""

    story: Story
    elsewhere: Decision | None
    changes: list[Change]


Check = Callable[[Seen], str]
"""Empty when it was so; else what was missing, in one line."""


def outcome(story: Story) -> str:
    """`resolved`, `escalated`, `dry_run`, `quiet` without an incident, `open` until it ends."""
    if not story.incidents:
        return "quiet"
    said = story.outcome
    if said is None or not said.final:
        return "open"
    return said.result if said.result in {"resolved", "dry_run"} else "escalated"


def over(mode: Mode, story: Story) -> bool:
    """Whether nothing more is coming: the last word was said, and explained."""
    last, forecast = story.outcome, story.forecast
    if mode is Mode.no_fault or last is None or not last.final:
        return False
    if forecast is None or forecast.budget.minutes is None:
        return False  # where nothing was changed the budget goes on burning: worth waiting for
    return any(report.outcome == last.result for report in story.of(Report))


def missing(mode: Mode, seen: Seen) -> list[str]:
    """What the mode promised and was not seen, one line each; empty for the expected story."""
    return [reason for check in PROMISES[mode] if (reason := check(seen))]


# ---- checks


def _one_incident(seen: Seen) -> str:
    count = len(seen.story.incidents)
    return "" if count == 1 else f"{count} incidents were opened, not one"


def _after_the_fault(seen: Seen) -> str:
    opened, fault = seen.story.opened, seen.story.fault_at
    if opened is None or fault is None or opened.opened_at >= fault:
        return ""
    return f"an incident was open before the fault: {opened.title}"


def _detected(seen: Seen) -> str:
    found = any(alarm.source == "metric" for alarm in seen.story.alarms)
    return "" if found else "no metric was found to be abnormal"


def _forecast(seen: Seen) -> str:
    said = seen.story.forecast
    if said is None:
        return "no forecast came"
    return "" if said.budget.minutes else f"no forecast gave minutes: {said.budget.reason}"


def _planned(seen: Seen) -> str:
    plan = seen.story.plan
    if plan is None:
        return "no plan came"
    return "" if plan.runbook == RUNBOOK else f"the plan is {plan.runbook}, not {RUNBOOK}"


def _decided(*effects: str) -> Check:
    def check(seen: Seen) -> str:
        said = seen.story.decision
        if said is None:
            return "policy said nothing"
        where = said.plan.environment
        return "" if said.effect in effects else f"policy said {said.effect} in {where}"

    return check


def _elsewhere(*effects: str) -> Check:
    def check(seen: Seen) -> str:
        said = seen.elsewhere
        if said is None:
            return "there was no plan to judge for the other environment"
        where = said.plan.environment
        return "" if said.effect in effects else f"policy would say {said.effect} in {where}"

    return check


def _approved_by(name: str) -> Check:
    def check(seen: Seen) -> str:
        said = seen.story.first(Approved)
        if said is None:
            return "the plan was not approved"
        by = ", ".join(said.approved_by)
        return "" if name in said.approved_by else f"the plan was approved by {by}, not {name}"

    return check


def _steps(*statuses: str) -> Check:
    def check(seen: Seen) -> str:
        ends = [step.status for step in seen.story.steps]
        if ends == list(statuses):
            return ""
        return f"the steps ended {', '.join(ends) or 'never'}, not {', '.join(statuses)}"

    return check


def _applied(seen: Seen) -> str:
    made = [change.action for change in seen.changes if change.applied]
    return "" if made == CURE else f"the shop was changed by {', '.join(made) or 'nothing'}"


def _untouched(seen: Seen) -> str:
    tried = [change.action for change in seen.changes]
    return f"the dry run asked the shop for {', '.join(tried)}" if tried else ""


def _undone_in_reverse(seen: Seen) -> str:
    if not seen.story.rolled_back:
        return "the run was not rolled back"
    done = [step.name for step in seen.story.steps if step.status == "undone"]
    undone = seen.story.undone
    return "" if undone == done[::-1] != [] else f"taken back in the order {', '.join(undone)}"


def _ended(wanted: str, *, verified: bool = False) -> Check:
    def check(seen: Seen) -> str:
        ended, last = outcome(seen.story), seen.story.outcome
        if ended != wanted:
            return f"the outcome is {ended}, not {wanted}" + (f": {last.reason}" if last else "")
        if verified and last is not None and not last.verified:
            return f"resolved, but not by the run: {last.reason}"
        return ""

    return check


def _reported(seen: Seen) -> str:
    last = seen.story.outcome
    if last is None or any(r.outcome == last.result for r in seen.story.of(Report)):
        return ""
    return "no report explained the outcome"


def _nothing_dead(seen: Seen) -> str:
    letters = seen.story.dead_letters
    if not letters:
        return ""
    return f"{len(letters)} dead letters, the first from {letters[0].stage}: {letters[0].reason}"


FOUND: tuple[Check, ...] = (_one_incident, _after_the_fault, _detected, _forecast, _planned)
FIXED: tuple[Check, ...] = (
    _steps("succeeded", "succeeded", "succeeded"),
    _applied,
    _ended("resolved", verified=True),
)
TOLD: tuple[Check, ...] = (_reported, _nothing_dead)

PROMISES: dict[Mode, tuple[Check, ...]] = {
    Mode.fix: (*FOUND, _decided(*PERMITTED), _elsewhere("approve"), *FIXED, *TOLD),
    Mode.manual: (
        *FOUND, _decided("approve"), _elsewhere(*PERMITTED), _approved_by(APPROVER), *FIXED, *TOLD
    ),
    Mode.break_fix: (
        *FOUND, _decided(*PERMITTED), _elsewhere("approve"),
        _steps("undone", "undone", "failed"), _undone_in_reverse, _ended("escalated"), *TOLD,
    ),
    Mode.dry_run: (
        *FOUND, _decided(*PERMITTED), _steps("skipped", "skipped", "skipped"), _untouched,
        _ended("dry_run"), *TOLD,
    ),
    Mode.no_fault: (_ended("quiet"), _nothing_dead),
}  # fmt: skip
