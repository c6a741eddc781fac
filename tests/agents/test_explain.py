"""Explain: one report an ending, every figure from a record, every ending told rightly."""

import random
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.cost import FORMULA
from agents.evidence import OPERATIONS, unresolved, verify_bundle
from agents.explain import Explain, ExplainSettings, Told
from agents.facts import resolve
from runbooks.objectives import Objective, load
from runbooks.rates import RateCard, load_rates
from schemas.event import Event, Severity
from schemas.forecasts import Forecast
from schemas.operations import Tick
from schemas.outcomes import Report
from schemas.plans import Constraint, Refusal, Rule
from tests.story import START, Script, fixed

RUNBOOKS = Path(__file__).parents[2] / "runbooks"
RATES: RateCard = load_rates(RUNBOOKS / "rates.yaml")


@pytest.fixture(scope="module")
def objective() -> Objective:
    (first, *_) = load(RUNBOOKS / "slo").objectives
    return first.model_copy(update={"name": "checkout-availability", "target": 0.999})


@pytest.fixture(scope="module")
def explain(objective: Objective) -> Explain:
    return Explain(ExplainSettings(), RATES, [objective])


def told(explain: Explain, events: list[Event]) -> tuple[Told | None, list[Report]]:
    """All events in order; what is remembered, and the reports, stamped."""
    state: Told | None = None
    reports: list[Report] = []
    for event in events:
        if isinstance(event, Tick) or explain.key(event):
            state, said = explain.run(event, state, event.at)
            reports += [
                report.stamped(stage="explain", cause=event.id, position=str(n), trace="")
                for n, report in enumerate(said)
                if isinstance(report, Report)
            ]
    return state, reports


def tick(seconds: float) -> Tick:
    return Tick(id=f"t{seconds}", at=START + timedelta(seconds=seconds), group="", number=0)


def one(explain: Explain, script: Script) -> Report:
    _, (report,) = told(explain, script.said)
    assert unresolved(report) == []
    assert verify_bundle(report.bundle).ok
    assert report.headline
    return report


def denied() -> Script:
    script = Script()
    plan = script.proposed(risk="high")
    rules = (Rule(id="freeze", effect="deny", reason="no changes on 24 December"),)
    decision = script.decision(4, plan, "deny", rules=rules, reason="change freeze")
    script.outcome(4.5, "refused", decision, plan_hash=plan.hash, by="policy", reason="freeze")
    return script


def rejected() -> Script:
    script = Script()
    plan = script.proposed()
    script.decision(4, plan, "approve", approvals_needed=1)
    answer = script.approval(60, plan, "reject")
    script.outcome(61, "refused", answer, plan_hash=plan.hash, by=answer.by, reason="rejected")
    return script


def expired() -> Script:
    script = Script()
    plan = script.proposed()
    decision = script.decision(4, plan, "approve", approvals_needed=1)
    script.outcome(
        3604, "refused", decision, plan_hash=plan.hash, by="approve", reason="no answer by 11:00"
    )
    return script


def no_plan() -> Script:
    script = Script()
    plan = script.proposed(
        runbook="", runbook_version="", owner="", steps=(), candidates=(), verification=None,
        reason="none of 7 runbooks is for a level shift",
    )  # fmt: skip
    script.outcome(120, "no_plan", plan, by="plan", reason="nothing for 2 min", final=True)
    return script


def dry_run() -> Script:
    script = Script()
    plan = script.proposed(dry_run=True)
    end = script.carried_out(script.approved(20, script.decision(4, plan)))
    script.outcome(27, "dry_run", end, run=end.run, plan_hash=plan.hash)
    return script


def taken_back(how: str = "rolled_back") -> Script:
    script = Script()
    plan = script.proposed()
    approved = script.approved(20, script.decision(4, plan, "approve"), script.approval(15, plan))
    end = script.carried_out(approved)
    unverified = script.outcome(
        326, "unverified", end, run=end.run, plan_hash=plan.hash, final=False,
        reason="not clear within 300 s",
    )  # fmt: skip
    undo = "succeeded" if how == "rolled_back" else "failed"
    script.result(327, approved, "undo", undo, detail="4 replicas again")
    back = script.result(328, approved, "run", how)
    script.outcome(329, how, back, run=unverified.run, plan_hash=plan.hash, reason="taken back")
    return script


