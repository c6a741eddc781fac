"""The budget forecast: by hand where a hand can, in range everywhere, honest on average."""

import json
from dataclasses import replace
from datetime import timedelta
from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.budget import (
    LEVELS,
    BudgetFilter,
    BudgetForecast,
    Gamma,
    Healing,
    Kalman,
    _crossings,
    _given_back,
    _spent,
    forecast,
    rank,
)
from agents.burn import Budget

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NEVER_HEALS = Healing(share=0.0)


def after(*runs: tuple[int, float, float], epsilon: float = 0.001) -> BudgetFilter:
    """The filter after runs of (buckets, bad, total)."""
    held = BudgetFilter(epsilon=epsilon)
    for buckets, bad, total in runs:
        for _ in range(buckets):
            held = held.update(bad, total)
    return held


def told(held: BudgetFilter, budget: Budget, seed: int = 1, **more: object) -> BudgetForecast:
    return forecast(held, budget=budget, rng=np.random.default_rng(seed), **more)  # type: ignore[arg-type]  # keywords pass through


def fixed(remaining: float, spent: float = 0.0) -> Budget:
    return Budget(1e6, spent, spent + remaining, 30 * DAY)


CALM = (60, 0.0, 1000.0)
OUTAGE = (20, 500.0, 1000.0)


def test_the_kalman_step_equals_the_recipe_by_hand() -> None:
    """Level ln .01, bad 20 of 1000: mean 10, r = 2/20.5, no jump."""
    before = Kalman(x=log(0.01), s=0.1)
    found = before.step(20, 1000)
    x, s = log(0.01) + 0.09, 0.09
    xx, xs, ss = 0.5 + 0.81 * 0.0004 + 0.0416, 0.81 * 0.0004 + 0.0016, 0.81 * 0.0004 + 0.0016
    mean = 1000 * exp(x)
    gain = xx / (xx + 2 / 20.5)
    innovation = log(20.5 / (mean + 0.5 * exp(-mean)))
    assert found.x == pytest.approx(x + gain * innovation)
    assert found.s == pytest.approx(s + xs / (xx + 2 / 20.5) * innovation)
    assert found.xx == pytest.approx(xx * (1 - gain))
    assert found.ss == pytest.approx(ss - xs**2 / (xx + 2 / 20.5))
    assert found.f == pytest.approx(2 + 0.05 * ((20 - mean) ** 2 / mean - 2))


def test_a_jump_is_followed_at_once_and_is_no_overdispersion() -> None:
    found = Kalman(x=log(0.001), xx=0.05).step(500, 1000)
    assert exp(found.x) == pytest.approx(0.5, rel=0.2)
    assert found.f == 2


def test_the_gamma_step_equals_the_recipe_by_hand() -> None:
    """Mean 10 of 1000: 12 is no surprise and 100 is, 16 (2 * 10 + 1e6 * 5 / 500^2) = 640."""
    before = Gamma(a=5, b=500)
    f = 2 + 0.05 * (0.4 - 2)
    assert before.step(12, 1000) == Gamma(0.6 * 5 + 12 / f, 0.6 * 500 + 1000 / f, f)
    assert before.step(100, 1000) == Gamma(0.05 * 5 + 50, 0.05 * 500 + 500, 2)


@pytest.mark.parametrize("total", [1, 10, 100])
def test_rare_traffic_without_failures_is_not_taken_for_half_broken(total: int) -> None:
    """A bucket of one success is weak evidence of health, never of failure."""
    held = after((500, 0, total))
    assert held.kalman is not None
    assert exp(held.kalman.x) < 0.01 / total**0.5


@pytest.mark.parametrize("remaining", [500, 1000, 2000])
def test_a_constant_burn_that_cannot_heal_ends_when_arithmetic_says(remaining: int) -> None:
    """100 failures a minute."""
    said = told(after((60, 100, 1000)), fixed(remaining), healing=NEVER_HEALS)
    assert said.verdict == "exhausts"
    assert said.eta is not None
    assert said.eta[0.5] == pytest.approx(remaining / 100, rel=0.15)
    assert said.eta[0.1] < remaining / 100 < said.eta[0.9]
    assert said.p_exhaust > 0.9


def test_the_future_heals_as_often_as_the_history_says() -> None:
    """Right after a jump the share is the prior; after two hours hardly any heals."""
    held = after(CALM, (4, 500, 1000))
    huge = fixed(1e5)
    young = told(replace(held, age=0), huge, healing=Healing(share=0.9, median=5))
    old = told(replace(held, age=120), huge, healing=Healing(share=0.9, median=5))
    assert young.p_exhaust < 0.3
    assert old.p_exhaust > young.p_exhaust + 0.3


