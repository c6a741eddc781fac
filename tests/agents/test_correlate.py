"""One fault, one incident: what joins, what waits, what ends it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.correlate import Correlate, CorrelateSettings, Group
from runbooks.topology import Service, Topology
from schemas.anomalies import Anomaly
from schemas.event import Event, Severity
from schemas.incidents import Incident
from schemas.operations import Tick
from schemas.outcomes import Outcome
from schemas.results import StepResult

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
SHOP = Topology(
    services={
        "checkout": Service(depends_on=("queue",)),
        "batch": Service(depends_on=("queue",)),
    }
)
CORRELATE = Correlate(CorrelateSettings(confirm_s=0), SHOP)
PATIENT = Correlate(CorrelateSettings(confirm_s=10), SHOP)
GUARDING = Correlate(CorrelateSettings(confirm_s=0), SHOP, ["checkout"])


def anomaly(name: str, service: str = "checkout", **more: Any) -> Anomaly:
    fields: dict[str, Any] = {
        "id": f"event-{name}-{more.get('change', 'opened')}", "at": NOW, "group": "batch", "anomaly": name,
        "change": "opened", "source": "metric", "kind": "spike", "service": service, "series": f"s-{name}",
        "direction": "up", "severity": Severity.medium, "score": 1.2, "raw": 1.2, "value": 9.0, "low": 0.0,
        "high": 1.0, "since": NOW, "reason": f"{name} is high",
    }  # fmt: skip
    return Anomaly(**(fields | more))


def said(
    *events: Event,
    state: Group | None = None,
    now: datetime = NOW,
    by: Correlate = CORRELATE,
) -> tuple[list[Any], Any]:
    """Everything that the events lead to, and the state after them."""
    out: list[Event] = []
    for event in events:
        turn = by.run(event, state, now)
        state = turn.state
        out += turn.events
    return out, state


def changes(events: list[Incident]) -> list[str]:
    return [event.change for event in events]


def test_one_weak_sign_is_no_incident() -> None:
    out, state = said(anomaly("a"))
    assert out == []
    assert state.candidates


def test_two_series_of_related_services_are_one() -> None:
    out, _ = said(anomaly("a"), anomaly("b", "queue"))
    assert changes(out) == ["opened"]
    assert out[0].services == ("checkout", "queue")
    assert "2 series" in out[0].reason


def tick(seconds: float) -> Tick:
    return Tick(at=NOW + timedelta(seconds=seconds), group="", number=0)


def test_series_must_agree_for_a_while() -> None:
    out, state = said(anomaly("a"), anomaly("b", "queue"), by=PATIENT)
    assert out == []
    early = PATIENT.run(tick(9), state, tick(9).at)
    assert early.events == ()
    late = PATIENT.run(tick(10), early.state, tick(10).at)
    assert changes(list(late.events)) == ["opened"]  # type: ignore[arg-type] # incidents


def test_what_clears_before_that_is_no_incident() -> None:
    _, state = said(
        anomaly("a"),
        anomaly("b", "queue"),
        anomaly("b", "queue", change="cleared", ending="recovered"),
        by=PATIENT,
    )
    assert PATIENT.run(tick(11), state, tick(11).at).events == ()


def test_a_burning_budget_does_not_wait() -> None:
    out, _ = said(anomaly("slo", source="slo", kind="burn"), by=PATIENT)
    assert changes(out) == ["opened"]


def test_a_batch_job_that_nobody_feels_is_no_incident() -> None:
    """Its caller's neighbours have objectives, and are well."""
    out, state = said(anomaly("a", "batch"), anomaly("b", "queue"), by=GUARDING)
    assert out == []
    out, _ = said(anomaly("c", "checkout"), state=state, by=GUARDING)
    assert changes(out) == ["opened"]
    assert out[0].services == ("batch", "checkout", "queue")


def test_where_nothing_is_guarded_agreement_is_enough() -> None:
    out, _ = said(anomaly("a", "lonely"), anomaly("b", "lonely"), by=GUARDING)
    assert changes(out) == ["opened"]


def test_updates_of_one_series_are_not_two_series() -> None:
    out, _ = said(anomaly("a"), anomaly("a", change="updated"))
    assert out == []


def test_siblings_without_a_dependency_stay_apart() -> None:
    """Checkout and batch only share a queue; neither explains the other."""
    out, state = said(anomaly("a"), anomaly("b", "batch"))
    assert out == []
    assert len(state.candidates) == 2


def test_a_severe_one_is_enough() -> None:
    out, _ = said(anomaly("a", severity=Severity.high))
    assert changes(out) == ["opened"]


def test_a_burning_budget_is_enough_and_names_the_service() -> None:
    out, _ = said(anomaly("a", "queue"), anomaly("slo", source="slo", kind="burn"))
    assert changes(out) == ["opened"]
    assert out[0].service == "checkout"


def test_weak_evidence_counts_for_nothing_alone() -> None:
    out, _ = said(anomaly("a", raw=0.5), anomaly("b", raw=0.6))
    assert out == []


