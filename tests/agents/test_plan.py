"""Planning: the best runbook for what is seen, one plan at a time, and a reason when there is none."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import orjson
import pytest
import yaml

from agents.candidates import judge
from agents.plan import Planning, PlanSettings, Propose
from runbooks.loader import SHIPPED, load
from runbooks.model import Runbook
from schemas.event import Severity
from schemas.forecasts import BudgetForecast, Forecast, LoadForecast
from schemas.incidents import Incident, Signal
from schemas.operations import Tick
from schemas.outcomes import Outcome
from schemas.plans import Plan, plan_hash
from schemas.turn import Turn

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
CATALOGUE = load(SHIPPED, {"http"})
SHOP = {"http": {"shop-workers", "shop-batch", "shop-queue"}}
VERDICTS = get_args(BudgetForecast.model_fields["verdict"].annotation)
QUEUE = ("shop_queue_depth", "shop-queue")
LATENCY = ("checkout_latency_seconds", "checkout")


def signal(name: str, service: str, **more: Any) -> Signal:
    values: dict[str, Any] = {
        "anomaly": f"a-{name}-{service}", "source": "metric", "kind": "level shift",
        "service": service, "series": f'{name}{{service="{service}"}}', "direction": "up",
        "severity": Severity.high, "score": 4.0, "value": 900.0, "low": 0.0, "high": 5.0,
        "since": NOW, "reason": "far above", "record": "r1", **more,
    }  # fmt: skip
    return Signal(**values)


BURN = signal(
    "checkout-availability", "checkout", source="slo", kind="burn", series="checkout-availability"
)


def forecast(*signals: Signal, verdict: str = VERDICTS[0], **more: Any) -> Forecast:
    values: dict[str, Any] = {
        "at": NOW, "group": "g", "incident": "inc-1", "change": "opened", "status": "open",
        "title": "checkout suffers", "service": "checkout",
        "services": tuple(dict.fromkeys(("checkout", *(s.service for s in signals)))),
        "severity": Severity.high, "opened_at": NOW, "signals": signals, "reason": "together",
        **more,
    }  # fmt: skip
    budget = BudgetForecast(
        objective="checkout", verdict=verdict, reason="gone in 27 min", left=0.4, burn=20.0,  # type: ignore[arg-type]
        exhausts=0.9, horizon_minutes=240.0,
    )  # fmt: skip
    load_forecast = LoadForecast(verdict="not enough data", reason="no history")
    return Forecast(
        id="f1", at=NOW, group="g", incident=Incident(**values), budget=budget, load=load_forecast
    )


def outcome(result: str, plan_hash: str = "", *, final: bool = True) -> Outcome:
    return Outcome(
        at=NOW, group="g", incident="inc-1", result=result, final=final, plan_hash=plan_hash,  # type: ignore[arg-type]
        by="verify", reason="as said",
    )  # fmt: skip


def tick(seconds: float) -> tuple[Tick, datetime]:
    at = NOW + timedelta(seconds=seconds)
    return Tick(at=at, group="", number=int(at.timestamp())), at


def proposer(
    *runbooks: Runbook, targets: dict[str, set[str]] | None = None, **where: Any
) -> Propose:
    place: dict[str, Any] = {"environment": "staging", "dry_run": False, **where}
    return Propose(
        PlanSettings(), runbooks or CATALOGUE, SHOP if targets is None else targets, **place
    )


def only(turn: Turn[Planning]) -> Plan:
    (said,) = turn.events
    assert isinstance(said, Plan)
    return said


def variant(name: str, **changes: Any) -> Runbook:
    """The shipped queue runbook with some keys changed."""
    document = yaml.safe_load((SHIPPED / "relieve-queue.yaml").read_text())
    return Runbook.model_validate({**document, "name": name, **changes})


def test_a_flooded_queue_is_relieved_in_three_steps() -> None:
    turn = proposer().run(forecast(signal(*QUEUE), signal(*LATENCY), BURN), None, NOW)
    plan = only(turn)
    assert (plan.runbook, plan.risk, plan.owner) == ("relieve-queue", "medium", "checkout-team")
    assert [step.name for step in plan.steps] == ["scale-workers", "throttle-batch", "clear-queue"]
    assert orjson.loads(plan.steps[0].do.arguments)["json"] == {"replicas": 5}
    assert plan.blast_radius == ("shop-worker", "shop-batch", "shop-queue")
    assert plan.hash == plan_hash(plan)
    assert turn.state is not None
    assert turn.state.live == plan.hash
    assert (plan.environment, plan.dry_run, plan.requested_by) == ("staging", False, "sentinel")
    assert "explains 1 of 3 signals: shop_queue_depth up" in plan.reason
    assert "gone in 27 min" in plan.reason
    assert [c.runbook for c in plan.candidates if c.chosen] == ["relieve-queue"]


def test_the_same_forecast_makes_the_same_plan() -> None:
    event = forecast(signal(*QUEUE), BURN)
    assert proposer().run(event, None, NOW) == proposer().run(event, None, NOW)


def test_candidates_are_ranked_with_reasons() -> None:
    everywhere = {"http": {*SHOP["http"], "checkout"}}
    turn = proposer(targets=everywhere).run(
        forecast(signal(*QUEUE), signal(*LATENCY), BURN), None, NOW
    )
    candidates = only(turn).candidates
    assert [(c.runbook, c.chosen) for c in candidates] == [
        ("relieve-queue", True),
        ("enable-degraded-mode", False),
        ("restart-service", False),
    ]
    assert [c.score for c in candidates] == sorted((c.score for c in candidates), reverse=True)
    assert candidates[2].score == 0
    assert candidates[2].reasons[0].startswith("needs a signal like metric *resident_memory* up")


def test_a_general_runbook_is_taken_where_nothing_is_written_for_the_service() -> None:
    event = forecast(
        signal("search_latency_seconds", "search"),
        signal("search-availability", "search", source="slo", series="search-availability"),
        service="search",
        services=("search",),
    )
    plan = only(proposer(targets={"http": {"search"}}).run(event, None, NOW))
    assert plan.runbook == "enable-degraded-mode"
    assert plan.blast_radius == ("search",)
    assert orjson.loads(plan.steps[0].do.arguments)["target"] == "search"


def test_an_executor_that_is_not_configured_carries_nothing_out() -> None:
    plan = only(proposer(targets={}).run(forecast(signal(*QUEUE)), None, NOW))
    assert plan.runbook == ""
    assert "relieve-queue needs what the settings do not allow: http" in plan.reason


def test_a_runbook_whose_target_is_not_allowed_does_not_fit() -> None:
    plan = only(proposer().run(forecast(signal(*LATENCY), BURN), None, NOW))
    assert plan.runbook == ""
    assert (
        "enable-degraded-mode needs what the settings do not allow: http target checkout"
        in plan.reason
    )


@pytest.mark.parametrize("payload", ["../admin", "$(id)", "{{before.token}}", "a b", "x\n", "a/b"])
def test_a_service_name_that_is_no_name_gets_no_plan(payload: str) -> None:
    """Labels come from outside; no general runbook is aimed by them."""
    event = forecast(signal("process_resident_memory_bytes", payload), service=payload)
    plan = only(proposer(targets={"http": {payload}}).run(event, None, NOW))
    assert plan.runbook == ""
    assert plan.steps == ()
    assert "incident.service is" in plan.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"environments": ["production"]}, "is not for staging, but for production"),
        ({"services": ["search"]}, "is for search"),
        ({"when": {"severity": "critical", "any": [{}]}}, "is for severity critical and above"),
        ({"when": {"any": [{"name": "*cpu*"}]}}, "needs a signal like *cpu*"),
        ({"when": {"any": [{"direction": "down"}]}}, "needs a signal like down"),
        ({"when": {"any": [{"service": "other"}]}}, "needs a signal like service other"),
        ({"when": {"any": [{"kind": "spike"}]}}, "needs a signal like kind spike"),
        ({"when": {"any": [{"severity": "critical"}]}}, "needs a signal like severity critical"),
        ({"when": {"any": [{"labels": {"service": "x*"}}]}}, "needs a signal like labels"),
        ({"when": {"all": [{}, {"source": "log"}]}}, "needs a signal like log"),
        ({"when": {"any": [{"labels": {"service": "shop-q*"}}]}}, ""),
        ({"when": {"all": [{"source": "metric"}, {"kind": "level*"}]}}, ""),
        ({"services": ["*"]}, ""),
        ({"services": ["shop-que?e"]}, ""),
    ],
)
def test_a_runbook_fits_when_all_its_conditions_do(changes: dict[str, Any], reason: str) -> None:
    incident = forecast(signal(*QUEUE)).incident
    verdict = judge(variant("a", **changes), incident, "staging", {})
    assert verdict.fits == (not reason)
    assert reason in verdict.reasons[0]


def test_what_has_cleared_calls_for_nothing() -> None:
    cleared = signal(*QUEUE, cleared_at=NOW, ending="recovered")
    assert (
        "needs a signal"
        in judge(variant("a"), forecast(cleared, BURN).incident, "staging", {}).reasons[0]
    )
    turn = proposer().run(forecast(cleared), None, NOW)
    assert turn.events == ()


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"services": ["checkout"]}, {"services": ["check*"]}),
        ({"services": ["check*"]}, {"services": ["*"]}),
        ({"risk": "low"}, {"risk": "medium"}),
        ({"risk": "medium"}, {"risk": "high"}),
        ({"when": {"any": [{}]}}, {}),
        ({"blast_radius": ["shop-worker"]}, {}),
    ],
)
def test_closer_calmer_and_smaller_comes_first(
    better: dict[str, Any], worse: dict[str, Any]
) -> None:
    incident = forecast(signal(*QUEUE), signal(*LATENCY)).incident
    one, other = (judge(variant("a", **c), incident, "staging", {}) for c in (better, worse))
    assert 0 < other.score < one.score <= 1


def test_urgency_makes_no_risky_runbook_better() -> None:
    """The ranking is the same whether the budget holds or is gone."""
    books = (variant("bold", risk="high", when={"any": [{}]}), variant("calm", risk="low"))
    chosen = {
        only(proposer(*books).run(forecast(signal(*QUEUE), BURN, verdict=v), None, NOW)).candidates
        for v in VERDICTS
    }
    assert len(chosen) == 1


def test_there_is_one_live_plan_at_most() -> None:
    stage = proposer()
    first = stage.run(forecast(signal(*QUEUE)), None, NOW)
    second = stage.run(forecast(signal(*QUEUE), BURN, severity=Severity.critical), first.state, NOW)
    assert second == Turn(first.state)


@pytest.mark.parametrize("result", ["refused", "rolled_back", "escalated", "dry_run"])
def test_what_failed_is_not_proposed_again_but_another_may_be(result: str) -> None:
    books = (variant("first"), variant("second", risk="high"))
    stage = proposer(*books)
    first = stage.run(forecast(signal(*QUEUE)), None, NOW)
    ended = stage.run(outcome(result, only(first).hash), first.state, NOW)
    second = stage.run(forecast(signal(*QUEUE), status="escalated"), ended.state, NOW)
    assert (only(first).runbook, only(second).runbook) == ("first", "second")
    ended = stage.run(outcome(result, only(second).hash), second.state, NOW)
    third = only(stage.run(forecast(signal(*QUEUE), status="escalated"), ended.state, NOW))
    assert third.runbook == ""
    assert f"first was tried for this incident: {result}" in third.reason


def test_after_a_failed_rollback_nothing_more_is_proposed() -> None:
    """Nobody knows the state any more: the incident is a person's."""
    stage = proposer(variant("first"), variant("second", risk="high"))
    first = stage.run(forecast(signal(*QUEUE)), None, NOW)
    ended = stage.run(outcome("rollback_failed", only(first).hash), first.state, NOW)
    assert stage.run(forecast(signal(*QUEUE)), ended.state, NOW).events == ()


