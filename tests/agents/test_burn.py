"""Burn rates, alerts and budgets against the workbook's table and computation by hand."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.burn import Budget, Counts, History, burn_rate, judge, judge_all
from runbooks.objectives import BurnAlert, Objective, Period, SeriesSelector, alerts_for

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PAGE = BurnAlert(long=HOUR, short=5 * MINUTE, factor=14.4)
SLOW_PAGE = BurnAlert(long=6 * HOUR, short=30 * MINUTE, factor=6)
START = datetime(2025, 3, 3, tzinfo=UTC)


def objective(
    target: float = 0.999,
    period: Period | None = None,
    bucket: timedelta = MINUTE,
    alerts: tuple[BurnAlert, ...] | None = None,
) -> Objective:
    period = period or Period(length=30 * DAY)
    return Objective(
        name="checkout",
        service="checkout",
        target=target,
        period=period,
        bucket=bucket,
        counter=False,
        good=SeriesSelector(metric="good"),
        total=SeriesSelector(metric="all"),
        alerts=alerts_for(period.length, bucket) if alerts is None else alerts,
    )


def fired(history: History, slo: Objective, now: datetime) -> list[timedelta]:
    return [judged.alert.long for judged in judge_all(history, slo, now) if judged.verdict.fires]


def test_one_error_at_night_does_not_page() -> None:
    """Low traffic: a single failed request is no outage."""
    verdict = judge(PAGE, long=Counts(1, 2), short=Counts(0, 1), objective=0.999)
    assert verdict == (False, "only 1 failure in 1:00:00, 3 are needed")


def test_a_total_outage_pages_however_little_the_traffic() -> None:
    verdict = judge(PAGE, long=Counts(0, 3), short=Counts(0, 1), objective=0.999)
    assert verdict == (True, "burning 1000.0 over 1:00:00, 1000.0 over 0:05:00")


def test_no_traffic_says_so() -> None:
    assert judge(PAGE, Counts(0, 0), Counts(0, 0), 0.999) == (False, "no events in 1:00:00")


@pytest.mark.parametrize("target", [0.90, 0.99, 0.999, 0.9999])
@pytest.mark.parametrize("alert", [PAGE, SLOW_PAGE], ids=["14.4", "6"])
@pytest.mark.parametrize(("share", "fires"), [(0.99, False), (1.0, True), (1.01, True)])
def test_an_alert_fires_at_its_factor_and_not_below(
    *, target: float, alert: BurnAlert, share: float, fires: bool
) -> None:
    total = 1e7
    bad = alert.factor * share * (1 - target) * total
    within_reach = bad <= total  # 14.4 is more than a total outage at 90 %
    window = Counts(max(total - bad, 0), total)
    assert judge(alert, window, window, target).fires is (fires and within_reach)


@pytest.mark.parametrize(
    ("long", "short"),
    [(Counts(900, 1000), Counts(100, 100)), (Counts(9999, 10000), Counts(0, 100))],
    ids=["over already", "too short to matter"],
)
def test_both_windows_must_agree(long: Counts, short: Counts) -> None:
    assert not judge(PAGE, long, short, 0.999).fires


@pytest.mark.parametrize(
    ("width", "found"),
    [(timedelta(seconds=1), 52), (timedelta(seconds=10), 52), (MINUTE, 52)],
)
def test_total_failure_is_detected_after_52_seconds_at_three_nines(
    width: timedelta, found: int
) -> None:
    """14.4 * 0.001 * 3600 s = 51.84 s of nothing but failures fill the hour's 1.44 %."""
    slo = objective(bucket=width, alerts=(PAGE,))
    history = History.empty(slo)
    per_bucket = 10 * width.total_seconds()
    for i in range(int(HOUR / width)):
        history = history.add(slo, START + i * width, Counts(per_bucket, per_bucket))
    now = START + HOUR
    for second in range(1, 121):
        history = history.add(slo, now + timedelta(seconds=second - 1), Counts(0, 10))
        if fired(history, slo, now + timedelta(seconds=second - 1)):
            break
    assert second == pytest.approx(found, abs=1)