def test_a_weak_one_neither_opens_nor_joins_nor_disquiets() -> None:
    weak = anomaly("w", "queue", change="weak", score=0.9, raw=0.9)
    out, state = said(*[weak.model_copy(update={"series": f"s-{n}"}) for n in range(9)])
    assert (out, state.candidates, state.open) == ([], (), ())
    _, opened = said(anomaly("a", severity=Severity.critical, score=4.0, raw=4.0))
    _, quiet = said(anomaly("a", change="cleared"), state=opened)
    out, after = said(weak, state=quiet)
    assert (out, after.open) == ([], quiet.open)


def test_weak_signs_are_forgotten_and_never_many() -> None:
    weak = anomaly("w", "queue", change="weak", score=0.9, raw=0.9)
    _, state = said(*[weak.model_copy(update={"series": f"s-{n}"}) for n in range(100)])
    assert len(state.weak) == 64
    assert CORRELATE.run(tick(300), state, tick(300).at).state == state
    assert CORRELATE.run(tick(301), state, tick(301).at).state is None


# ---- what else of the service moved

ALONE: dict[str, Any] = {
    "severity": Severity.high,
    "siblings": 12,
    "siblings_moved": 0,
    "service_score": 0.4,
}
BACKED: dict[str, Any] = {"siblings": 12, "siblings_moved": 7, "service_score": 0.99}


def later(seconds: float, **more: Any) -> Anomaly:
    at = NOW + timedelta(seconds=seconds)
    return anomaly("a", id=f"event-a-{seconds}", at=at, since=NOW, change="updated", **more)


def test_a_severe_one_that_stands_alone_must_last() -> None:
    """Seen out of its range for so long, in event time: of what lies between nothing is known."""
    out, state = said(anomaly("a", **ALONE), later(9, **ALONE), by=PATIENT)
    assert out == []
    assert PATIENT.run(tick(60), state, tick(60).at).events == ()
    out, _ = said(later(10, **ALONE), state=state, by=PATIENT)
    assert out[0].reason == "high for 10 s: a is high; none of 12 other series of checkout moved"
    assert out[0].support == ""


def test_a_severe_one_that_is_back_and_alone_is_no_incident() -> None:
    """A single sample far out, of a series sampled each minute: it clears minutes later."""
    out, _ = said(anomaly("a", **ALONE), later(60, **ALONE, value=0.5), by=PATIENT)
    assert out == []


def test_a_severe_one_that_clears_at_once_and_alone_is_no_incident() -> None:
    out, state = said(
        anomaly("a", **ALONE), anomaly("a", change="cleared", ending="recovered"), by=PATIENT
    )
    assert (out, state) == ([], None)


@pytest.mark.parametrize(
    "more",
    [
        {"siblings": 2},
        {"siblings_moved": 1},
        {"service_score": 0.97},
        {"siblings": 0, "service_score": None},
    ],
    ids=["few siblings say nothing", "one moved", "the service is unusual", "nothing is known"],
)
def test_a_severe_one_that_does_not_stand_alone_opens_at_once(more: dict[str, Any]) -> None:
    out, _ = said(anomaly("a", **(ALONE | more)), by=PATIENT)
    assert changes(out) == ["opened"]


def test_it_opens_as_soon_as_siblings_follow() -> None:
    _, state = said(anomaly("a", **ALONE), by=PATIENT)
    more = ALONE | {"change": "updated", "siblings_moved": 5}
    out, _ = said(anomaly("a", **more), state=state, by=PATIENT)
    assert out[0].support.startswith("5 of 12 other series of checkout moved")


def test_what_noise_has_is_no_company() -> None:
    weak = anomaly("w", "queue", change="weak", score=0.5, raw=0.5)
    out, _ = said(weak, anomaly("a", **ALONE), by=PATIENT)
    assert out == []


def test_a_weak_sign_of_a_neighbour_is_company() -> None:
    weak = anomaly("w", "queue", change="weak", score=0.9, raw=0.9)
    out, _ = said(weak, anomaly("a", **ALONE), by=PATIENT)
    assert out[0].support == "1 weak sign in queue"


def test_a_moderate_one_that_many_siblings_back_needs_no_second() -> None:
    out, _ = said(anomaly("a", **BACKED), by=PATIENT)
    assert changes(out) == ["opened"]
    assert out[0].reason == (
        "medium and backed: a is high; 7 of 12 other series of checkout moved,"
        " the service more unusual than 99.0% of its past"
    )
    assert out[0].support == out[0].reason.partition("; ")[2]


@pytest.mark.parametrize(
    "more",
    [
        {"severity": Severity.low, "score": 1.1, "raw": 1.1},
        {"siblings_moved": 2},
        {"siblings": 2, "siblings_moved": 1},
        {"service_score": 0.9},
        {"raw": 0.9},
    ],
    ids=["low", "a few moved", "one moved", "the service is as ever", "no alarm"],
)
def test_less_than_that_waits(more: dict[str, Any]) -> None:
    out, state = said(anomaly("a", **(BACKED | more)), by=PATIENT)
    assert out == []
    assert state.candidates


