"""Any detector of River's over the same history, by name, with its crashes counted."""

import csv
from pathlib import Path

import pytest

from agents.river_models import river_model
from schemas.errors import Rejected
from streams.backtest.detector import River
from streams.backtest.run import Wish, backtest
from tests.agents.scorer.series import flat


@pytest.fixture
def history(tmp_path: Path) -> Path:
    folder = tmp_path / "history"
    folder.mkdir()
    at, value = flat(400)
    value[300] += 40
    for name in ("a", "b"):
        rows = "".join(f"{t},{v}\n" for t, v in zip(at.tolist(), value.tolist(), strict=True))
        (folder / f"{name}.csv").write_text("timestamp,value\n" + rows)
    return folder


def read(path: Path) -> tuple[list[float], list[int]]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [float(row["score"]) for row in rows], [int(row["alarm"]) for row in rows]


def test_a_rivers_score_is_what_it_says_before_it_learns(history: Path, tmp_path: Path) -> None:
    """A model a series, each from nothing."""
    name = "anomaly.StandardAbsoluteDeviation"
    summary = backtest(history, tmp_path / "out", Wish(detector=River(name, threshold=5.0)))
    model, expected = river_model(name), []
    for t, v in zip(*(each.tolist() for each in flat(400)), strict=True):
        v += 40 * (t == flat(400)[0][300])  # noqa: PLW2901 - the spike
        expected.append(model.score_one({"at": t, "value": v}))
        model.learn_one({"at": t, "value": v})
    for each in ("a.csv", "b.csv"):
        scores, alarms = read(tmp_path / "out" / each)
        assert scores == expected
        assert [i for i, alarm in enumerate(alarms) if alarm] == [
            i for i, score in enumerate(expected) if score >= 5
        ]
        assert alarms[300] == 1
    assert summary.detector == "River's anomaly.StandardAbsoluteDeviation(), alarms from 5"


def test_without_a_threshold_a_rivers_model_never_alarms(history: Path, tmp_path: Path) -> None:
    summary = backtest(history, tmp_path / "out", Wish(detector=River("anomaly.GaussianScorer")))
    assert summary.alarms == 0
    assert max(read(tmp_path / "out" / "a.csv")[0]) > 0.9


def test_a_model_that_fails_is_told_and_scores_nothing(history: Path, tmp_path: Path) -> None:
    params = {"sub_stat": {"model": "stats.Quantile", "params": {"q": 0.5}}}
    detector = River("anomaly.StandardAbsoluteDeviation", params)
    summary = backtest(history, tmp_path / "out", Wish(detector=detector))
    assert summary.faults == ()
    (note,) = summary.found[0].notes
    assert note.startswith("1 calls of the model failed: StandardAbsoluteDeviation.score_one")


def test_a_name_that_is_no_model_is_said_before_any_work() -> None:
    with pytest.raises(Rejected, match=r"river has no anomaly\.Nothing"):
        River("anomaly.Nothing")
