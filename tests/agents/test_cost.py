"""Cost avoided: the formula, its range, and when there is nothing to claim."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.cost import Inputs, Spread, avoided, choices, cost, why_not
from schemas.outcomes import Fact, Outcome
from tests.story import START


def fact(value: float) -> Fact:
    return Fact(name="", value=repr(value), unit="", record="r", field=f"f{value}")


def spread(low: float, mid: float, high: float) -> Spread:
    return Spread(fact(low), fact(mid), fact(high))


def inputs(*, burn: float = 21, target: float = 0.999, actual: float = 5) -> Inputs:
    return Inputs(
        requests=spread(80, 100, 120),
        burn=fact(burn),
        target=fact(target),
        manual=spread(20, 45, 90),
        actual=fact(actual),
        price=spread(0.1, 0.5, 1),
    )


def test_the_figure_is_that_of_the_formula_by_hand() -> None:
    """100/s, 2 % of them bad beyond what is allowed, 40 min spared, 0.50 each."""
    found = cost(inputs(), "EUR")
    assert found.amount == pytest.approx(100 * 0.02 * 40 * 60 * 0.5)
    assert found.low == pytest.approx(80 * 0.02 * 15 * 60 * 0.1)
    assert found.high == pytest.approx(120 * 0.02 * 85 * 60 * 1)
    assert found.reason == "fixed by a run, and verified"


def test_every_input_is_named_once() -> None:
    found = cost(inputs(), "EUR")
    assert len(found.inputs) == len(set(found.inputs)) == 12
    assert {f for chosen in choices(inputs()) for f in chosen} == set(found.inputs)


@pytest.mark.parametrize(
    ("given_inputs", "reason"),
    [
        (inputs(burn=1), "the service stayed within its objective"),
        (inputs(burn=0.2), "the service stayed within its objective"),
        (inputs(actual=90), "people would typically have been as fast"),
        (
            inputs()._replace(price=spread(0, 0, 0)),
            "no requests, or none that cost anything",
        ),
    ],
)
def test_zero_says_why(given_inputs: Inputs, reason: str) -> None:
    found = cost(given_inputs, "EUR")
    assert (found.amount, found.high, found.reason) == (0, 0, reason)


def test_slower_than_typical_but_faster_than_the_slowest_has_only_a_high_end() -> None:
    found = cost(inputs(actual=60), "EUR")
    assert (found.low, found.amount) == (0, 0)
    assert found.high > 0


@pytest.mark.parametrize(
    ("result", "verified", "dry_run", "reason"),
    [
        ("resolved", True, False, ""),
        ("resolved", True, True, "a dry run changes nothing"),
        ("resolved", False, False, "it ended by itself: no run can claim it"),
        ("dry_run", False, False, "a dry run changes nothing"),
        ("rolled_back", False, False, "nothing was fixed"),
        ("rollback_failed", False, False, "nothing was fixed"),
        ("refused", False, False, "nothing was fixed"),
        ("no_plan", False, False, "nothing was fixed"),
        ("escalated", False, False, "nothing was fixed"),
        ("unverified", False, False, "nothing was fixed"),
    ],
)
def test_only_a_verified_fix_may_claim(
    result: str,
    verified: bool,  # noqa: FBT001 - a column of the table
    dry_run: bool,  # noqa: FBT001 - a column of the table
    reason: str,
) -> None:
    outcome = Outcome(
        at=START, group="g", incident="i", result=result, final=True, by="v",  # type: ignore[arg-type]  # the table names them
        verified=verified, reason="",
    )  # fmt: skip
    assert why_not(outcome, dry_run=dry_run) == reason


@given(st.lists(st.floats(0, 1e6), min_size=6, max_size=6))
def test_it_is_never_negative(values: list[float]) -> None:
    requests, burn, target, manual, actual, price = values
    assert avoided(requests, burn, target / 1e6, manual, actual, price) >= 0