def test_a_queue_moves_all_its_own_series_and_nobody_feels_it() -> None:
    out, _ = said(anomaly("a", "queue", **BACKED), by=GUARDING)
    assert out == []


def test_two_that_agree_and_are_backed_do_not_wait() -> None:
    low: dict[str, Any] = BACKED | {"severity": Severity.low}
    out, _ = said(anomaly("a", **low), anomaly("b", "queue"), by=PATIENT)
    assert out[0].reason.startswith("2 series of related services agree; 7 of 12")


def test_signs_too_far_apart_are_not_one_fault() -> None:
    _, state = said(anomaly("a"))
    late = NOW + timedelta(seconds=301)
    out, _ = said(anomaly("b", since=late, at=late), state=state, now=late)
    assert out == []


def test_what_comes_later_joins_the_open_incident() -> None:
    out, state = said(
        anomaly("a", severity=Severity.high), anomaly("b", "queue"), anomaly("c", "batch")
    )
    assert changes(out) == ["opened", "updated", "updated"]
    assert {event.incident for event in out} == {out[0].incident}
    assert len(state.open) == 1


def test_a_repeated_update_is_not_said() -> None:
    out, _ = said(
        anomaly("a", severity=Severity.high), anomaly("a", change="updated", severity=Severity.high)
    )
    assert changes(out) == ["opened"]


def test_severity_only_rises() -> None:
    out, state = said(
        anomaly("a", severity=Severity.high),
        anomaly("a", change="updated", severity=Severity.critical),
        anomaly("a", change="updated", severity=Severity.low),
    )
    assert [event.severity for event in out] == ["high", "critical"]
    assert state.open[0].incident.severity == "critical"


def test_quiet_is_said_once_when_all_are_clear_and_noisy_when_one_is_back() -> None:
    out, _ = said(
        anomaly("a", severity=Severity.high),
        anomaly("b", "queue"),
        anomaly("a", change="cleared", ending="recovered"),
        anomaly("b", "queue", change="cleared", ending="recovered"),
        anomaly("c", "queue"),
    )
    assert changes(out) == ["opened", "updated", "updated", "quiet", "noisy"]
    assert out[3].quiet_since == NOW
    assert out[4].quiet_since is None


def test_a_candidate_that_clears_is_forgotten() -> None:
    _, state = said(anomaly("a"), anomaly("a", change="cleared", ending="recovered"))
    assert state is None


def outcome(incident: str, result: str) -> Outcome:
    fields: dict[str, Any] = {
        "id": f"o-{result}", "at": NOW, "group": "batch", "incident": incident, "result": result,
        "final": True, "by": "verify", "reason": "because",
    }  # fmt: skip
    return Outcome(**fields)


def started(incident: str) -> StepResult:
    return StepResult(
        id="r", at=NOW, group="batch", incident=incident, plan_hash="h", run="run-1", step=-1,
        name="run", phase="run", status="started", dry_run=False, detail="",
    )  # fmt: skip


def test_its_life_ends_with_an_outcome_alone() -> None:
    out, state = said(anomaly("a", severity=Severity.high))
    name = out[0].incident
    out, state = said(
        started(name), outcome(name, "unverified"), outcome(name, "rolled_back"),
        outcome(name, "resolved"), state=state,
    )  # fmt: skip
    assert [event.status for event in out] == ["mitigating", "escalated", "resolved"]
    assert state is None


def test_a_dry_run_changes_nothing() -> None:
    out, state = said(anomaly("a", severity=Severity.high))
    out, _ = said(outcome(out[0].incident, "dry_run"), state=state)
    assert out == []


def test_an_outcome_of_an_unknown_incident_is_nobodys() -> None:
    assert said(outcome("inc-0", "resolved")) == ([], None)


def test_after_resolution_the_same_services_open_another() -> None:
    first, state = said(anomaly("a", severity=Severity.high))
    _, state = said(outcome(first[0].incident, "resolved"), state=state)
    second, _ = said(anomaly("z", severity=Severity.high), state=state)
    assert second[0].incident != first[0].incident


def test_equal_input_gives_equal_ids() -> None:
    events = (anomaly("a"), anomaly("b", "queue"))
    assert said(*events)[0] == said(*events)[0]


def test_ticks_let_candidates_go() -> None:
    _, state = said(anomaly("a"))
    later = NOW + timedelta(seconds=301)
    turn = CORRELATE.run(Tick(at=later, group="", number=1), state, later)
    assert turn == (None, ())


def test_only_the_start_of_a_run_is_of_interest() -> None:
    assert CORRELATE.key(started("i")) == "batch"
    assert CORRELATE.key(started("i").model_copy(update={"status": "succeeded"})) == ""


def test_ten_thousand_anomalies_of_one_cause_are_one_incident() -> None:
    events = [anomaly(f"a{n}", "queue") for n in range(300)]
    out, _ = said(*events)
    assert len({event.incident for event in out}) == 1