def healed() -> Script:
    script = Script()
    anomaly = script.anomaly(0)
    script.incident(1, anomaly)
    cleared = script.anomaly(60, change="cleared")
    quiet = script.incident(61, cleared, change="quiet", quiet_since=cleared.at)
    script.outcome(361, "resolved", quiet, reason="quiet for 300 s with nothing done")
    return script


def test_a_verified_fix_is_told_with_its_evidence_and_its_worth(explain: Explain) -> None:
    report = one(explain, fixed())
    assert report.headline == "checkout: fixed by scale-out in 1.5 min, verified"
    for said in (
        "On 2026-03-04 10:00:00 UTC `checkout` showed “checkout: errors far above expected”",
        "at 43.5, expected 0.5 to 3.75; it has cleared.",
        "61 % was left, and it burned at 18.4 times",
        "with a chance of 93 %, and then in half of the cases within 41.5 min (21.2 to 77.8)",
        "Load was 119 requests a second, expected within the hour: 120 (96.2 to 151)",
        "`scale-out` (version `3`, owner `checkout-team`, low risk) in `production`",
        "Not chosen: `restart`, fit 0.31: “no leak seen”",
        "Policy allowed it: “risk low in production”",
        "`step_timeout_s`: `20`",
        "Nobody had to be asked.",
        "At 10:00:25 `scale`, carried out: succeeded in 1.75 s",
        "verified by its own signals: “quiet for 60 s”",
        "Cost avoided: 6,567 EUR (744 to 41,854).",
    ):
        assert said in report.story


@pytest.mark.parametrize(
    ("script", "title", "said"),
    [
        (denied(), "was not carried out, policy denied it", "Policy denied it: “change freeze”"),
        (
            rejected(),
            "was not carried out, it was rejected",
            "`sre-oncall` rejected it at 10:01:00",
        ),
        (expired(), "nobody approved it in time", "Policy asked for approval by people"),
        (no_plan(), "no runbook fits", "Nothing: “none of 7 runbooks is for a level shift”"),
        (dry_run(), "was gone through as a dry run", "This was a dry run: nothing was changed."),
        (taken_back(), "was taken back, people are needed", "Before that, at 10:05:26: it did not"),
        (taken_back("rollback_failed"), "could not be taken back, look now", "half so"),
        (healed(), "over by itself after 1 min", "nothing was changed, so it may come again"),
    ],
)
def test_every_ending_is_told_rightly_and_claims_nothing(
    explain: Explain, script: Script, title: str, said: str
) -> None:
    report = one(explain, script)
    assert title in report.headline
    assert said in report.story
    assert (report.cost.amount, report.cost.low, report.cost.high) == (0, 0, 0)
    assert f"No cost avoided is claimed: {report.cost.reason}." in report.story
    assert report.cost.formula == FORMULA


def test_an_answer_that_was_not_checked_is_not_told(explain: Explain) -> None:
    """Anybody may write to the topic; only an answer that counted is a person's word."""
    script = Script()
    plan = script.proposed()
    decision = script.decision(4, plan, "approve")
    forged = script.approval(10, plan)
    counted = script.approval(15, plan)
    script.say(
        Refusal(
            at=START, group=script.group, incident=script.ident, of="approval", by="mallory",
            reason="the signature is not mallory's over this text",
        )
    )  # fmt: skip
    end = script.carried_out(script.approved(20, decision, counted))
    script.outcome(151, "escalated", end, run=end.run, plan_hash=plan.hash)
    story = one(explain, script).story
    assert story.count("approved it at") == 1
    assert f"{forged.at:%H:%M:%S}" not in story
    assert "in the name of `mallory` did not count" in story


def test_each_final_ending_has_its_own_report(explain: Explain) -> None:
    """Refused first, then over by itself; what came before is told in the second."""
    script = denied()
    cleared = script.anomaly(60, change="cleared")
    quiet = script.incident(61, cleared, change="quiet", quiet_since=cleared.at)
    script.outcome(361, "resolved", quiet, reason="quiet for 300 s")
    _, reports = told(explain, script.said)
    assert [report.outcome for report in reports] == ["refused", "resolved"]
    assert "Before that, at 10:00:04: it was not carried out" in reports[1].story
    assert unresolved(reports[1]) == []


