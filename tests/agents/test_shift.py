"""A level shift is one anomaly with both levels, which becomes the new normal; severity rises."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from agents.scorer.severity import severity
from schemas.anomalies import Anomaly
from schemas.frames import Samples, canonical

T0 = 1_767_323_040_000  # ms
DAY = 86_400.0
Floats = npt.NDArray[np.float64]
NAME = canonical("depth", {"service": "queue"})


def said(value: Floats, dt: float = 10.0, name: str = NAME) -> list[Anomaly]:
    at = T0 + (1000 * dt * np.arange(len(value))).astype(np.int64)
    detect = Detect(DetectSettings(forget_s=1e9, idle_s=1e9), {})
    whole = Samples([name], np.zeros(len(value), np.int32), at, value)
    return [a for a in detect.feed(whole, 0, 0) if a.change != "weak"]


def shifted(dt: float, noise: float, wave: float, factor: float, seed: int) -> Floats:
    """A level of 12 that at half time becomes `factor` times as high, for good."""
    n = 2400
    draw = np.random.default_rng(seed)
    daily = 1 + wave * np.sin(2 * np.pi * dt * np.arange(n) / DAY)
    level = np.where(np.arange(n) < n // 2, 12.0, 12.0 * factor)
    value: Floats = level * daily + draw.normal(0, noise, n)
    return value


@pytest.mark.parametrize("dt", [1.0, 15.0, 60.0, 300.0])
@pytest.mark.parametrize(("noise", "wave"), [(0.2, 0.0), (1.0, 0.0), (0.5, 0.1)])
@pytest.mark.parametrize("factor", [6.0, 0.2])
def test_a_shift_is_one_anomaly_that_names_both_levels(
    dt: float, noise: float, wave: float, factor: float
) -> None:
    half = T0 / 1000 + 1200 * dt
    events = [
        a for a in said(shifted(dt, noise, wave, factor, 1), dt) if a.since.timestamp() >= half
    ]
    opened = [a for a in events if a.change == "opened" and a.at.timestamp() < half + 400 * dt]
    assert len(opened) == 1
    mine = [a for a in events if a.anomaly == opened[0].anomaly]
    told = next(a for a in mine if a.kind == "level shift" and a.change == "updated")
    assert told.at.timestamp() <= half + 15 * dt
    tolerance = 12 * wave + 2 * noise
    assert told.level_before == pytest.approx(12, abs=tolerance)
    assert told.level_after == pytest.approx(12 * factor, abs=max(factor, 1) * tolerance + 1.5)
    assert f"went from {told.level_before:.4g} to {told.level_after:.4g} since" in told.reason
    assert (mine[-1].change, mine[-1].ending) == ("cleared", "adapted")
    assert "the new normal" in mine[-1].reason


def test_a_shift_that_goes_back_has_recovered() -> None:
    value = shifted(10.0, 0.5, 0.0, 6.0, 2)
    value[1400:] = value[200:1200]
    events = said(value)
    assert {a.anomaly for a in events if a.kind == "level shift"} == {events[-1].anomaly}
    assert (events[-1].change, events[-1].ending) == ("cleared", "recovered")


def test_what_fired_and_how_far_it_looked_are_said() -> None:
    events = said(shifted(10.0, 0.5, 0.0, 6.0, 3))
    assert events[0].statistic.startswith(("surprise: ", "record: "))
    assert events[0].horizon_s > 0


def test_a_counter_is_named_by_its_rate() -> None:
    rate = shifted(10.0, 0.5, 0.0, 6.0, 4)
    name = canonical("jobs_total", {"service": "queue"})
    events = said(np.cumsum(np.maximum(rate, 0) * 10), name=name)
    assert events[0].reason.startswith("jobs_total a second")


@settings(max_examples=25, deadline=None)
@given(least=st.floats(5, 60), more=st.floats(0, 200), up=st.booleans(), seed=st.integers(0, 9))
def test_severity_rises_with_the_deviation(
    least: float, more: float, *, up: bool, seed: int
) -> None:
    """The same history, then one sample farther out: never less severe, never a lower score."""
    value = np.random.default_rng(seed).normal(100, 1, 301)
    sign = 1 if up else -1

    def worst(deviation: float) -> float:
        value[-1] = 100 + sign * deviation
        return max((a.raw for a in said(value)), default=0.0)

    near, far = worst(least), worst(least + more)
    assert far >= near - 1e-9
    assert severity(far).rank >= severity(near).rank


@given(one=st.floats(0, 50), other=st.floats(0, 50))
def test_severity_is_monotone_in_the_score(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert severity(low).rank <= severity(high).rank