def test_an_outcome_of_another_plan_leaves_ours_alive() -> None:
    stage = proposer()
    first = stage.run(forecast(signal(*QUEUE)), None, NOW)
    assert stage.run(outcome("refused", "other"), first.state, NOW).state == first.state
    unverified = outcome("unverified", only(first).hash, final=False)
    assert stage.run(unverified, first.state, NOW).state == first.state


def test_nothing_is_planned_while_a_run_is_under_way() -> None:
    event = forecast(signal(*QUEUE), status="mitigating")
    assert proposer().run(event, None, NOW).events == ()


def test_a_resolved_incident_is_not_planned_for_however_late_its_forecast() -> None:
    stage = proposer()
    over = stage.run(outcome("resolved"), None, NOW)
    assert stage.run(forecast(signal(*QUEUE)), over.state, NOW).events == ()
    resolved = stage.run(forecast(signal(*QUEUE), status="resolved"), None, NOW)
    assert resolved.events == ()
    for state in (over.state, resolved.state):
        assert stage.run(tick(3599)[0], state, tick(3599)[1]).state == state
        assert stage.run(tick(3600)[0], state, tick(3600)[1]).state is None


def test_no_plan_is_said_once_a_reason_and_then_handed_to_a_person() -> None:
    stage = proposer()
    first = stage.run(forecast(BURN), None, NOW)
    assert only(first).runbook == ""
    assert only(first).hash == ""
    again = stage.run(forecast(BURN), first.state, NOW + timedelta(seconds=60))
    assert again == Turn(first.state)
    early, at = tick(299)
    assert stage.run(early, again.state, at) == Turn(again.state)
    late, at = tick(300)
    given_up = stage.run(late, again.state, at)
    (said,) = given_up.events
    assert isinstance(said, Outcome)
    assert (said.result, said.final, said.by) == ("no_plan", False, "plan")
    assert said.reason == only(first).reason
    assert stage.run(late, given_up.state, at).events == ()
    fits = stage.run(forecast(BURN, signal(*QUEUE)), given_up.state, at)
    assert only(fits).runbook == "relieve-queue"


def test_an_incident_that_falls_quiet_is_given_time_to_heal() -> None:
    stage = proposer()
    first = stage.run(forecast(BURN), None, NOW)
    quiet = stage.run(forecast(BURN.model_copy(update={"cleared_at": NOW})), first.state, NOW)
    late, at = tick(400)
    assert stage.run(late, quiet.state, at).events == ()


def test_a_dry_run_is_planned_as_one_and_has_its_own_hash() -> None:
    event = forecast(signal(*QUEUE))
    wet, dry = (only(proposer(dry_run=d).run(event, None, NOW)) for d in (False, True))
    assert dry.dry_run
    assert wet.hash != dry.hash


def test_events_belong_to_their_incident() -> None:
    stage = proposer()
    assert stage.key(forecast(BURN)) == stage.key(outcome("resolved")) == "inc-1"
    assert stage.key(tick(0)[0]) == ""
    assert stage.run(tick(0)[0], None, NOW) == Turn(None)
