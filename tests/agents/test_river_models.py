"""River both ways: its checks pass, its crashes are counted, its names alone are taken."""

import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import river.checks
from river import anomaly, base, linear_model, stats, time_series

from agents.river_models import SurpriseScorer, guarded, river_model
from schemas.errors import Rejected
from tests.agents.scorer.series import alone, daily, flat

Labelled = tuple[dict[str, float], bool]


def labelled(n: int) -> list[Labelled]:
    """Samples of a flat series, every 97th a spike."""
    at, value = flat(n)
    value[100::97] += 30
    return [
        ({"at": float(t), "value": float(v)}, i >= 100 and (i - 100) % 97 == 0)
        for i, (t, v) in enumerate(zip(at, value, strict=True))
    ]


class Stream:
    """What River's checks iterate over, more than once."""

    def __init__(self, rows: list[Labelled]) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Labelled]:
        yield from self.rows


def datasets(_: Any, scale: int = 1) -> Iterator[Stream]:
    """In place of River's credit cards, which it would download."""
    yield Stream(labelled(400 * scale))


def river_checks(model: Any) -> list[Callable[[Any], None]]:
    """Every check that River applies to its own detectors, over samples.

    `check_roc_auc` needs scikit-learn and is made below without.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(river.checks, "_yield_datasets", datasets)
        checks = list(river.checks.yield_checks(model))
    return [check for check in checks if check.__name__ != "check_roc_auc"]


MODELS: dict[str, Callable[[], Any]] = {
    "surprise": SurpriseScorer,
    "guarded": lambda: guarded(anomaly.HalfSpaceTrees(seed=1)),
}


@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param(name, check, id=f"{name}-{check.__name__}")
        for name, make in MODELS.items()
        for check in river_checks(make())
    ],
)
def test_rivers_own_check(name: str, check: Callable[[Any], None]) -> None:
    check(MODELS[name]())


def test_spikes_rank_above_the_rest() -> None:
    model = SurpriseScorer()
    scored: list[tuple[float, bool]] = []
    for x, spike in labelled(1000):
        scored.append((model.score_one(x), spike))
        model.learn_one(x)
    spikes = [score for score, spike in scored if spike]
    others = [score for score, spike in scored if not spike]
    better = sum(s > o for s in spikes for o in others)
    assert better / (len(spikes) * len(others)) > 0.95


# ---- our scorer


def test_one_by_one_is_the_same_as_many_at_once() -> None:
    at, value = daily(800)
    value[700] += 80
    model = SurpriseScorer()
    one_by_one = []
    for t, v in zip(at, value, strict=True):
        one_by_one.append(model.score_one({"at": t, "value": v}))
        model.learn_one({"at": t, "value": v})
    assert one_by_one == SurpriseScorer().score_many(at, value).tolist()
    assert one_by_one == alone(at, value).emitted.tolist()


def test_without_rest_every_strange_sample_scores() -> None:
    at, value = flat(2000)
    value[1500:1505] += 40
    said, evidence = (SurpriseScorer(rest=rest).score_many(at, value) for rest in (True, False))
    assert (evidence[1500:1505] >= 1).sum() > (said[1500:1505] >= 1).sum()


def test_a_score_is_not_learned() -> None:
    model = SurpriseScorer()
    model.score_many(*flat(200))
    before = pickle.dumps(model)
    assert model.score_one({"at": 2e9, "value": 1e9}) == model.score_one({"at": 2e9, "value": 1e9})
    assert pickle.dumps(model) == before


@pytest.mark.parametrize(
    "x",
    [
        {},
        {"at": 5.0},
        {"at": math.nan, "value": 1.0},
        {"value": math.inf},
        {"value": "much"},
        {"a": 1.0, "b": 2.0},
        {"value": None, "at": 60.0},
    ],
)
def test_what_is_no_sample_scores_nothing_and_is_not_learned(x: dict[str, Any]) -> None:
    model = SurpriseScorer()
    model.score_many(*flat(100))
    before = pickle.dumps(model)
    model.learn_one(x)
    assert model.score_one(x) == 0
    assert pickle.dumps(model) == before


def test_a_lone_value_comes_a_minute_after_the_one_before() -> None:
    named, plain = SurpriseScorer(), SurpriseScorer()
    for minute, v in enumerate(flat(300)[1].tolist(), 1):
        named.learn_one({"at": 60.0 * minute, "value": v})
        plain.learn_one({"cpu": v})
    spike = 90.0
    assert plain.score_one({"cpu": spike}) == named.score_one({"at": 60.0 * 301, "value": spike})
    assert plain.score_one({"cpu": spike}) > 1


# ---- River's, guarded


def feed(model: Any, values: list[float]) -> list[float]:
    scores = []
    for i, value in enumerate(values):
        x = {"at": 60.0 * i, "value": value}
        scores.append(model.score_one(x))
        model.learn_one(x)
    return scores


def holt_winters(**more: Any) -> dict[str, Any]:
    params = {"alpha": 0.3, "beta": 0.1, "gamma": 0.2, "seasonality": 4, **more}
    return {"predictive_model": {"model": "time_series.HoltWinters", "params": params}}


def test_a_forecaster_that_has_learned_nothing_is_counted_and_goes_on() -> None:
    """Its deque is empty until a season is over: IndexError."""
    model = river_model("anomaly.PredictiveAnomalyDetection", holt_winters())
    scores = feed(model, [10.0 + i % 4 for i in range(60)])
    assert model.faults == {"score_one: IndexError": 4}
    assert scores[:4] == [0.0] * 4
    assert any(score > 0 for score in scores[4:])
    assert "PredictiveAnomalyDetection.score_one: IndexError" in model.last_fault


def test_a_season_that_begins_with_zeros_is_counted() -> None:
    """The multiplicative season divides by the cycle's mean: ZeroDivisionError, while learning."""
    model = river_model("anomaly.PredictiveAnomalyDetection", holt_winters(multiplicative=True))
    scores = feed(model, [0.0] * 20)
    assert model.faults["learn_one: ZeroDivisionError"] >= 1
    assert all(math.isfinite(score) for score in scores)


