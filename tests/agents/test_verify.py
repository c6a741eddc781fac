"""Verification: what the signals say of a run, and when an incident is over."""

from typing import Any

import pytest

from agents.verify import Verify, VerifySettings, Watched
from schemas.avro import decode, encode
from schemas.event import Event
from schemas.incidents import Incident, Signal
from schemas.operations import Tick
from schemas.outcomes import Outcome
from schemas.plans import Verification
from schemas.results import StepResult
from tests.executors.plans import GROUP, INCIDENT, at, incident, signal

SETTINGS = VerifySettings(self_heal_stable_s=300, rollback_within_s=900)


class Story:
    """One incident's messages, and the outcomes that came of them."""

    def __init__(self) -> None:
        self.verify = Verify(SETTINGS)
        self.state: Watched | None = None
        self.outcomes: list[Outcome] = []
        self.now = 0.0

    def tell(self, event: Event, seconds: float) -> None:
        """Handle one message, with the ticks before it."""
        self.until(seconds)
        value, headers = encode(event)
        event = decode(value, headers["schema"])
        if self.verify.key(event):
            assert self.verify.key(event) == INCIDENT
            self._take(event, seconds)

    def until(self, seconds: float) -> None:
        """Time passes, a tick a second."""
        while self.now < seconds:
            self.now = min(self.now + 1, seconds)
            if self.state is not None:
                self._take(Tick(at=at(self.now), group="0", number=0), self.now)

    def _take(self, event: Event, seconds: float) -> None:
        turn = self.verify.run(event, self.state, at(seconds))
        raw = turn.state.model_dump(mode="json") if turn.state is not None else None
        self.state = None if raw is None else Watched.model_validate(raw)
        for said in turn.events:
            assert isinstance(said, Outcome)
            self.outcomes.append(said)

    def said(self) -> list[tuple[str, bool, bool]]:
        """Result, final, verified."""
        return [(outcome.result, outcome.final, outcome.verified) for outcome in self.outcomes]


def result(
    status: str, seconds: float, *, run: str = "run-1", phase: str = "run", dry_run: bool = False
) -> StepResult:
    return StepResult.model_validate(
        {
            "id": f"{run}-{status}", "at": at(seconds), "group": GROUP, "incident": INCIDENT,
            "plan_hash": "h", "run": run, "step": -1, "name": run, "phase": phase, "status": status,
            "dry_run": dry_run, "detail": f"it {status}",
            "verification": Verification(within_s=100, stable_s=30),
        }
    )  # fmt: skip


def quiet(seconds: float, *signals: Signal) -> Incident:
    cleared = signals or (signal(cleared_at=at(seconds), ending="recovered"),)
    return incident(seconds, change="quiet", quiet_since=at(seconds), signals=cleared)


def noisy(seconds: float) -> Incident:
    return incident(seconds, change="noisy")


def after_a_run() -> Story:
    """Opened at 0; a run started at 10 and succeeded at 20. Clear by 120, for 30 s."""
    story = Story()
    story.tell(incident(0), 0)
    story.tell(result("started", 10), 10)
    story.tell(result("succeeded", 20), 20)
    return story


def test_a_fix_is_verified_once_the_signals_were_clear_for_long_enough() -> None:
    story = after_a_run()
    story.tell(quiet(40), 40)
    story.until(69)
    assert story.said() == []
    story.until(500)
    assert story.said() == [("resolved", True, True)]
    assert story.outcomes[0].run == "run-1"
    assert story.outcomes[0].plan_hash == "h"
    assert story.state is None


def test_a_signal_that_does_not_clear_in_time_demands_the_rollback() -> None:
    """Row 52."""
    story = after_a_run()
    story.until(119)
    assert story.said() == []
    story.until(125)
    assert story.said() == [("unverified", False, False)]
    assert "not clear 100 s after the run" in story.outcomes[0].reason
    story.tell(result("rolled_back", 130), 130)
    assert story.said()[1:] == [("rolled_back", True, False)]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (15, "resolved"),  # while it ran: stability counts from its end
        (100, "resolved"),
        (119, "resolved"),  # clear in time, stable after the deadline
        (121, "unverified"),
    ],
)
def test_the_deadline_is_for_being_clear_and_not_for_being_stable(
    seconds: float, said: str
) -> None:
    story = Story()
    story.tell(incident(0), 0)
    story.tell(result("started", 10), 10)
    events = sorted(
        [(20.0, result("succeeded", 20)), (seconds, quiet(seconds))], key=lambda e: e[0]
    )
    for when, event in events:
        story.tell(event, when)
    story.until(200)
    assert [outcome.result for outcome in story.outcomes] == [said]
    assert story.outcomes[0].at >= at(20 + 30)


