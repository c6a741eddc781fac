"""A River detector's scores, made alarms by a series' own past; its crashes hand the series back."""

from typing import Any

import numpy as np
import pytest
from river import base

from agents.river_calibrated import MOST, REST, WARM, Calibrated, Quantile, calibrated
from agents.river_models import guarded
from tests.agents.scorer.series import flat


class Says(base.AnomalyDetector):  # type: ignore[misc] # river is not typed for mypy
    """Scores the value itself, or raises."""

    def learn_one(self, x: Any) -> None:
        """Learn nothing."""

    def score_one(self, x: Any) -> Any:
        """Say it."""
        if x["value"] < 0:
            raise ZeroDivisionError
        return x["value"]


def says(quantile: float = 0.999) -> Calibrated:
    return Calibrated("test.Says", guarded(Says()), quantile)


def feed(model: Calibrated, values: list[float], first: int = 0) -> list[tuple[float, float]]:
    return [model.step(60.0 * n, value) for n, value in enumerate(values, first)]


def ramp(n: int) -> list[float]:
    """0 to 0.99 again and again."""
    return [(n % 100) / 100 for n in range(n)]


def test_quantile_and_rank_are_of_the_newest_scores() -> None:
    past = Quantile(100)
    rng = np.random.default_rng(1)
    scores = rng.normal(size=350).round(1).tolist()
    for score in scores:
        past.learn(score)
    newest = sorted(scores[-100:])
    assert len(past) == 100
    assert [past.at(share) for share in (0, 0.5, 0.99, 1)] == [
        newest[0], newest[50], newest[99], newest[99],
    ]  # fmt: skip
    equal = newest.count(newest[50])
    below = newest.index(newest[50])
    assert past.rank(newest[50]) == (below + (equal + 1) / 2) / 101
    assert 0 < past.rank(-1e9) < 0.01
    assert 0.99 < past.rank(1e9) < 1


def test_until_enough_was_scored_the_model_says_nothing() -> None:
    model = says()
    said = feed(model, [*ramp(WARM - 1), 50.0])
    assert set(said) == {(0.0, 0.0)}
    assert model.decides


def test_above_the_quantile_of_its_past_is_an_alarm_and_below_is_not() -> None:
    model = says()
    feed(model, ramp(300))
    assert model.step(0.0, 0.4) == (0.0, 0.0)
    assert 0 < model.step(0.0, 0.8)[1] < 1
    assert model.step(0.0, 0.99)[1] < 1
    said, evidence = model.step(0.0, 1.5)
    assert said == evidence == pytest.approx((1.5 - 0.5) / (0.99 - 0.5), rel=0.03)


def test_while_the_quantile_is_just_the_largest_a_second_voice_is_needed() -> None:
    model = says()
    feed(model, ramp(300))
    assert model.step(0.0, 5.0, 0.4)[0] == 0
    assert model.step(0.0, 6.0, 0.5)[0] > 1
    settled = says()
    feed(settled, ramp(1100))
    assert settled.step(0.0, 5.0, 0.0)[0] > 1


def test_after_an_alarm_it_rests_and_its_evidence_does_not() -> None:
    model = says()
    feed(model, ramp(300))
    said = feed(model, [5.0 + n for n in range(REST + 2)])  # a little stranger each time
    assert [n for n, (emitted, _) in enumerate(said) if emitted >= 1] == [0, REST]
    assert all(evidence >= 1 for _, evidence in said[:9])


def test_a_flat_past_makes_anything_strange_but_not_infinitely() -> None:
    model = says()
    feed(model, [0.0] * 200)
    assert model.step(0.0, 0.0) == (0.0, 0.0)
    assert model.step(0.0, 1e-9) == (MOST, MOST)


def test_a_crash_after_it_has_learned_hands_the_series_back_for_good() -> None:
    model = says()
    feed(model, ramp(300))
    assert model.step(0.0, -1.0) == (0.0, 0.0)
    assert model.fallen == "Says.score_one: ZeroDivisionError: "
    assert not model.decides


def test_a_crash_while_it_has_not_learned_is_counted_and_forgiven() -> None:
    """Holt-Winters cannot score before its first season is over."""
    holt = {
        "model": "time_series.HoltWinters",
        "params": {"alpha": 0.3, "beta": 0.1, "gamma": 0.2, "seasonality": 4},
    }
    model = calibrated("anomaly.PredictiveAnomalyDetection", {"predictive_model": holt}, (), 0.999)
    values = flat(300)[1].tolist()
    feed(model, values)
    assert model.model.faults == {"score_one: IndexError": 4}
    assert model.decides


def test_relearning_the_last_points_gives_the_same_as_having_heard_them() -> None:
    values = flat(240)[1].tolist()
    heard, again = (calibrated("anomaly.HalfSpaceTrees", {"seed": 1}, (), 0.99) for _ in range(2))
    feed(heard, values)
    again.relearn([60.0 * n for n in range(240)], values)
    assert heard.step(60.0 * 240, 130.0) == again.step(60.0 * 240, 130.0)
