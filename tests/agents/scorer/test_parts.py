"""The ideas one by one, each on a row of its own."""

import math

import numpy as np
import pytest

from agents.scorer.domains import CENTRE, SCALE, learn_domains, start_domains
from agents.scorer.interval import LAST_AT, interval, learn_gap
from agents.scorer.norms import UP, norm_cubes, tail_ratio
from agents.scorer.profiles import DAY, DAY_MEAN, DAY_SEEN, WEEK, hour_of, learn_profiles
from agents.scorer.records import BINS, records
from agents.scorer.rest import emit
from agents.scorer.sample import Sample
from agents.scorer.state import COUNT_WIDTH, SINGLE_WIDTH, WIDTH
from agents.scorer.surprise import threshold
from tests.agents.scorer.series import noise


@pytest.fixture
def row() -> np.ndarray:
    return np.zeros(WIDTH)


def feed(row: np.ndarray, times: list[float]) -> float:
    gap = 0.0
    for at in times:
        gap = learn_gap(row, at)
        row[LAST_AT] = at
    return gap


# ---- interval


def test_the_interval_is_what_most_gaps_are(row: np.ndarray) -> None:
    times = np.cumsum([0.0, 300, 300, 301, 299, 900, 300, 60, 300, 300, 300])
    row[LAST_AT] = times[0]
    feed(row, times[1:].tolist())
    assert interval(row) == 300


def test_a_new_interval_wins_when_it_stays(row: np.ndarray) -> None:
    feed(row, [15.0 * i for i in range(1, 100)])
    feed(row, [15.0 * 99 + 60.0 * i for i in range(1, 220)])
    assert interval(row) == 60


def test_a_time_that_repeats_or_runs_backward_is_no_gap(row: np.ndarray) -> None:
    feed(row, [60.0, 120.0, 180.0])
    assert feed(row, [180.0]) == 0
    assert feed(row, [60.0]) == 0
    assert interval(row) == 60


def test_a_minute_is_taken_before_anything_is_known(row: np.ndarray) -> None:
    assert interval(row) == 60


# ---- domains


def test_a_burst_hardly_moves_centre_and_scale(row: np.ndarray) -> None:
    start_domains(row, 50.0)
    for t, x in enumerate((50 + noise(2000)).tolist()):
        learn_domains(row, t, x)
    before = row[CENTRE], row[SCALE]
    learn_domains(row, 2000.0, 1e9)
    assert row[CENTRE] == pytest.approx(before[0], abs=0.01)
    assert row[SCALE] == pytest.approx(before[1], rel=0.01)


def test_y_is_linear_nearby_and_logarithmic_far_away(row: np.ndarray) -> None:
    start_domains(row, 0.5)
    row[CENTRE], row[SCALE] = 0.0, 1.0
    (near, _, _), (far, _, _) = learn_domains(row, 100.0, 0.1), learn_domains(row, 100.0, 1e6)
    assert near == pytest.approx(0.1, rel=0.01)
    assert far == pytest.approx(math.log(2e6), rel=0.05)


def test_counts_have_poissons_floor_and_fractions_none(row: np.ndarray) -> None:
    start_domains(row, 99.0)
    _, floor, floor_y = learn_domains(row, 1.0, 99.0)
    assert floor == 10
    assert floor_y > 0
    _, floor, floor_y = learn_domains(row, 2.0, 99.5)
    assert (floor, floor_y) == (0, 0)


# ---- profiles


@pytest.mark.parametrize("at", [0.0, -1e-20, 86399.999999999, 1e12, -1e12, 1.7e9])
def test_an_hour_is_always_one_of_its_day_and_week(at: float) -> None:
    assert 0 <= hour_of(at, DAY) < 24
    assert 0 <= hour_of(at, WEEK) < 168


def test_an_hour_enters_its_profile_when_it_has_ended(row: np.ndarray) -> None:
    profile, hours = np.zeros(SINGLE_WIDTH, np.float32), np.zeros(COUNT_WIDTH, np.uint8)
    for minute in range(60):
        learn_profiles(row, profile, hours, 60.0 * minute, float(minute))
    assert hours[DAY_SEEN] == 0
    learn_profiles(row, profile, hours, 3600.0, 5.0)
    assert (hours[DAY_SEEN], profile[DAY_MEAN]) == (1, 29.5)


def test_more_hours_than_a_byte_counts_are_as_good_as_the_most_it_does(row: np.ndarray) -> None:
    profile, hours = np.zeros(SINGLE_WIDTH, np.float32), np.zeros(COUNT_WIDTH, np.uint8)
    for day in range(300):
        learn_profiles(row, profile, hours, 86400.0 * day, 5.0)
        learn_profiles(row, profile, hours, 86400.0 * day + 3600.0, 9.0)
    assert hours[DAY_SEEN] == 255
    assert profile[DAY_MEAN] == pytest.approx(5.0)


# ---- tail norms


def test_a_ratio_waits_for_thirty_samples(row: np.ndarray) -> None:
    ratios = [tail_ratio(row, 0, 1.0, float(k), 0.0) for k in range(40)]
    assert ratios[:30] == [0.0] * 30
    assert all(ratio > 0 for ratio in ratios[30:])