def test_an_incidents_age_counts_from_its_rise_and_ends_with_it() -> None:
    assert after(CALM).age == 0
    assert after(CALM, (7, 500, 1000)).age == 7
    assert after(CALM, (7, 500, 1000), (30, 0, 1000)).age == 0
    assert after((400, 1, 1000)).age == 0, "a service that always burns 1 is not in an incident"


@pytest.mark.parametrize(
    ("held", "budget", "verdict", "reason"),
    [
        (after((3, 1, 10)), fixed(10), "not enough data", "3 of 10 buckets seen"),
        (after((30, 0, 0)), fixed(10), "not enough data", "no events in the first 30 buckets"),
        (after(CALM), Budget(0, 0, 0, None), "not enough data", "no events in the period"),
        (after(CALM, (15, 0, 0)), fixed(10), "holds", "no events in the last 15 buckets"),
        (after(CALM), fixed(10), "holds", "burning 0 over 5 buckets, an ETA is told from 1 on"),
        (after(CALM, OUTAGE), fixed(0, 50), "exhausted", "50 failures, 50 were allowed"),
        (after(CALM, (20, 2, 1000)), fixed(1e6), "holds", "0% of the paths use the budget up"),
    ],
)
def test_no_eta_is_shown_where_none_is_known(
    held: BudgetFilter, budget: Budget, verdict: str, reason: str
) -> None:
    said = told(held, budget)
    assert said.verdict == verdict
    assert said.reason.startswith(reason)
    assert said.eta is None


def test_what_resets_before_it_is_gone_is_never_gone() -> None:
    """An outage that needs 20 minutes, 5 minutes before the month turns."""
    held, left = after(CALM, (60, 500, 1000)), 10_000.0
    late = told(held, Budget(1e6, 0, left, 5 * MINUTE))
    assert (late.verdict, late.horizon) == ("holds", 5)
    early = told(held, Budget(1e6, 0, left, DAY), healing=NEVER_HEALS)
    assert early.eta is not None
    assert early.eta[0.5] == pytest.approx(20, rel=0.2)


def test_a_rolling_period_gives_back_what_leaves_it() -> None:
    """Burning 10 a minute net, 9.9 come back each minute: lasts where a fixed one does not."""
    held = after((60, 11, 1000))
    left = Budget(1e6, 900, 1000, None)
    without = told(held, left, rolling=30 * DAY, healing=NEVER_HEALS)
    given = told(held, left, rolling=30 * DAY, healing=NEVER_HEALS, leaving=np.full(360, 9.9))
    assert without.eta is not None
    assert without.eta[0.5] == pytest.approx(10, rel=0.15)
    assert given.eta is None or given.eta[0.5] > 2 * without.eta[0.5]


def test_a_rolling_hour_forgets_what_it_spent_itself() -> None:
    """An hour's budget spends 100 - 50 a minute for an hour and then as much as it gets back."""
    minutes = np.array([0.0, 30, 60, 65, 90, 360])
    ratios = np.full((1, 6), 0.1)
    assert _spent(ratios, minutes, 1000, 0.05, 60.0)[0] == pytest.approx(
        [0, 1500, 3000, 3000, 3000, 3000]
    )
    assert _spent(ratios, minutes, 1000, 0.05, None)[0] == pytest.approx(minutes * 100)
    assert _given_back(np.full(60, 2.0), minutes) == pytest.approx([0, 60, 120, 120, 120, 120])


@pytest.mark.parametrize(
    ("left", "minutes"),
    [([4, 2, 0, -9], 2), ([4, 1, -1, 9], 1.5), ([4, 3, 2, 1], np.inf), ([4, -4, 4, 4], 0.5)],
)
def test_the_end_is_the_first_time_that_nothing_is_left(left: list[float], minutes: float) -> None:
    assert _crossings(np.array([left], float), np.arange(4.0))[0] == minutes


def test_buckets_of_another_width_keep_minutes() -> None:
    """The same burn in 30-second buckets is gone after the same time."""
    half = told(
        after((60, 50, 500)),
        fixed(1000),
        bucket=MINUTE / 2,
        healing=NEVER_HEALS,
    )
    assert half.eta is not None
    assert half.eta[0.5] == pytest.approx(10, rel=0.2)


def test_the_same_generator_gives_the_same_forecast() -> None:
    held = after(CALM, OUTAGE)
    assert told(held, fixed(5e4), seed=3) == told(held, fixed(5e4), seed=3)
    assert told(held, fixed(5e4), seed=3) != told(held, fixed(5e4), seed=4)