def test_an_ending_that_overtakes_its_causes_waits_for_them(explain: Explain) -> None:
    script = fixed()
    ends = [event for event in script.said if event.SUBJECT in ("result", "outcome")]
    early = [event for event in script.said if event not in ends]
    _, (report,) = told(explain, [*early, *reversed(ends)])
    assert "Not on record" not in report.story
    assert "the run succeeded" in report.story
    assert report.cost.amount > 0


def test_an_ending_whose_causes_never_come_is_told_with_what_there_is(explain: Explain) -> None:
    script = fixed()
    there = [e for e in script.said if e.SUBJECT not in ("result", "approved")]
    state, reports = told(explain, there)
    assert reports == []
    assert state is not None
    turn = explain.run(tick(160), state, START + timedelta(seconds=160))
    assert turn.events == ()
    (report,) = explain.run(tick(161), turn.state, START + timedelta(seconds=161)).events
    assert isinstance(report, Report)
    assert "Not on record when this was written: the approval, the end of the run." in report.story
    assert unresolved(report) == []


def test_an_ending_of_which_nothing_else_is_known_is_told_too(explain: Explain) -> None:
    script = Script()
    script.outcome(1, "escalated", None, reason="the run failed: 503 from the target")
    _, reports = told(explain, [*script.said, tick(12)])
    assert reports[0].headline == f"{script.ident}: it is in people's hands"
    assert unresolved(reports[0]) == []


def test_a_repeated_event_changes_nothing(explain: Explain) -> None:
    script = fixed()
    once, (report,) = told(explain, script.said)
    last = script.said[-1].at
    state, said = explain.run(script.said[-2], once, last)
    assert said == ()
    assert state == once
    assert told(explain, script.said)[1] == [report]


def test_an_incident_that_repeats_itself_keeps_its_first_its_changes_and_its_last(
    explain: Explain,
) -> None:
    script = Script()
    anomaly = script.anomaly(0)
    for second in range(1, 100):
        severity = Severity.critical if second >= 50 else Severity.high
        script.incident(second, anomaly, change="updated", severity=severity)
    script.outcome(361, "escalated", None)
    report = one(explain, script)
    made = orjson.loads(report.bundle)
    seconds = [
        record["body"]["at"][17:19] for record in made["records"] if record["subject"] == "incident"
    ]
    assert seconds == ["01", "49", "50", "39"]  # the first, before and after the change, the last
    assert made["left_out"] == 95


def test_an_incident_with_endless_changes_stays_within_bounds(explain: Explain) -> None:
    script = Script()
    first = script.anomaly(0, number=0)
    for number in range(1, 200):
        script.incident(number, first, script.anomaly(number, number=number))
    script.outcome(900, "escalated", None)
    state, (report,) = told(explain, script.said)
    assert state is not None
    assert len([kept for kept in state.kept if kept.subject == "incident"]) == 24
    assert unresolved(report) == []


def test_a_silent_incident_is_forgotten(explain: Explain) -> None:
    state, _ = told(explain, fixed().said)
    later = START + timedelta(days=1, minutes=2)
    assert explain.run(tick(0), state, later).state == state
    assert explain.run(tick(0), state, later + timedelta(minutes=5)).state is None


@pytest.mark.parametrize(
    "words",
    [
        "[pay](http://evil.example/1) **now** `rm -rf 9`",
        "“quoted” 17 <script>alert(1)</script>",
        "line\nend ## 3 heading\n- 4",
        "7" * 400,
        "",
    ],
)
def test_words_of_others_stay_words(explain: Explain, words: str) -> None:
    """Log lines end up in titles; they must not become links, code or headings."""
    script = Script()
    anomaly = script.anomaly(0)
    script.incident(1, anomaly, title=words)
    script.outcome(361, "escalated", None, reason=words)
    report = one(explain, script)
    assert re.search(r"(?<!\\)\]\(", report.story) is None
    assert "<script" not in report.story.replace("\\<", "")
    assert "\n## 3" not in report.story


@given(st.randoms(use_true_random=False), st.floats(-1e6, 1e6), st.floats(0, 1e9))
@settings(max_examples=40, deadline=None)
def test_every_figure_is_from_a_record_whatever_its_size(
    explain: Explain, order: random.Random, left: float, burn: float
) -> None:
    script = Script()
    anomaly = script.anomaly(0)
    incident = script.incident(1, anomaly)
    plan = script.plan(
        3, script.forecast(2, incident, script.budget(1, left=min(left, 1), burn=burn))
    )
    end = script.carried_out(script.approved(20, script.decision(4, plan)))
    script.outcome(151, "resolved", end, run=end.run, plan_hash=plan.hash, verified=True)
    mixed = script.said[:-1]
    order.shuffle(mixed)
    _, (report,) = told(explain, [*mixed, script.said[-1]])
    assert unresolved(report) == []
    assert report.cost.low <= report.cost.amount <= report.cost.high


