"""The load forecast: a season plus what lasts of today, and bands that keep their claim."""

import json
import logging
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.load import (
    DAY,
    HORIZONS,
    LEVELS,
    OUTCOMES,
    STEP,
    WEEK,
    Floats,
    LoadState,
    Past,
    Profile,
    ProphetFit,
    Reach,
    Track,
    fit_prophet,
    forecast,
)
from schemas.errors import Rejected

HOUR = timedelta(hours=1)
MONDAY = datetime(2025, 3, 3, tzinfo=UTC)
FIRST = int(MONDAY.timestamp()) // STEP


def shop(days: int, seed: int = 1, noise: float = 5.0) -> Floats:
    """Requests a second: a day, a weekend, a slow drift of the mood, noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(days * DAY)
    daily = 100 + 60 * np.sin(2 * np.pi * t / DAY) + 20 * np.sin(4 * np.pi * t / DAY)
    weekend = np.where(t // DAY % 7 >= 5, 0.7, 1.0)
    mood = np.zeros(t.size)
    for i in range(1, t.size):
        mood[i] = 0.99 * mood[i - 1] + rng.normal(0, 2)
    load: Floats = np.maximum(daily * weekend + mood + rng.normal(0, noise, t.size), 0)
    return load


def fed(means: Floats, state: LoadState | None = None, first: int = FIRST) -> LoadState:
    """The state after 5-minute means, all of them closed."""
    state = state or LoadState.empty()
    for i, mean in enumerate(means):
        state = state.update(datetime.fromtimestamp((first + i) * STEP, UTC), mean)
    return state.closed(first + len(means))


def test_samples_become_five_minute_means_and_late_ones_stay_out() -> None:
    state = LoadState.empty()
    for second, value in [
        (0, 10),
        (100, 20),
        (299, 30),
        (300, 7),
        (250, 999),
        (900, 5),
        (901, np.nan),
    ]:
        state = state.update(MONDAY + timedelta(seconds=second), value)
    past = state.past()
    assert past.start == MONDAY.timestamp()
    assert past.means == pytest.approx([20, 7, np.nan], nan_ok=True)


def test_under_a_day_there_is_not_enough_data() -> None:
    said = forecast(fed(shop(1)[:200]), HOUR)
    assert (said.verdict, said.base) == ("not enough data", "")
    assert said.reason == "200 of 288 5-minute means seen, a day is needed"
    assert forecast(LoadState.empty(), HOUR).verdict == "not enough data"


def test_bands_wait_for_outcomes_of_their_horizon() -> None:
    """A day, then each horizon and forty outcomes that were measured in something."""
    state = fed(shop(2)[: DAY + 60])
    assert forecast(state, HOUR).verdict == "forecast"
    six = forecast(state, 6 * HOUR)
    assert six.verdict == "not enough data"
    assert six.reason.endswith(f"of {OUTCOMES} outcomes seen at this horizon")


def test_other_horizons_are_refused() -> None:
    with pytest.raises(ValueError, match="ask for one hour or six"):
        forecast(fed(shop(2)), 2 * HOUR)


def test_a_profile_is_the_hours_mean_leaning_on_the_same_hour_of_all_days() -> None:
    profile = Profile.empty()
    assert np.isnan(profile.at(FIRST))
    for step in range(FIRST, FIRST + 12):
        profile = profile.learn(step, 50.0)
    assert profile.at(FIRST + 6) == 50
    for step in range(FIRST + DAY, FIRST + DAY + 12):
        profile = profile.learn(step, 70.0)
    monday, tuesday = profile._hour(FIRST % WEEK // 12), profile._hour((FIRST + DAY) % WEEK // 12)
    assert monday == pytest.approx((12 * 50 + 12 * 60) / 24)
    assert tuesday == pytest.approx((12 * 70 + 12 * 60) / 24)


def test_between_two_hours_the_profile_is_a_straight_line() -> None:
    profile = Profile.empty()
    for step in range(FIRST, FIRST + 24):
        profile = profile.learn(step, 0.0 if step < FIRST + 12 else 12.0)
    assert [profile.at(FIRST + k) for k in (6, 11, 12, 17)] == pytest.approx([0.5, 5.5, 6.5, 11.5])


def test_the_lasting_share_is_the_regression_by_hand() -> None:
    """A deviation of 10 that halves each hour lasts 50 %, one that stays 100 %, clipped."""
    for factor, lasting in [(0.5, 0.5), (1.0, 1.0), (2.0, 1.0), (-1.0, 0.0)]:
        track = Track.empty()
        for hour in range(3):
            for _ in range(12):
                track = track.step(10 * factor**hour, 0.0, (0.0, 0.0))
        reach = track.reaches[0]
        assert 0 <= reach.lasting <= 1
        assert reach.lasting == pytest.approx(lasting, abs=0.25)


def test_scores_move_the_levels_by_what_they_missed() -> None:
    """Forty scores of -1 to 1, then an outcome above every edge: all levels rise."""
    reach = Reach.empty(1)
    scores = reach.scores.copy()
    scores[-OUTCOMES:] = np.linspace(-1, 1, OUTCOMES)
    due = Reach(1, np.array([100.0]), np.array([2.0]), scores, np.array(LEVELS), spread=4.0)
    above, below = due.scored(110), due.scored(90)
    assert above.scores[-1] == 5
    assert above.levels == pytest.approx(np.array(LEVELS) + 0.0005 * np.array(LEVELS))
    assert below.levels == pytest.approx(
        np.clip(np.array(LEVELS) - 0.0005 * (1 - np.array(LEVELS)), 0, 1)
    )
    assert above.spread == pytest.approx(4 + (1 - np.exp(-1 / 36)) * 6)
    assert due.scored(np.nan) is due


def test_bands_hold_what_they_claim_and_beat_last_weeks_value() -> None:
    """Three weeks learned, a fourth forecast every half hour."""
    means = shop(28)
    state = fed(means[: 21 * DAY])
    inside80: dict[int, list[bool]] = {h: [] for h in HORIZONS}
    inside95: dict[int, list[bool]] = {h: [] for h in HORIZONS}
    errors: dict[int, list[tuple[float, float]]] = {h: [] for h in HORIZONS}
    for i in range(21 * DAY, 28 * DAY - 72):
        state = fed(means[i : i + 1], state, FIRST + i)
        if i % 6:
            continue
        for h in HORIZONS:
            said, truth = forecast(state, timedelta(seconds=h * STEP)), means[i + h]
            assert said.at == MONDAY + timedelta(seconds=(i + h + 1) * STEP)
            inside80[h].append(said.low80 <= truth <= said.high80)
            inside95[h].append(said.low95 <= truth <= said.high95)
            errors[h].append((abs(said.value - truth), abs(means[i + h - WEEK] - truth)))
    for h in HORIZONS:
        assert 0.72 <= np.mean(inside80[h]) <= 0.88
        assert 0.90 <= np.mean(inside95[h]) <= 0.99
        ours, naive = np.mean(errors[h], axis=0)
        assert ours < naive


def test_a_state_survives_json_and_goes_on_the_same() -> None:
    means = shop(3)
    state = fed(means[:700]).adopt(ProphetFit(FIRST * STEP, STEP, tuple(means.tolist()), 700))
    text = json.dumps(state.to_dict(), allow_nan=False)
    again = LoadState.from_dict(json.loads(text))
    assert json.dumps(again.to_dict(), allow_nan=False) == text
    one, other = (fed(means[700:], s, FIRST + 700) for s in (state, again))
    assert json.dumps(one.to_dict()) == json.dumps(other.to_dict())
    assert forecast(one, HOUR) == forecast(other, HOUR)


@pytest.mark.parametrize("missing", [1, 30, 100, 3000, 9000])
def test_a_gap_is_missing_not_zero(missing: int) -> None:
    """After the gap the state is where it would be, and says what it does not know."""
    means = shop(60)
    state = fed(means[: 10 * DAY])
    resumed = fed(means[10 * DAY + missing :][:DAY], state, FIRST + 10 * DAY + missing)
    past = resumed.past()
    assert past.start + STEP * past.means.size == (FIRST + 10 * DAY + missing + DAY) * STEP
    kept = np.isfinite(past.means).sum()
    assert kept == (DAY if missing > 28 * DAY else min(11 * DAY, 28 * DAY - missing))
    said = forecast(resumed, HOUR)
    assert said.verdict == "forecast"
    assert said.low95 <= said.low80 <= said.high80 <= said.high95


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.one_of(st.just(0.0), st.floats(0, 1e9)), min_size=1, max_size=30),
    st.integers(1, 400),
)
def test_any_load_gives_ordered_finite_bands(pattern: list[float], length: int) -> None:
    """No traffic, a billion, jumps between them."""
    state = fed(np.resize(np.array(pattern), DAY + length))
    for h in HORIZONS:
        said = forecast(state, timedelta(seconds=h * STEP))
        if said.verdict == "forecast":
            band = [said.low95, said.low80, said.high80, said.high95]
            assert np.isfinite([*band, said.value]).all()
            assert band == sorted(band)
            assert said.low95 >= 0


def test_a_fit_takes_over_once_measured_and_hands_back_when_it_ends() -> None:
    """A perfect fit of two days: Prophet's base from forty outcomes on, then the profile's."""
    means = shop(8, noise=1.0)
    state = fed(means[: 4 * DAY])
    start = FIRST + 3 * DAY
    fit = ProphetFit(start * STEP, STEP, tuple(means[3 * DAY : 5 * DAY].tolist()), 4 * DAY)
    state = state.adopt(fit)
    assert forecast(state, HOUR).base == "profile"
    state = fed(means[4 * DAY :][:150], state, FIRST + 4 * DAY)
    said = forecast(state, HOUR)
    assert said.base == "prophet"
    assert said.value == pytest.approx(means[4 * DAY + 149 + 12], abs=1)
    state = fed(means[4 * DAY + 150 : 5 * DAY], state, FIRST + 4 * DAY + 150)
    assert forecast(state, HOUR).base == "profile"


def test_prophet_needs_two_days() -> None:
    with pytest.raises(Rejected, match="575 of 576 5-minute means, two days"):
        fit_prophet(Past(MONDAY.timestamp(), np.append(np.ones(575), np.nan)))


def test_prophet_fits_four_days_and_beats_yesterdays_value(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A real fit, with an hour missing: numbers that travel, and not a word in the log."""
    means = shop(5, seed=3, noise=15.0)
    seen = means[: 4 * DAY].copy()
    seen[500:512] = np.nan
    with caplog.at_level(logging.DEBUG, logger="root"):
        fit = fit_prophet(Past(MONDAY.timestamp(), seen))
    assert len(fit.expected) == 2 * DAY
    assert fit.fitted_on == 4 * DAY - 12
    assert fit.start == (FIRST + 3 * DAY) * STEP
    ahead = np.array([fit.at(FIRST + 4 * DAY + k) for k in range(DAY)])
    truth = means[4 * DAY :]
    naive = means[3 * DAY : 4 * DAY]
    assert np.abs(ahead - truth).mean() < 0.9 * np.abs(naive - truth).mean()
    assert np.isnan(fit.at(FIRST + 5 * DAY))
    said = [record for record in caplog.records if record.levelno >= logging.INFO]
    # On a machine's first use matplotlib, which Prophet imports, says that it lists the fonts.
    assert not [record for record in said if not record.name.startswith("matplotlib")]
    assert capfd.readouterr() == ("", "")
    again = ProphetFit(**{**fit._asdict(), "expected": tuple(json.loads(json.dumps(fit.expected)))})
    assert again == fit