def touching(*services: str) -> Story:
    """`after_a_run`, of a run that touches these services."""
    story = Story()
    story.tell(incident(0), 0)
    asked = Verification(within_s=100, stable_s=30, touches=services)
    for status, seconds in (("started", 10), ("succeeded", 20)):
        said = result(status, seconds).model_copy(update={"verification": asked})
        story.tell(said, seconds)
    return story


CURED = signal(cleared_at=at(40), ending="recovered")
NEW = {"anomaly": "a2", "series": "parked", "service": "queue", "since": at(21)}


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({}, "resolved"),
        ({"since": at(9)}, "unverified"),  # of the illness: it was there before the run
        ({"service": "checkout"}, "unverified"),  # the run does not touch it
        ({"source": "slo"}, "unverified"),  # a budget burns: harm wherever it is from
    ],
)
def test_what_begins_on_a_service_that_the_run_touches_is_its_doing(
    what: dict[str, Any], said: str
) -> None:
    story = touching("queue", "worker")
    story.tell(incident(40, change="updated", signals=(CURED, signal(**(NEW | what)))), 40)
    story.until(125)
    assert [outcome.result for outcome in story.outcomes] == [said]


def test_what_the_run_has_moved_is_named_when_it_is_verified() -> None:
    story = touching("queue")
    story.tell(incident(40, change="updated", signals=(CURED, signal(**NEW))), 40)
    story.until(80)
    assert story.said() == [("resolved", True, True)]
    assert "parked began after it on what it touches" in story.outcomes[0].reason
    assert story.outcomes[0].at == at(70)


def test_what_the_run_has_moved_does_not_start_the_wait_again() -> None:
    story = touching("queue")
    story.tell(incident(40, change="updated", signals=(CURED, signal(**NEW))), 40)
    calm = signal(**NEW, cleared_at=at(60), ending="recovered")
    story.tell(quiet(60, CURED, calm), 60)
    story.until(80)
    assert story.outcomes[0].at == at(70)


def test_a_signal_that_comes_back_starts_the_wait_again() -> None:
    story = after_a_run()
    story.tell(quiet(40), 40)
    story.tell(noisy(60), 60)
    story.tell(quiet(80), 80)
    story.until(109)
    assert story.said() == []
    story.until(111)
    assert story.said() == [("resolved", True, True)]


def test_a_signal_that_comes_back_after_the_deadline_demands_the_rollback_at_once() -> None:
    story = after_a_run()
    story.tell(quiet(110), 110)
    story.tell(noisy(130), 130)
    story.until(131)
    assert story.said() == [("unverified", False, False)]


def test_quiet_after_the_rollback_was_demanded_does_not_count_for_the_run() -> None:
    story = after_a_run()
    story.until(121)
    story.tell(quiet(122), 122)
    story.until(300)
    assert [outcome.result for outcome in story.outcomes] == ["unverified"]


def test_a_new_level_that_only_became_usual_is_no_recovery() -> None:
    story = after_a_run()
    usual = signal(cleared_at=at(40), ending="adapted")
    story.tell(quiet(40, usual, signal(anomaly="a2", cleared_at=at(40), ending="recovered")), 40)
    story.until(125)
    assert story.said() == [("unverified", False, False)]
    assert "the new level only became usual: queue_depth" in story.outcomes[0].reason


@pytest.mark.parametrize(
    ("endings", "said"),
    [(("recovered", "ended"), "resolved"), (("ended", "ended"), "unverified")],
)
def test_a_series_that_ended_counts_only_beside_one_that_recovered(
    endings: tuple[str, ...], said: str
) -> None:
    story = after_a_run()
    signals = [signal(anomaly=str(n), cleared_at=at(40), ending=e) for n, e in enumerate(endings)]
    story.tell(quiet(40, *signals), 40)
    story.until(125)
    assert [outcome.result for outcome in story.outcomes] == [said]


def test_what_was_clear_before_the_run_began_is_not_credited_to_it() -> None:
    story = Story()
    story.tell(incident(0), 0)
    story.tell(quiet(5), 5)
    story.tell(result("started", 10), 10)
    story.tell(result("succeeded", 20), 20)
    story.until(60)
    assert story.said() == [("resolved", True, False)]
    assert "were so before run-1 began" in story.outcomes[0].reason