def test_a_series_that_often_bursts_must_burst_harder() -> None:
    """Two series of the same variance: the one with the heavier tail is less impressed."""
    even = np.where(np.arange(1000) % 2, 1.0, -1.0)
    bursts = np.where(np.arange(1000) % 50 == 0, 1.0, 0.0) * math.sqrt(50)
    ratio = []
    for values in (even, bursts):
        row = np.zeros(WIDTH)
        for k, u in enumerate(values.tolist()):
            tail_ratio(row, 0, u, float(k), 0.0)
        ratio.append(tail_ratio(row, 0, 8.0, 1000.0, 0.0))
    assert ratio[1] < ratio[0] / 5


def test_a_ratio_has_the_sign_of_its_residual(row: np.ndarray) -> None:
    for k in range(100):
        tail_ratio(row, 0, 1.0 if k % 2 else -1.0, float(k), 0.0)
    assert tail_ratio(row, 0, -9.0, 100.0, 0.0) < 0 < tail_ratio(row, 0, 9.0, 101.0, 0.0)


def test_the_sides_of_a_norm_are_kept_apart(row: np.ndarray) -> None:
    for k in range(1000):
        tail_ratio(row, 0, 3.0 if k % 2 else -1.0, float(k), 0.0)
    down, up = norm_cubes(row, 0, 0.0)
    assert up == pytest.approx(2 * 27 / 2, rel=0.05)  # twice its own mean cube
    assert down == pytest.approx((27 + 1) / 2, rel=0.05)  # both sides: the upper is the heavier


def test_the_floor_bounds_a_norm_from_below(row: np.ndarray) -> None:
    assert norm_cubes(row, 0, 2.0) == (8, 8)


def test_an_outage_does_not_blind_a_series_to_what_is_smaller(row: np.ndarray) -> None:
    """Three samples 200 deviations out; a week of minutes later 10 are still far."""
    e = noise(13_000)
    e[3000:3003] = -200.0
    for k, u in enumerate(e.tolist()):
        tail_ratio(row, 0, u, float(k), 0.0)
    assert np.cbrt(tail_ratio(row, 0, 10.0, 13_000.0, 0.0)) > 3.5


@pytest.mark.parametrize("scale", [10.0, 1e3, 1e6])
def test_norms_follow_a_scale_that_really_changed(row: np.ndarray, scale: float) -> None:
    e = noise(1000)
    for k, u in enumerate([*e.tolist(), *(scale * e).tolist()]):
        ratio = tail_ratio(row, 0, u, float(k), 0.0)
        if k >= 1200:
            assert abs(ratio) < 64


def test_what_is_near_is_learned_as_it_is(row: np.ndarray) -> None:
    for k in range(1000):
        tail_ratio(row, 0, 1.0 if k % 2 else -1.0, float(k), 0.0)
    before = row[UP]
    tail_ratio(row, 0, 3.9, 1000.0, 0.0)
    assert row[UP] == pytest.approx(before + (3.9**3 - before) / 1001)


# ---- records


def test_a_young_series_must_set_a_record_by_more(row: np.ndarray) -> None:
    singles, hours = np.zeros(SINGLE_WIDTH, np.float32), np.zeros(COUNT_WIDTH, np.uint8)
    for n, x in enumerate((50 + noise(150)).tolist()):
        records(row, singles, hours, Sample(float(n), 300.0 * n, x, 0.0, 300.0, 0.0, 0.0))
    old, old_singles = row.copy(), singles.copy()
    old[BINS] = 1000.0
    jump = Sample(150.0, 300.0 * 150, 60.0, 0.0, 300.0, 0.0, 0.0)
    young_novelty, which, _ = records(row, singles, hours, jump)
    novelty, same, _ = records(old, old_singles, hours, jump)
    assert which == same
    assert young_novelty == pytest.approx(novelty * (151 / 500) ** 0.2)


# ---- threshold, rest and bar


def test_slow_series_have_a_lower_threshold() -> None:
    assert threshold(60.0) == threshold(300.0) == 3.5
    assert 3.5 * 12**-0.26 < threshold(3600.0) < 3.5 * 12**-0.24


def test_a_series_rests_unless_something_stranger_comes(row: np.ndarray) -> None:
    said = [emit(row, float(t), 60.0, 60.0, raw) for t, raw in enumerate([1.5, 1.4, 1.2, 3.0])]
    assert said[0] == 1.5
    assert said[1:3] == [0, 0]
    assert said[3] > 1.5


@pytest.mark.parametrize(("dt", "rest"), [(60.0, 30), (3600.0, 8), (1800.0, 16)])
def test_the_rest_is_eight_hours_within_eight_and_thirty_samples(
    row: np.ndarray, dt: float, rest: int
) -> None:
    assert emit(row, 0.0, dt, dt, 2.0) == 2.0
    again = next(t for t in range(1, 100) if emit(row, float(t), dt, dt, 1.5))
    assert again == rest + 1


def test_alarms_raise_the_bar_and_days_lower_it(row: np.ndarray) -> None:
    first = emit(row, 0.0, 0.0, 60.0, 2.0)
    second = emit(row, 100.0, 0.0, 60.0, 2.0)
    later = emit(row, 200.0, 30 * 86400.0, 60.0, 2.0)
    assert second == pytest.approx(first / 1.07)
    assert later == pytest.approx(first)