def test_a_quantile_of_nothing_is_counted() -> None:
    """None minus a number before the first sample: TypeError."""
    model = river_model(
        "anomaly.StandardAbsoluteDeviation",
        {"sub_stat": {"model": "stats.Quantile", "params": {"q": 0.5}}},
    )
    scores = feed(model, [1.0, 2.0, 3.0, 50.0])
    assert model.faults == {"score_one: TypeError": 1}
    assert scores[3] > 1


def test_a_deviation_that_rounding_makes_complex_is_counted() -> None:
    """A window that forgets huge values is left with a negative variance."""
    model = river_model("anomaly.GaussianScorer", {"window_size": 5, "grace_period": 1})
    scores = feed(model, [1e8 * (i % 7) + 3e7 for i in range(20)] + [0.1] * 20)
    assert model.faults["score_one: TypeError"] >= 1
    assert "complex" in model.last_fault
    assert all(isinstance(score, float) and math.isfinite(score) for score in scores)


class Says(base.AnomalyDetector):  # type: ignore[misc] # river is not typed for mypy
    """A detector that scores what it was told to."""

    def __init__(self, score: Any) -> None:
        self.score = score

    def learn_one(self, x: Any) -> None:
        """Learn nothing."""

    def score_one(self, x: Any) -> Any:  # noqa: ARG002 - River's signature
        """Say it."""
        return self.score


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        (1 + 2j, "score_one: complex"),
        (math.nan, "score_one: not finite"),
        (math.inf, "score_one: not finite"),
        ("high", "score_one: ValueError"),
        ([1.0], "score_one: TypeError"),
    ],
)
def test_a_score_that_is_no_number_is_0_with_a_reason(score: Any, reason: str) -> None:
    model = guarded(Says(score))
    assert model.score_one({"at": 0.0, "value": 1.0}) == 0
    assert model.faults == {reason: 1}