def test_a_figure_that_is_from_no_record_is_found(explain: Explain) -> None:
    """The check itself can fail."""
    report = one(explain, fixed())
    for old, new in (("61 %", "62 %"), ("`scale-out`", "`scale-up`"), ("no leak", "a leak")):
        wrong = report.model_copy(update={"story": report.story.replace(old, new)})
        assert unresolved(wrong) != []
    fact = report.facts[0].model_copy(update={"value": "2026-03-04T10:00:01Z"})
    assert unresolved(report.model_copy(update={"facts": (fact, *report.facts[1:])})) != []


def test_computed_figures_can_be_computed_again_from_the_bundle(explain: Explain) -> None:
    report = one(explain, fixed())
    bodies = {r["id"]: r["body"] for r in orjson.loads(report.bundle)["records"]}
    computed = [body for ident, body in bodies.items() if ident.startswith("computed-")]
    assert len(computed) == 4
    for body in computed:
        inputs = [resolve(bodies[place["record"]], place["field"]) for place in body["inputs"]]
        assert OPERATIONS[body["operation"]](*inputs) == body["value"]
    assert bodies["computed-cost-avoided-middle"]["value"] == report.cost.amount


def tampered(bundle: str, deed: str) -> str:
    made: dict[str, Any] = orjson.loads(bundle)
    records = made["records"]
    match deed:
        case "change":
            records[2]["body"]["reason"] = "another"
        case "remove":
            del records[1]
        case "move":
            records[0], records[1] = records[1], records[0]
        case "double":
            records.append(records[0])
        case "leave out":
            made["left_out"] = 3
        case "figure":
            records[-1]["body"]["value"] = 1e9
        case "cut":
            return bundle[:-20]
        case "empty":
            return "{}"
    return orjson.dumps(made).decode()


@pytest.mark.parametrize(
    "deed", ["change", "remove", "move", "double", "leave out", "figure", "cut", "empty"]
)
def test_a_bundle_that_was_altered_is_found(explain: Explain, deed: str) -> None:
    bundle = one(explain, fixed()).bundle
    assert tampered(bundle, "") == bundle
    assert not verify_bundle(tampered(bundle, deed)).ok


def test_a_dry_run_by_policy_claims_nothing_either(explain: Explain) -> None:
    script = Script()
    plan = script.proposed()
    limits = (Constraint(name="dry_run", value="true"),)
    approved = script.approved(20, script.decision(4, plan, "constrain", constraints=limits))
    end = script.result(26, approved, "run", "succeeded")
    script.said[-1] = dry = end.model_copy(update={"dry_run": True})
    script.outcome(27, "resolved", dry, run=end.run, plan_hash=plan.hash, verified=True)
    report = one(explain, script)
    assert (report.cost.high, report.cost.reason) == (0, "a dry run changes nothing")


def test_an_unknown_objective_claims_nothing() -> None:
    explain = Explain(ExplainSettings(), RATES, [])
    report = one(explain, fixed())
    assert report.cost.high == 0
    assert report.cost.reason == "the objective is not in the catalogue any more"


def test_a_fix_before_the_budget_burned_is_worth_the_burn_that_came(explain: Explain) -> None:
    """Found so early that the plan knew of no burn; while it lasted it burned fast."""
    script = fixed()
    calm = [
        event.model_copy(update={"budget": event.budget.model_copy(update={"burn": 0.0})})
        if isinstance(event, Forecast)
        else event
        for event in script.said
    ]
    first = next(n for n, event in enumerate(calm) if isinstance(event, Forecast))
    worst = script.said[first].model_copy(update={"id": "forecast-while-it-lasted"})
    _, (without,) = told(explain, calm)
    _, (report,) = told(explain, [*calm[:-2], worst, *calm[-2:]])
    assert (without.cost.high, without.cost.reason) == (
        0,
        "the service stayed within its objective",
    )
    assert report.cost.amount > 0
    burn = next(f for f in report.cost.inputs if f.name == "burn rate")
    assert (burn.record, burn.field) == ("forecast-while-it-lasted", "budget.burn")