@pytest.mark.parametrize("target", [0.90, 0.99, 0.999, 0.9999])
@pytest.mark.parametrize("per_hour", [0, 1, 10])
def test_low_traffic_pages_for_an_outage_and_not_for_a_failure(
    per_hour: int, target: float
) -> None:
    """Three days of calm, one failure, three hours of calm, then nothing works."""
    slo = objective(target)
    history = History.empty(slo)
    gap = HOUR / per_hour if per_hour else HOUR
    requests = 3 * 24 * per_hour
    failed, outage = requests, requests + 3 * per_hour
    paged: dict[str, int] = {"calm": 0, "outage": 0}
    first = None
    for i in range(outage + 12 * per_hour or 87):
        now = START + i * gap
        if per_hour:
            bad = i == failed or i >= outage
            history = history.add(slo, now, Counts(0 if bad else 1, 1))
        pages = [
            judged
            for judged in judge_all(history, slo, now)
            if judged.verdict.fires and judged.alert.severity == "page"
        ]
        paged["outage" if i >= outage else "calm"] += bool(pages)
        if pages and first is None:
            first = i - outage + 1
    assert paged["calm"] == 0
    if per_hour == 0:
        assert paged["outage"] == 0
        return
    # Three failures, or at 90 % the share of six hours that burns six times: 60 %.
    needed = {0.90: 4 if per_hour == 1 else 36}.get(target, 3)
    assert first == pytest.approx(needed, abs=1)
    assert paged["outage"] == 12 * per_hour - (first or 0) + 1  # and it goes on until the end


def test_an_alert_lasts_through_a_short_window_without_a_request() -> None:
    """One request an hour: the thirty minutes after a failure hold none, and it is not over."""
    slo = objective()
    history = History.empty(slo)
    for i in range(6):
        history = history.add(slo, START + i * HOUR, Counts(0, 1))
    assert SLOW_PAGE.long in fired(history, slo, START + 5 * HOUR + 50 * MINUTE)
    history = history.add(slo, START + 5 * HOUR + 51 * MINUTE, Counts(1, 1))
    assert SLOW_PAGE.long not in fired(history, slo, START + 5 * HOUR + 52 * MINUTE)


def test_a_rolling_budget_equals_the_computation_by_hand() -> None:
    """10 days of 1440 requests, of which 3 a day fail: 14.4 allowed, 30 spent."""
    slo = objective()
    history = History.empty(slo)
    for hour in range(240):
        bad = 1 if hour % 8 == 0 else 0
        history = history.add(slo, START + hour * HOUR, Counts(60 - bad, 60))
    budget = history.budget(slo, START + 239 * HOUR)
    assert budget[:3] == pytest.approx((14400, 30, 14.4))
    assert budget.resets_in is None
    assert budget.left == pytest.approx(1 - 30 / 14.4)
    assert budget.availability == pytest.approx(1 - 30 / 14400)


def test_a_rolling_budget_comes_back_when_failures_leave() -> None:
    slo = objective()
    history = History.empty(slo).add(slo, START, Counts(0, 5))
    history = history.add(slo, START + 20 * DAY, Counts(9995, 9995))
    assert history.budget(slo, START + 29 * DAY).left == pytest.approx(0.5)
    assert history.budget(slo, START + 30 * DAY + HOUR).left == 1
    assert history.budget(slo, START + 50 * DAY + HOUR) == Budget(0, 0, 0, None)


def test_a_fixed_budget_is_a_share_of_what_the_period_will_hold() -> None:
    """Day 10 of March at 1440 a day: 31 * 1440 * 0.001 = 44.64 allowed, 5 spent."""
    slo = objective(period=Period(length=30 * DAY, start=START.replace(day=1), months=1))
    history = History.empty(slo)
    for hour in range(10 * 24):
        bad = 1 if hour < 5 else 0
        history = history.add(slo, START.replace(day=1) + hour * HOUR, Counts(60 - bad, 60))
    budget = history.budget(slo, START.replace(day=11))
    assert budget[:3] == pytest.approx((14400, 5, 44.64))
    assert budget.resets_in == 21 * DAY
    assert budget.left == pytest.approx(1 - 5 / 44.64)


def test_a_fixed_budget_starts_anew_and_knows_the_traffic_before() -> None:
    """The first minute of April has a budget, from the rate of March."""
    april = datetime(2025, 4, 1, tzinfo=UTC)
    slo = objective(period=Period(length=30 * DAY, start=START.replace(day=1), months=1))
    history = History.empty(slo)
    for hour in range(31 * 24):
        history = history.add(slo, START.replace(day=1) + hour * HOUR, Counts(30, 60))
    assert history.budget(slo, april - MINUTE).left < -400
    turned = history.budget(slo, april)
    assert turned[:3] == pytest.approx((0, 0, 30 * 1440 * 0.001))
    assert turned.resets_in == 30 * DAY
    history = history.add(slo, april + MINUTE, Counts(59, 60))
    assert history.budget(slo, april + HOUR).bad == 1
    assert history.budget(slo, april + HOUR).left == pytest.approx(1 - 1 / 43.2, rel=0.01)


