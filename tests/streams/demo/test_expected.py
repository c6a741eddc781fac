"""Every mode's promise: kept by its own story, and broken by whatever is missing from it."""

import itertools
from collections.abc import Callable

import pytest

from schemas.event import Event
from schemas.forecasts import Forecast
from schemas.incidents import Incident
from schemas.outcomes import Outcome, Report
from schemas.plans import Decision, Plan
from schemas.results import StepResult
from streams.demo.expected import missing, outcome, over
from streams.demo.mode import Mode
from tests.story import fixed as other_incident
from tests.streams.demo.play import Play, approved_by, fixed, quiet, rehearsed, rolled_back

STORIES: dict[Mode, Callable[[], Play]] = {
    Mode.fix: fixed,
    Mode.manual: lambda: approved_by("you"),
    Mode.break_fix: rolled_back,
    Mode.dry_run: rehearsed,
    Mode.no_fault: quiet,
}
OUTCOMES = {
    Mode.fix: "resolved",
    Mode.manual: "resolved",
    Mode.break_fix: "escalated",
    Mode.dry_run: "dry_run",
    Mode.no_fault: "quiet",
}


@pytest.mark.parametrize("mode", Mode)
def test_each_mode_is_content_with_its_own_story(mode: Mode) -> None:
    seen = STORIES[mode]().seen
    assert missing(mode, seen) == []
    assert outcome(seen.story) == OUTCOMES[mode]


@pytest.mark.parametrize(("mode", "told"), list(itertools.permutations(Mode, 2)))
def test_no_mode_is_content_with_another_ones_story(mode: Mode, told: Mode) -> None:
    assert missing(mode, STORIES[told]().seen)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (Forecast, "no forecast came"),
        (Plan, "no plan came"),
        (Decision, "policy said nothing"),
        (Report, "no report explained the outcome"),
        (Outcome, "the outcome is open, not resolved"),
        (StepResult, "the steps ended not reached, not reached, not reached"),
        (Incident, "0 incidents were opened, not one"),
    ],
)
def test_what_never_came_is_named(gone: type[Event], said: str) -> None:
    play = fixed()
    play.script.said = [event for event in play.script.said if not isinstance(event, gone)]
    assert any(said in line for line in missing(Mode.fix, play.seen))


def test_a_second_incident_is_one_too_many() -> None:
    play = fixed()
    play.script.said += other_incident("elsewhere").said
    assert "2 incidents were opened, not one" in missing(Mode.fix, play.seen)


def test_an_incident_from_before_the_fault_proves_nothing() -> None:
    play = fixed()
    play.story.fault_at = play.script.said[-1].at
    (line,) = missing(Mode.fix, play.seen)
    assert line.startswith("an incident was open before the fault: ")


def test_an_end_that_no_run_brought_about_is_no_fix() -> None:
    play = Play().found().approved().stepped("succeeded", "succeeded", "succeeded")
    play.ended("resolved", verified=False)
    assert missing(Mode.fix, play.seen) == ["resolved, but not by the run: as said"]


def test_steps_that_say_they_succeeded_must_be_in_the_shops_own_log() -> None:
    play = fixed()
    play.changes = play.changes[:2]
    assert missing(Mode.fix, play.seen) == ["the shop was changed by scale, throttle"]


def test_a_dry_run_that_asked_for_a_change_is_found_out_even_if_it_failed() -> None:
    play = rehearsed()
    play.changes = [fixed().changes[0]._replace(applied=False)]
    assert missing(Mode.dry_run, play.seen) == ["the dry run asked the shop for scale"]


def test_an_undo_in_the_wrong_order_is_no_rollback() -> None:
    play = Play().found().approved().stepped("succeeded", "succeeded", "failed")
    play.result(11, "undo", "succeeded", 0).result(12, "undo", "succeeded", 1)
    play.result(13, "run", "rolled_back").ended("rolled_back")
    (line,) = missing(Mode.break_fix, play.seen)
    assert line == "taken back in the order scale-workers, throttle-batch"


def test_an_approval_by_policy_is_not_yours() -> None:
    play = approved_by("policy")
    assert missing(Mode.manual, play.seen) == ["the plan was approved by policy, not you"]


def test_an_incident_without_a_fault_is_a_false_alarm() -> None:
    play = quiet()
    play.script.incident(1, play.script.anomaly(0))
    assert missing(Mode.no_fault, play.seen) == ["the outcome is open, not quiet"]


def test_it_is_over_when_the_last_word_has_been_explained() -> None:
    story = Play().found().approved()
    assert not over(Mode.fix, story.seen.story)
    assert not over(Mode.fix, fixed_untold().seen.story)
    assert over(Mode.fix, fixed().seen.story)


def test_a_run_that_is_to_be_taken_back_is_not_over() -> None:
    """`unverified` has a report of its own, and the rollback is still to come."""
    play = Play().found().approved()
    play.ended("unverified")
    last = next(event for event in play.script.said if isinstance(event, Outcome))
    place = play.script.said.index(last)
    play.script.said[place] = last.model_copy(update={"final": False})
    assert not over(Mode.fix, play.seen.story)


def fixed_untold() -> Play:
    """Resolved, the report still to come."""
    return Play().found().approved().ended("resolved", verified=True, told=False)