ENDS = [
    ("rolled_back", False, "rolled_back"),
    ("rollback_failed", False, "rollback_failed"),
    ("failed", False, "escalated"),
    ("succeeded", True, "dry_run"),
    ("failed", True, "escalated"),
]


@pytest.mark.parametrize(("status", "dry_run", "outcome"), ENDS)
def test_a_run_that_changed_nothing_in_the_end_is_an_outcome_of_its_own(
    status: str,
    dry_run: bool,  # noqa: FBT001 - a table's column
    outcome: str,
) -> None:
    story = Story()
    story.tell(incident(0), 0)
    story.tell(result("started", 10, dry_run=dry_run), 10)
    story.tell(result(status, 20, dry_run=dry_run), 20)
    story.until(500)
    assert story.said() == [(outcome, True, False)]
    assert story.outcomes[0].reason == f"it {status}"


def test_a_run_that_is_refused_does_not_end_the_one_that_goes_on() -> None:
    story = after_a_run()
    story.tell(result("failed", 25, run="run-2"), 25)
    assert story.said() == []
    story.tell(quiet(40), 40)
    story.until(100)
    assert story.said() == [("resolved", True, True)]


def test_steps_of_a_run_are_of_no_use_here() -> None:
    assert Verify(SETTINGS).key(result("succeeded", 1, phase="do")) == ""
    assert Verify(SETTINGS).key(Tick(at=at(0), group="0", number=0)) == ""


def test_an_incident_that_heals_itself_is_resolved_and_not_verified() -> None:
    story = Story()
    story.tell(incident(0), 0)
    story.tell(quiet(50), 50)
    story.until(349)
    assert story.said() == []
    story.until(400)
    assert story.said() == [("resolved", True, False)]
    assert story.outcomes[0].run == ""


def test_an_incident_does_not_heal_itself_while_a_run_is_under_way() -> None:
    story = Story()
    story.tell(incident(0), 0)
    story.tell(quiet(50), 50)
    story.tell(result("started", 60), 60)
    story.until(1_000)
    assert story.said() == []


def test_an_escalated_incident_is_resolved_when_people_have_healed_it() -> None:
    story = Story()
    story.tell(incident(0), 0)
    story.tell(result("failed", 10), 10)
    story.tell(incident(11, change="escalated", status="escalated"), 11)
    story.tell(quiet(100).model_copy(update={"status": "escalated"}), 100)
    story.until(500)
    assert story.said() == [("escalated", True, False), ("resolved", True, False)]


def test_a_rollback_that_does_not_end_is_escalated() -> None:
    story = after_a_run()
    story.until(120 + 899)
    assert [outcome.result for outcome in story.outcomes] == ["unverified"]
    story.until(120 + 901)
    assert story.said()[1:] == [("escalated", True, False)]


def test_a_rollback_by_a_person_after_the_resolution_is_told() -> None:
    story = after_a_run()
    story.tell(quiet(40), 40)
    story.until(100)
    story.tell(incident(101, change="resolved", status="resolved"), 101)
    story.tell(result("rolled_back", 500), 500)
    assert story.said() == [("resolved", True, True), ("rolled_back", True, False)]
    assert story.state is None


def test_results_before_the_incident_is_heard_of_are_kept_for_it() -> None:
    """Different topics: the order between them is not guaranteed."""
    story = Story()
    story.tell(result("started", 10), 10)
    story.tell(result("succeeded", 20), 20)
    story.tell(incident(0), 21)
    story.tell(quiet(40), 41)
    story.until(100)
    assert story.said() == [("resolved", True, True)]


def test_a_run_of_an_incident_that_is_never_heard_of_leaves_nothing_behind() -> None:
    story = Story()
    story.tell(result("started", 10), 10)
    story.tell(result("failed", 20), 20)
    assert story.state is None


def test_a_repeated_message_says_the_same_under_the_same_id() -> None:
    story = after_a_run()
    story.tell(quiet(40), 40)
    before = story.state
    turns = [story.verify.run(Tick(at=at(90), group="0", number=0), before, at(90)) for _ in "ab"]
    assert turns[0] == turns[1]
    assert turns[0].events[0].id


def test_a_plan_without_verification_is_judged_by_the_settings() -> None:
    story = Story()
    story.tell(incident(0), 0)
    story.tell(result("started", 10), 10)
    bare: dict[str, Any] = {"verification": None}
    story.tell(result("succeeded", 20).model_copy(update=bare), 20)
    story.tell(quiet(40), 40)
    story.until(40 + SETTINGS.stable_s - 1)
    assert story.said() == []
    story.until(40 + SETTINGS.stable_s + 1)
    assert story.said() == [("resolved", True, True)]
