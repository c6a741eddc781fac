"""The Numenta score: its two ends, its order, and a case by hand."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from streams.backtest.labels import Span
from streams.backtest.numenta import Judged, Numenta, numenta
from streams.backtest.run import Wish, backtest
from tests.agents.scorer.series import flat

N = 1000
WINDOWS = (Span(400, 499), Span(700, 799))


def scored(*rows: int, windows: tuple[Span, ...] = WINDOWS) -> Numenta:
    """Alarms at these rows, by the standard profile."""
    score = np.zeros(N)
    score[list(rows)] = 1.0
    return numenta([Judged(np.arange(float(N)), score, score > 0, windows)])[0]


def test_silence_is_0_and_alarms_at_once_are_100() -> None:
    assert scored().alarmed == 0.0
    assert scored(400, 700).alarmed == pytest.approx(100.0, abs=0.1)
    assert scored(400, 700).best == scored(400, 700).alarmed


def test_earlier_in_a_window_is_worth_more_and_only_the_first_counts() -> None:
    worth = [scored(row).alarmed for row in (400, 430, 460, 490, 499)]
    assert all(a > b for a, b in pairwise(worth))
    assert scored(430, 431, 490).alarmed == scored(430).alarmed


def test_an_alarm_outside_costs_less_soon_after_a_window() -> None:
    assert scored(350).alarmed == pytest.approx(-100 * 0.11 / 4)
    assert scored(350).alarmed < scored(510).alarmed < 0
    assert scored(350).best == 0.0  # the best threshold is to say nothing


def test_the_first_rows_do_not_count() -> None:
    assert scored(5, 149).alarmed == 0.0
    assert scored(150).alarmed < 0


def test_a_series_of_which_no_row_counts_is_worth_nothing() -> None:
    """One row is within the first 15 %, rounded up."""
    one = Judged(np.zeros(1), np.ones(1), np.ones(1, np.bool_), (Span(0, 0),))
    assert {(each.best, each.alarmed) for each in numenta([one])} == {(0.0, 0.0)}


@pytest.mark.filterwarnings("error")
def test_a_window_of_one_row_long_ago_is_no_warning() -> None:
    assert scored(N - 1, windows=(Span(400, 400),)).alarmed == pytest.approx(-100 * 0.11 / 2)


def test_a_case_by_hand() -> None:
    """An alarm in the middle of one of two windows: 2 / (1 + e^(5 y)) - 1 at y = -.5."""
    earned = (2 / (1 + np.exp(-2.5)) - 1) / (2 / (1 + np.exp(-5)) - 1)
    assert scored(450).alarmed == pytest.approx(100 * (earned + 1) / 4)


def test_without_windows_there_is_no_score() -> None:
    at = np.arange(3.0)
    assert numenta([Judged(at, at, at > 0, ())]) == ()


def test_labels_in_the_benchmarks_form_give_its_score(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    at, value = flat(1500)
    value[700:703] += 60
    rows = "".join(f"{t},{v}\n" for t, v in zip(at.tolist(), value.tolist(), strict=True))
    (tmp_path / "in" / "a.csv").write_text("timestamp,value\n" + rows)
    (tmp_path / "in" / "windows.json").write_text(f'{{"a.csv": [[{at[690]}, {at[750]}], [1, 2]]}}')
    wish = Wish(labels=tmp_path / "in" / "windows.json")
    summary = backtest(tmp_path / "in", tmp_path / "out", wish)
    assert [each.profile for each in summary.numenta] == ["standard", "low FP", "low FN"]
    assert summary.numenta[0].alarmed > 80
    assert backtest(tmp_path / "in", tmp_path / "out").numenta == ()
