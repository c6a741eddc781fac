"""Policy: what the rules say is done, and whatever is not a clear answer is a refusal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.policy import Judge, document, evaluate_plan, explain_decision
from runbooks.rego import EXAMPLE, SHIPPED, Rego
from schemas.errors import Rejected, Unavailable
from schemas.event import Severity
from schemas.forecasts import BudgetForecast
from schemas.incidents import Incident
from schemas.outcomes import Outcome
from schemas.plans import Action, Constraint, Decision, Plan, Step, Verification, plan_hash

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
SHIPPED_RULES = Rego(SHIPPED)


def plan(*, steps: tuple[Step, ...] | None = None, **more: Any) -> Plan:
    step = Step(
        name="scale",
        summary="more",
        touches="shop",
        do=Action.of("http", {"target": "shop", "json": {"replicas": 4}}),
        undo=None,
        irreversible="it only adds",
        timeout_s=30,
    )
    incident = Incident(
        at=NOW, group="g", incident="inc-1", change="opened", status="open", title="t",
        service="shop", services=("shop",), severity=Severity.high, opened_at=NOW, signals=(),
        reason="r",
    )  # fmt: skip
    verdict = get_args(BudgetForecast.model_fields["verdict"].annotation)[0]
    budget = BudgetForecast(
        objective="shop", verdict=verdict, reason="r", left=0.5, burn=14.4, exhausts=0.9,
        horizon_minutes=240,
    )  # fmt: skip
    values: dict[str, Any] = {
        "id": "p1", "at": NOW, "group": "g", "incident": incident, "budget": budget,
        "runbook": "relieve", "runbook_version": "1", "owner": "shop-team", "risk": "medium",
        "blast_radius": ("shop",), "environment": "staging", "dry_run": False,
        "requested_by": "sentinel", "steps": (step,) if steps is None else steps,
        "verification": Verification(within_s=300, stable_s=30), "reason": "fits", **more,
    }  # fmt: skip
    made = Plan(**values)
    return made if "hash" in more else made.model_copy(update={"hash": plan_hash(made)})


@dataclass
class Says:
    """An evaluator that answers, or raises, what it is told; and remembers what it was asked."""

    answer: object
    engine: str = "test"
    asked: list[Mapping[str, object]] = field(default_factory=list)

    def evaluate(self, document: Mapping[str, object]) -> object:
        """As told."""
        self.asked.append(document)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def rule(effect: str, ident: str = "r") -> dict[str, str]:
    return {"id": ident, "effect": effect, "reason": f"{effect} it"}


def answer(
    *effects: str, constraints: tuple[dict[str, str], ...] = (), count: int = 0, **more: object
) -> dict[str, object]:
    return {
        "rules": [rule(effect, f"{effect}-{n}") for n, effect in enumerate(effects)],
        "constraints": list(constraints),
        "approvals": {"count": count, "approvers": [], "expires_s": 600},
        **more,
    }


LIMIT = {"name": "step_timeout_s", "value": "20"}


@pytest.mark.parametrize(
    ("said", "effect"),
    [
        (answer("allow"), "allow"),
        (answer("allow", "constrain", constraints=(LIMIT,)), "constrain"),
        (answer("approve", count=1), "approve"),
        (answer("allow", "approve", count=1), "approve"),
        (answer("constrain", "approve", "allow", constraints=(LIMIT,), count=2), "approve"),
        (answer("allow", "deny"), "deny"),
        (answer("approve", "deny", "constrain", constraints=(LIMIT,), count=1), "deny"),
        (answer(), "deny"),
        (answer("constrain", constraints=(LIMIT,)), "deny"),
    ],
)
def test_deny_wins_over_approve_over_constrain_over_allow(said: object, effect: str) -> None:
    decision = evaluate_plan(plan(), "staging", Says(said), NOW)
    assert decision.effect == effect
    assert decision.rules[0].effect == effect
    assert decision.reason


def test_silence_is_a_refusal_that_says_so() -> None:
    decision = evaluate_plan(plan(), "staging", Says(answer()), NOW)
    assert [r.id for r in decision.rules] == ["nothing-allows"]


def test_the_order_in_which_rules_are_said_does_not_matter() -> None:
    """Sets have no order, and two evaluators have two."""
    one, other = answer("allow", "deny", "deny"), answer("allow", "deny", "deny")
    other["rules"] = list(reversed(other["rules"]))  # type: ignore[call-overload] # a list
    decided = [evaluate_plan(plan(), "staging", Says(said), NOW) for said in (one, other)]
    assert decided[0] == decided[1]


@pytest.mark.parametrize(
    "said",
    [
        Rejected("undefined for this input"), Unavailable("OPA is away"), TimeoutError("late"),
        RuntimeError("a bug"), RecursionError("deep"), KeyError("x"),
        None, True, "allow", [], {}, 1, {"rules": [rule("allow")]},
        answer("allow", rules=None), answer("allow", rules={}), answer("allow", rules="allow"),
        answer("allow", rules=["allow"]), answer("allow", rules=[{"effect": "allow"}]),
        answer("permit"), answer("ALLOW"),
        answer("allow", rules=[{**rule("allow"), "reason": ""}]),
        answer("allow", rules=[{**rule("allow"), "id": ""}]),
        answer("allow", rules=[{**rule("allow"), "id": 7}]),
        answer("allow", rules=[{**rule("allow"), "more": 1}]),
        answer("allow", rules=[{**rule("allow"), "reason": "x" * 10_000}]),
        answer("allow", more=1), {**answer("allow"), "constraints": None}, answer("allow", approvals=None),
        answer("allow", "constrain", constraints=({"name": "a", "value": 3},)),  # type: ignore[dict-item]
        answer("allow", "constrain"), answer("allow", constraints=(LIMIT,)),
        answer("allow", "constrain", constraints=(LIMIT, {**LIMIT, "value": "30"})),
        answer("allow", "constrain", constraints=({"name": "start_within_s", "value": "soon"},)),
        answer("allow", "constrain", constraints=({"name": "start_within_s", "value": "nan"},)),
        answer("allow", "constrain", constraints=({"name": "start_within_s", "value": "1e999"},)),
        answer("allow", "constrain", constraints=(
            {"name": "start_within_s", "value": "9"}, {"name": "not_after", "value": "x"})),
        answer("approve"), answer("allow", count=1), answer("approve", count=-1),
        answer("approve", count=True), answer("approve", count=1.5), answer("approve", count="1"),  # type: ignore[arg-type]
        answer("approve", approvals={"count": 1, "approvers": [], "expires_s": 0}),
        answer("approve", approvals={"count": 1, "approvers": [], "expires_s": float("inf")}),
        answer("approve", approvals={"count": 1, "approvers": "anyone", "expires_s": 60}),
        answer("approve", approvals={"count": 1, "approvers": [""], "expires_s": 60}),
        answer("approve", approvals={"count": 1, "expires_s": 60}),
    ],
)  # fmt: skip
def test_whatever_is_not_a_clear_answer_is_a_refusal(said: object) -> None:
    made = plan()
    turn = Judge(Says(said), environment="staging").run(made, None, NOW)
    decision, outcome = turn.events
    assert isinstance(decision, Decision)
    assert isinstance(outcome, Outcome)
    assert (decision.effect, [r.id for r in decision.rules]) == ("deny", ["fail-closed"])
    assert (decision.approvals_needed, decision.constraints, decision.approvers) == (0, (), ())
    assert decision.reason.startswith("no clear answer, so no: ")
    assert "\n" not in decision.reason
    assert (outcome.result, outcome.final, outcome.by) == ("refused", True, "policy")
    assert (outcome.incident, outcome.plan_hash) == ("inc-1", made.hash)
    assert outcome.reason == decision.reason


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_values)
def test_no_odd_answer_ever_allows(said: object) -> None:
    assert evaluate_plan(plan(), "staging", Says(said), NOW).effect == "deny"


def test_the_decision_carries_what_approve_and_execute_need() -> None:
    said = answer(
        "approve", "constrain", constraints=(LIMIT, {"name": "start_within_s", "value": "900"}),
        approvals={"count": 2, "approvers": ["ana", "bo"], "expires_s": 1800},
    )  # fmt: skip
    decision = evaluate_plan(plan(), "staging", Says(said), NOW)
    assert (decision.approvals_needed, decision.approvers) == (2, ("ana", "bo"))
    assert decision.expires_at == NOW + timedelta(minutes=30)
    assert decision.constraints == (
        Constraint(name="not_after", value="2026-03-04T10:45:00Z"),  # 15 minutes after that
        Constraint(name="step_timeout_s", value="20"),
    )
    assert decision.engine == "test"


def test_what_is_allowed_is_said_once_and_nothing_is_remembered() -> None:
    turn = Judge(Says(answer("allow")), environment="staging").run(plan(), None, NOW)
    (decision,) = turn.events
    assert isinstance(decision, Decision)
    assert turn.state is None
    assert decision.group == "g"


def test_a_plan_without_a_runbook_needs_no_decision() -> None:
    evaluator = Says(answer("allow"))
    assert Judge(evaluator, environment="staging").run(plan(runbook=""), None, NOW).events == ()
    assert evaluator.asked == []


def test_a_plan_that_was_edited_is_refused_unasked() -> None:
    evaluator = Says(answer("allow"))
    turn = Judge(evaluator, environment="staging").run(plan(hash="0" * 64), None, NOW)
    decision = turn.events[0]
    assert isinstance(decision, Decision)
    assert decision.effect == "deny"
    assert evaluator.asked == []


def test_a_plan_for_another_place_is_refused_unasked() -> None:
    """A plan cannot choose the milder rules of staging to run in production."""
    evaluator = Says(answer("allow"))
    turn = Judge(evaluator, environment="production").run(plan(), None, NOW)
    decision = turn.events[0]
    assert isinstance(decision, Decision)
    assert decision.effect == "deny"
    assert "the plan is for staging, this is production" in decision.reason
    assert evaluator.asked == []


def test_the_same_plan_gives_the_same_decision() -> None:
    stage = Judge(SHIPPED_RULES, environment="staging")
    assert stage.run(plan(), None, NOW) == stage.run(plan(), None, NOW)
    assert stage.key(plan()) == "inc-1"


# ---- the shipped policies


@pytest.mark.parametrize(
    ("changes", "environment", "effect", "ids", "needed"),
    [
        ({"risk": "low"}, "staging", "allow", ["unattended"], 0),
        ({"risk": "medium"}, "development", "allow", ["unattended"], 0),
        ({"risk": "high"}, "staging", "approve", ["risk"], 1),
        ({"risk": "low"}, "production", "approve", ["guarded", "start-soon"], 1),
        ({"risk": "high"}, "production", "approve", ["guarded", "guarded-high-risk", "start-soon"], 2),
        ({"risk": "high", "dry_run": True}, "production", "allow", ["dry-run"], 0),
        ({"dry_run": True}, "moon", "allow", ["dry-run"], 0),
        ({}, "moon", "deny", ["nothing-allows"], 0),
        ({"steps": ()}, "staging", "deny", ["nothing-to-do", "unattended"], 0),
        ({"blast_radius": ("bank",)}, "staging", "deny", ["outside-blast-radius", "unattended"], 0),
        ({"blast_radius": ()}, "production", "deny", ["outside-blast-radius", "guarded", "start-soon"], 0),
    ],
)  # fmt: skip
def test_the_shipped_policies(
    changes: dict[str, Any], environment: str, effect: str, ids: list[str], needed: int
) -> None:
    decision = evaluate_plan(plan(**changes), environment, SHIPPED_RULES, NOW)
    assert (decision.effect, [r.id for r in decision.rules]) == (effect, ids)
    assert decision.approvals_needed == needed
    assert decision.plan.environment == environment
    assert decision.plan.hash == plan_hash(decision.plan)


@pytest.mark.parametrize("where", ["do", "undo", "observe"])
def test_an_executor_that_is_not_listed_is_refused_wherever_it_hides(where: str) -> None:
    (step,) = plan().steps
    hidden = step.model_copy(update={where: Action.of("shell", {"command": "id"})})
    decision = evaluate_plan(plan(steps=(hidden,)), "staging", SHIPPED_RULES, NOW)
    assert decision.effect == "deny"
    assert decision.rules[0].id == "executor-not-listed"


def test_the_example_input_has_the_shape_of_the_real_one() -> None:
    """`lint_policies` tries policies on it."""

    def shape(value: object) -> object:
        if isinstance(value, dict):
            return {key: shape(inner) for key, inner in value.items() if key != "arguments"}
        return [shape(inner) for inner in value] if isinstance(value, list) else type(value)

    assert shape(document(plan(), NOW)) == shape(EXAMPLE)


def test_a_decision_reads_on_a_screen() -> None:
    made = plan(risk="high")
    decision = evaluate_plan(made, "production", SHIPPED_RULES, NOW)
    lines = explain_decision(decision)
    assert lines == [
        "relieve in production: allowed once approved",
        "  approve    guarded            a person must approve what changes production",
        "  approve    guarded-high-risk  high risk in production needs a second person",
        "  constrain  start-soon         the world moves on: start within 900 s",
        "  limit      not_after = 2026-03-04T10:45:00Z",
        "  approvals  2 of anyone known, until 2026-03-04 10:30:00 UTC",
        f"  plan       {decision.plan.hash[:12]}, judged by {SHIPPED_RULES.engine}",
    ]
    refused = explain_decision(
        evaluate_plan(plan(dry_run=True, steps=()), "staging", SHIPPED_RULES, NOW)
    )
    assert refused[0] == "relieve in staging as a dry run: refused"