def test_what_a_rolling_period_gives_back_is_what_leaves_it() -> None:
    """A one-hour period: minute k of the next hour takes bucket k of the last hour out."""
    slo = objective(0.99, Period(length=HOUR))
    history = History.empty(slo)
    for minute in range(60):
        history = history.add(slo, START + minute * MINUTE, Counts(100 - minute, 100))
    now = START + 60 * MINUTE - timedelta(microseconds=1)
    leaving = history.leaving(slo, now, minutes=360)
    assert leaving == pytest.approx(np.arange(60) - 1.0, abs=1e-3)
    held = history.budget(slo, now)
    assert leaving.sum() == pytest.approx(held.bad - held.allowed)


def test_a_late_event_finds_its_bucket_and_an_ancient_one_none() -> None:
    slo = objective(alerts=(PAGE,))
    history = History.empty(slo).add(slo, START + 2 * HOUR, Counts(1, 1))
    late = history.add(slo, START + HOUR + 30 * MINUTE, Counts(0, 1))
    assert late.counts(HOUR, START + 2 * HOUR) == (1, 2)
    assert late.counts(5 * MINUTE, START + 2 * HOUR) == (1, 1)
    ancient = history.add(slo, START - DAY, Counts(0, 1))
    assert ancient.counts(HOUR, START + 2 * HOUR) == (1, 1)
    assert history.counts(HOUR, START + 2 * HOUR) == (1, 1), "the state before is untouched"


def test_a_window_that_no_ring_holds_is_refused() -> None:
    slo = objective(alerts=(PAGE,), period=Period(length=30 * DAY, start=START))
    with pytest.raises(ValueError, match="longer than every window"):
        History.empty(slo).counts(DAY, START)


steps = st.lists(
    st.tuples(st.integers(0, 3 * 86400), st.integers(0, 10**9), st.floats(0, 1, allow_nan=False)),
    max_size=25,
)


@given(events=steps, target=st.sampled_from([0.9, 0.999, 0.9999]), rolls=st.booleans())
def test_states_survive_json_and_ratios_stay_in_range(
    events: list[tuple[int, int, float]], target: float, *, rolls: bool
) -> None:
    """Whatever comes, at whatever order within three days."""
    period = Period(length=DAY) if rolls else Period(length=DAY, start=START)
    slo = objective(target, period)
    history = History.empty(slo)
    for at, total, share in events:
        counts = Counts(round(total * share), total)
        history = history.add(slo, START + timedelta(seconds=at), counts)
    now = START + 3 * DAY
    saved = json.loads(json.dumps(history.to_dict()))
    again = History.from_dict(slo, saved)
    assert again.to_dict() == saved == history.to_dict()
    assert judge_all(again, slo, now) == judge_all(history, slo, now)
    budget = again.budget(slo, now)
    assert budget == history.budget(slo, now)
    assert budget.left <= 1
    assert 0 <= budget.availability <= 1
    for judged in judge_all(again, slo, now):
        assert 0 <= judged.slow <= 1 / (1 - target) + 1e-6
        assert judged.fast >= 0
    assert np.isfinite(again.leaving(slo, now, 360)).all()


def test_a_changed_objective_keeps_the_counts_that_still_fit() -> None:
    slo = objective()
    history = History.empty(slo)
    for minute in range(120):
        history = history.add(slo, START + minute * MINUTE, Counts(9, 10))
    changed = objective(alerts=(PAGE,))
    again = History.from_dict(changed, history.to_dict())
    now = START + 119 * MINUTE
    assert again.counts(HOUR, now) == (540, 600)
    assert again.budget(changed, now) == history.budget(slo, now)


def test_a_burn_is_zero_without_events_and_exact_with_a_billion() -> None:
    assert burn_rate(Counts(0, 0), 0.999) == 0
    assert burn_rate(Counts(1e9 - 1e6, 1e9), 0.999) == pytest.approx(1)
    assert burn_rate(Counts(11, 10), 0.999) == 0