def test_a_pool_of_ranks_moves_the_bands_and_a_small_one_does_not() -> None:
    """Outcomes that came in the earliest fifth of the paths pull every quantile there."""
    held = after(CALM, OUTAGE)
    plain = told(held, fixed(5e4))
    early = told(held, fixed(5e4), pool=[i / 500 for i in range(100)])
    assert plain.eta is not None
    assert early.eta is not None
    assert early.eta[0.95] < plain.eta[0.25]
    assert told(held, fixed(5e4), pool=[0.0] * 19).eta == plain.eta
    even = told(held, fixed(5e4), pool=[i / 1000 for i in range(1001)])
    assert even.eta == pytest.approx(plain.eta)


def test_ranks_say_where_the_truth_fell() -> None:
    said = told(after(CALM, OUTAGE), fixed(5e4))
    assert said.eta is not None
    assert rank(said, 0) == 0
    assert rank(said, 1e6) == 1
    assert rank(said, said.eta[0.5]) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="nothing to rank among"):
        rank(told(after((3, 1, 10)), fixed(10)), 5)


buckets = st.lists(
    st.tuples(st.floats(0, 1), st.one_of(st.integers(0, 20), st.integers(0, 10**9))),
    min_size=10,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(buckets, st.sampled_from([0.1, 0.001, 0.0001]), st.floats(-10, 1e9), st.integers(0, 9))
def test_whatever_comes_quantiles_are_ordered_and_finite(
    seen: list[tuple[float, int]], epsilon: float, remaining: float, seed: int
) -> None:
    """No traffic, nothing but failures, a billion events: no NaN, p in [0, 1], JSON survives."""
    held = BudgetFilter(epsilon=epsilon)
    for share, total in seen:
        held = held.update(round(share * total), total)
    again = BudgetFilter.from_dict(json.loads(json.dumps(held.to_dict())))
    assert again == held
    for budget in (Budget(1, 50, 50 + remaining, DAY), Budget(1, 50, 50 + remaining, None)):
        rolling = HOUR if budget.resets_in is None else None
        said = told(again, budget, seed, rolling=rolling, leaving=np.linspace(-1, 1, 60))
        assert 0 <= said.p_exhaust <= 1
        if said.eta is not None:
            etas = [said.eta[level] for level in LEVELS]
            assert np.isfinite(etas).all()
            assert etas == sorted(etas)
            assert 0 <= etas[0] <= etas[-1] <= said.horizon
        if said.fan is not None:
            assert np.isfinite(said.fan.left).all()
            assert all(list(row) == sorted(row) for row in said.fan.left)
        assert (said.eta is not None) == (said.verdict == "exhausts")


def test_the_80_percent_band_holds_its_claim_and_a_constant_burns_does_not() -> None:
    """60 steps of errors, 40 % healing; `benchmarks/forecast.py` measures it properly."""
    rng = np.random.default_rng(5)
    ours, constant = [], []
    for _ in range(60):
        ratio = 0.001 * rng.uniform(10, 200) * np.exp(0.3 * rng.standard_normal(300).cumsum() / 3)
        heals = rng.uniform() < 0.4
        ends = 20 * (1 / rng.uniform(0.01, 1) - 1) ** (1 / 1.9) if heals else 1e9
        ratio *= np.exp(-np.maximum(np.arange(300) - ends, 0) / 3)
        bad = np.minimum(rng.poisson(1000 * np.minimum(ratio, 0.9) * rng.gamma(5, 0.2, 300)), 1000)
        allowed = 1000 * ratio[0] * rng.uniform(15, 120)
        spent = bad.cumsum()
        gone = int(np.argmax(spent >= allowed)) + 1 if spent[-1] >= allowed else 0
        held = after(CALM)
        for now in range(1, gone):
            held = held.update(bad[now - 1], 1000)
            if now % 5:
                continue
            said = told(held, Budget(1e6, spent[now - 1], allowed, DAY), seed=now)
            if said.eta is None:
                continue
            ours.append(said.eta[0.1] - 1 <= gone - now <= said.eta[0.9] + 1)
            last = bad[now - 5 : now].sum()
            rates = (last + np.array([1.28, -1.28]) * last**0.5) / 5
            low, high = (allowed - spent[now - 1]) / np.maximum(rates, 0.1)
            constant.append(low - 1 <= gone - now <= high + 1)
    assert len(ours) > 150
    assert 0.7 <= np.mean(ours) <= 0.97
    assert np.mean(constant) < np.mean(ours) - 0.2
