"""The frame kernel: what it alarms on, and that it holds whatever is fed to it."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.scorer.block import BlockState
from agents.scorer.jit import SOURCES
from agents.scorer.kind import NAMED, OF_RESIDUAL, OF_STATISTIC, Kind
from agents.scorer.scorer import Scores, _kernel, score_rows
from agents.scorer.state import RESIDUALS, STATISTICS
from schemas.errors import Rejected
from tests.agents.scorer.series import START, Floats, alone, daily, every, flat

MINUTES = START + 60.0 * np.arange(4000)

values = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 1e308, -1e308, 5e-324, 1e36, 1.0, 100.0]),
    st.integers(-5, 5).map(float),
)
gaps = st.one_of(
    st.sampled_from([60.0, 0.0, -60.0, 300.0, 3600.0, 86400.0, 1e9, -1e9]),
    st.floats(allow_nan=True, allow_infinity=True),
)


def parts(scores: Scores) -> list[npt.NDArray[Any]]:
    return [np.asarray(part) for part in scores]


def all_alarms(scores: Scores) -> list[int]:
    return [int(i) for i in np.flatnonzero(scores.emitted >= 1)]


# ---- what is strange


@pytest.mark.parametrize("make", [daily, flat])
def test_an_ordinary_series_does_not_alarm(make: Callable[[int], tuple[Floats, Floats]]) -> None:
    assert all_alarms(alone(*make(4000))) == []


def test_scores_are_the_published_ones() -> None:
    """A spike, a level and its end, as far as float32 goes: the recipe is not to drift unnoticed."""
    at, value = daily(4000)
    value[2500] += 70
    value[3000:3200] += 60
    scores = alone(at, value)
    alarms = {i: float(scores.emitted[i]) for i in all_alarms(scores)}
    published = {2500: 8.844492942, 3000: 2.026283693, 3200: 3.238443449}
    assert alarms == pytest.approx(published, rel=1e-6)
    assert math.isclose(scores.emitted.sum(), 95.87476110642791, rel_tol=1e-6)
    assert math.isclose(scores.raw.sum(), 873.8086949541633, rel_tol=1e-6)


@pytest.mark.parametrize(("by", "direction"), [(40.0, 1), (-40.0, -1)])
def test_a_spike_has_a_direction_and_lies_outside_of_its_range(by: float, direction: int) -> None:
    at, value = flat(3000)
    value[2000] += by
    scores = alone(at, value)
    assert all_alarms(scores)[0] == 2000
    assert scores.direction[2000] == direction
    assert Kind(scores.kind[2000]) is Kind.SPIKE
    assert not scores.low[2000] <= value[2000] <= scores.high[2000]


def test_a_level_that_moves_alarms_at_once_and_then_becomes_the_level() -> None:
    at, value = flat(4000)
    value[2000:] -= 12
    scores = alone(at, value)
    assert all_alarms(scores) == [2000, 2001]
    assert Kind(scores.kind[2001]) is Kind.LEVEL_SHIFT
    assert scores.low[3999] < value[2001:].mean() < scores.high[3999]


@pytest.mark.parametrize("dt", [5.0, 15.0, 30.0, 60.0])
@pytest.mark.parametrize("wave", [0.0, 20.0])
def test_a_leak_of_hours_alarms_however_often_it_is_sampled(dt: float, wave: float) -> None:
    """100 deviations in a day, of which the eight residuals show nothing where samples are many."""
    day = int(86400 / dt)
    at, hours = every(5 * day, dt), np.arange(5 * day) / day
    value = 100 + wave * np.sin(2 * np.pi * hours) + np.random.default_rng(1).normal(0, 3, 5 * day)
    value += 300 * np.maximum(hours - 4, 0)
    alarms = np.array(all_alarms(alone(at, value)))
    assert np.count_nonzero(alarms < 4 * day) <= 1
    assert np.any((alarms >= 4 * day) & (alarms < 4.1 * day))


def test_a_value_usual_by_day_is_strange_by_night() -> None:
    """The evening's value, kept through the night: no residual but the hour's sees it."""
    at, value = daily(8000)
    ordinary = value.copy()
    value[6048:6336] = ordinary[6048] + ordinary[6048:6336] % 1
    scores = alone(at, value)
    kinds = {Kind(scores.kind[i]) for i in all_alarms(scores)}
    assert Kind.SEASONAL in kinds
    assert value[6048:6336].max() < ordinary.max()


def test_the_expected_range_holds_most_of_an_ordinary_series() -> None:
    at, value = daily(4000)
    scores = alone(at, value)
    inside = (scores.low <= value) & (value <= scores.high)
    assert inside[100:].mean() > 0.99
    width = (scores.high - scores.low)[1000:]
    assert np.median(width) < 20  # noise of 2 on a wave of 40: the hours are known by then


def test_the_first_sample_was_not_expected_anywhere() -> None:
    scores = alone([0.0, 60.0], [5.0, 5.0])
    assert (scores.low[0], scores.high[0]) == (-math.inf, math.inf)
    assert scores.low[1] <= 5.0 <= scores.high[1]


def test_an_alarm_is_said_once_while_the_evidence_goes_on() -> None:
    at, value = flat(3000)
    value[2000:2010] += 40
    scores = alone(at, value)
    assert (scores.raw[2000:2010] >= 1).sum() > (scores.emitted[2000:2010] >= 1).sum() >= 1


# ---- what it holds


@given(st.lists(st.tuples(gaps, values), max_size=120))
@example([(60.0, 1e308), (60.0, -1e308)] * 60)
@example([(-1e-20, 1.0)] * 3)
@example([(0.0, 0.0)] * 50)
@settings(max_examples=300, deadline=None)
def test_nothing_that_is_fed_to_it_gives_nan(rows: list[tuple[float, float]]) -> None:
    """Repeated, backward and impossible times; missing, enormous and tiny values."""
    with np.errstate(over="ignore", invalid="ignore"):
        at = np.cumsum([gap for gap, _ in rows]) if rows else np.empty(0)
    check(alone(at, [value for _, value in rows]))


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(2000),
        np.full(2000, -0.0),
        np.arange(2000) % 2,
        np.cumsum(np.arange(2000)),  # a counter
        np.where(np.arange(2000) == 1500, 1e308, 1.0),
        1e300 * np.sin(np.arange(2000)),
        1e-300 * np.sin(np.arange(2000)),
        np.full(2000, np.nan),
        np.where(np.arange(2000) % 3 == 0, np.inf, 7.0),
        np.where(np.arange(2000) < 1000, 0.0, 1e36),
    ],
    ids=["zero", "-0", "two", "counter", "1e308", "huge", "tiny", "missing", "holes", "birth"],
)
def test_an_odd_series_never_gives_nan_nor_spoils_its_state(value: Floats) -> None:
    check(alone(MINUTES[:2000], value))


def check(scores: Scores) -> None:
    """Every promise of Scores that a caller may build on."""
    assert not any(np.isnan(part).any() for part in scores)
    assert (scores.emitted >= 0).all()
    assert (scores.raw >= 0).all()
    assert np.isfinite(scores.raw).all()
    assert (scores.low <= scores.high).all()
    assert (scores.emitted <= scores.raw).all()
    assert set(np.unique(scores.direction)) <= {-1, 0, 1}
    assert set(np.unique(scores.kind)) <= {int(kind) for kind in Kind}
    assert ((scores.kind == Kind.NONE) == (scores.raw == 0)).all()


def test_a_constant_series_is_silent_until_it_moves() -> None:
    value = np.full(1000, 3.5)
    value[900] = 4.0
    scores = alone(MINUTES[:1000], value)
    assert all_alarms(scores)[0] == 900
    assert scores.raw[:900].max() == 0


@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf])
def test_a_missing_value_changes_nothing(missing: float) -> None:
    at, value = flat(500)
    without = alone(np.delete(at, 400), np.delete(value, 400))
    value[400] = missing
    scores = alone(at, value)
    assert (scores.emitted[400], scores.raw[400], scores.kind[400]) == (0, 0, Kind.NONE)
    assert np.array_equal(np.delete(scores.emitted, 400), without.emitted)


@pytest.mark.parametrize("when", [math.nan, math.inf, 1e300, -1e13])
def test_a_sample_at_an_impossible_time_is_left_out(when: float) -> None:
    at, value = flat(500)
    without = alone(np.delete(at, 400), np.delete(value, 400))
    at[400] = when
    assert np.array_equal(np.delete(alone(at, value).raw, 400), without.raw)


def test_a_late_sample_is_learned_and_does_not_turn_time_back_for_good() -> None:
    at, value = flat(1000)
    at[500] -= 7200.0
    at[501] = at[500]
    assert all_alarms(alone(at, value)) == []


@given(
    cuts=st.lists(st.integers(0, 1500), max_size=8),
    order=st.permutations(range(3)),
)
@settings(max_examples=30, deadline=None)
def test_however_frames_are_cut_the_scores_are_the_same(cuts: list[int], order: list[int]) -> None:
    """Three series, interleaved in one frame or in many, against each alone."""
    series = [daily(500, seed=seed) for seed in (1, 2, 3)]
    expected = [alone(*one) for one in series]
    block = BlockState(8)
    row = {which: block.claim() for which in order}
    rows = np.tile([row[which] for which in range(3)], 500)
    at = np.ravel([one[0] for one in series], order="F")
    value = np.ravel([one[1] for one in series], order="F")
    frames = [
        score_rows(block, rows[a:b], at[a:b], value[a:b])
        for a, b in pairwise([0, *sorted(cuts), len(rows)])
    ]
    for field in range(len(Scores._fields)):
        joined = np.concatenate([parts(frame)[field] for frame in frames])
        for which in range(3):
            assert np.array_equal(joined[which::3], parts(expected[which])[field])


def test_a_score_does_not_depend_on_what_comes_later() -> None:
    at, value = daily(3000)
    value[2000] += 70
    whole, cut = alone(at, value), alone(at[:2001], value[:2001])
    assert all(np.array_equal(a[:2001], b) for a, b in zip(parts(whole), parts(cut), strict=True))


def test_a_state_that_went_through_bytes_goes_on_as_if_it_had_not() -> None:
    at, value = daily(2000)
    block = BlockState(4)
    row = block.claim()
    score_rows(block, np.full(1500, row), at[:1500], value[:1500])
    restored = BlockState.from_bytes(block.to_bytes())
    rows = np.full(500, row)
    expected = score_rows(block, rows, at[1500:], value[1500:])
    found = score_rows(restored, rows, at[1500:], value[1500:])
    assert all(np.array_equal(a, b) for a, b in zip(parts(expected), parts(found), strict=True))
    assert restored.to_bytes() == block.to_bytes()


def test_read_only_arrays_and_other_types_are_taken() -> None:
    """Arrow gives read-only ones; they neither fail nor compile a second kernel."""
    at, value = flat(50)
    expected = alone(at, value)
    at.flags.writeable = value.flags.writeable = False
    compiled = len(_kernel().signatures)
    assert np.array_equal(alone(at, value).raw, expected.raw)
    assert np.array_equal(alone(at.tolist(), value.tolist()).raw, expected.raw)
    assert len(_kernel().signatures) == compiled


@pytest.mark.parametrize("row", [-1, 1, 4])
def test_a_row_that_nobody_claimed_is_refused(row: int) -> None:
    block = BlockState(4)
    block.claim()
    with pytest.raises(Rejected, match="row"):
        score_rows(block, [row], [0.0], [1.0])


def test_arrays_of_unequal_length_are_refused() -> None:
    """The kernel would read beyond the shorter one."""
    block = BlockState(1)
    with pytest.raises(Rejected, match="2 rows, 1 times and 2 values"):
        score_rows(block, [block.claim()] * 2, [0.0], [1.0, 2.0])


def test_an_empty_frame_is_nothing() -> None:
    assert len(score_rows(BlockState(1), [], [], []).raw) == 0


# ---- how it is put together


def test_the_kernel_carries_the_stamp_of_all_sources() -> None:
    """Without it numba would load machine code of an older recipe."""
    block = BlockState(1)
    no_rows, nothing = np.empty(0, np.int32), np.empty(0)
    small = np.empty(0, np.int8)
    scores = Scores(nothing, nothing, nothing, nothing, small, small, small, nothing)
    stamp = _kernel()(block.memory, no_rows, nothing, nothing, scores)
    assert stamp == SOURCES


def test_every_residual_and_statistic_has_a_name() -> None:
    assert len(OF_RESIDUAL) == RESIDUALS
    assert len(OF_STATISTIC) == STATISTICS
    assert len(NAMED) == RESIDUALS + STATISTICS
    assert len({named.name for named in NAMED}) == len(NAMED)