@pytest.mark.parametrize("error", [NotImplementedError, AssertionError, RecursionError])
def test_a_model_without_code_for_what_is_asked_is_counted(error: type[Exception]) -> None:
    class Unfinished(Says):
        def score_one(self, x: Any) -> Any:  # noqa: ARG002 - River's signature
            raise error("later")

    model = guarded(Unfinished(0))
    assert model.score_one({"at": 0.0, "value": 1.0}) == 0
    assert model.faults == {f"score_one: {error.__name__}": 1}


def test_a_fault_of_the_machine_is_not_the_models() -> None:
    """Only what a model's arithmetic raises is counted; the rest stops the worker loudly."""

    class Out(Says):
        def score_one(self, x: Any) -> Any:  # noqa: ARG002 - River's signature
            raise MemoryError

    with pytest.raises(MemoryError):
        guarded(Out(0)).score_one({"at": 0.0, "value": 1.0})


def test_a_missing_value_is_no_fault() -> None:
    model = river_model("anomaly.HalfSpaceTrees", {"seed": 1})
    assert model.score_one({"at": 0.0, "value": math.nan}) == 0
    model.learn_one({"at": 0.0, "value": math.nan})
    assert not model.faults


def test_a_pipeline_is_built_from_its_steps_and_finds_a_spike() -> None:
    model = river_model(
        "compose.Pipeline",
        args=[
            {"model": "preprocessing.MinMaxScaler"},
            {"model": "anomaly.HalfSpaceTrees", "params": {"seed": 1, "window_size": 100}},
        ],
    )
    scores = feed(model, [*flat(600)[1].tolist(), 90.0])
    assert scores[-1] > np.quantile(scores[:-1], 0.9)
    assert not model.faults


@pytest.mark.parametrize(
    ("model", "spike"),
    [
        (anomaly.GaussianScorer(grace_period=50), 90.0),
        (anomaly.StandardAbsoluteDeviation(stats.Mean()), 90.0),
        (anomaly.PredictiveAnomalyDetection(linear_model.LinearRegression()), 500.0),
        (anomaly.PredictiveAnomalyDetection(time_series.HoltWinters(0.3)), 90.0),
        (anomaly.QuantileFilter(anomaly.GaussianScorer(grace_period=50), q=0.99), 90.0),
    ],
    ids=lambda it: type(it).__name__,
)
def test_a_supervised_detector_is_given_the_value_to_score(model: Any, spike: float) -> None:
    one = guarded(model)
    scores = feed(one, flat(300)[1].tolist())
    assert one.score_one({"at": 60.0 * 300, "value": spike}) >= max(scores[100:])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("os.system", "river has no os.system"),
        ("anomaly.Nothing", "river has no anomaly.Nothing"),
        ("anomaly.hst.math.exp", "river has no"),
        ("checks.pickle.Unpickler", "river has no"),
        ("checks.functools", "river has no|no model"),
        ("utils.math.np", "no model|river has no"),
        ("base._typing", "no dotted name"),
        ("anomaly.__builtins__", "no dotted name"),
        ("../evil", "no dotted name"),
        ("", "no dotted name"),
        ("datasets.CreditCard", "no model"),
        ("linear_model.LinearRegression", "does not score anomalies"),
        ("stats.Mean", "does not score anomalies"),
    ],
)
def test_a_name_that_is_no_detector_of_rivers_is_refused(name: str, message: str) -> None:
    with pytest.raises(Rejected, match=message):
        river_model(name)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"trees": 5}, "cannot be built.*trees"),
        ({"n_trees": {"model": "os.system"}}, "river has no"),
        ({"n_trees": {"model": "stats.Mean", "parms": {}}}, "unknown key 'parms'"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(Rejected, match=message):
        river_model("anomaly.HalfSpaceTrees", params)


def test_penalties_that_river_cannot_join_are_refused_as_parameters() -> None:
    forecast = {"model": "linear_model.LinearRegression", "params": {"l1": 0.1, "l2": 0.1}}
    with pytest.raises(Rejected, match=r"cannot be built.*L1 and L2"):
        river_model("anomaly.PredictiveAnomalyDetection", {"predictive_model": forecast})


def test_a_river_prefix_is_taken_too() -> None:
    assert type(river_model("river.anomaly.LODA", {"seed": 1}).model) is anomaly.LODA
