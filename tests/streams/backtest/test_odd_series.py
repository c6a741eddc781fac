"""Odd series, each through the scorer, through detect and through a backtest: no crash, no NaN.

What is odd comes first; 400 ordinary samples and a spike follow where the oddity leaves a past that
a spike can be told from. So it is also shown that the series is still watched afterwards.
"""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from agents.scorer.block import BlockState
from agents.scorer.scorer import score_rows
from agents.scorer.state import COUNTS_AT, SINGLES_AT
from agents.series_block import Block
from schemas.avro import decode, encode
from schemas.frames import Samples, canonical
from streams.backtest.run import backtest
from tests.agents.scorer.series import START, noise

Floats = npt.NDArray[np.float64]
LENGTH, STEP = 400, 60.0


class Odd(NamedTuple):
    """A series; `metric` names it to detect; `told` if its last sample must be an alarm."""

    at: Floats
    value: Floats
    metric: str = "depth"
    told: bool = True


def on_time(value: npt.ArrayLike, *, told: bool = True, metric: str = "depth") -> Odd:
    values = np.asarray(value, np.float64)
    at = np.array([START + STEP * i for i in range(len(values))], np.float64)
    return Odd(at, values, metric, told)


def ordinary() -> Floats:
    return 50.0 + noise(LENGTH)


def then_a_spike(value: npt.ArrayLike) -> Floats:
    return np.concatenate((np.asarray(value, np.float64), ordinary(), [150.0]))


def among(odd: float) -> Floats:
    """The odd value alone, in a row, and as every third of ordinary ones."""
    value = ordinary()
    value[50] = odd
    value[100:120] = odd
    value[200:300:3] = odd
    return value


def duplicate_times() -> Odd:
    series = on_time(then_a_spike(ordinary()))
    at = series.at.copy()
    at[100:200] = at[100]
    at[201:LENGTH:2] = at[200:LENGTH:2]
    return series._replace(at=at)


def backward_times() -> Odd:
    series = on_time(then_a_spike(ordinary()))
    at = series.at.copy()
    at[50:150] = at[50:150][::-1]
    at[200] -= 86400.0
    at[300] -= 30 * 86400.0
    return series._replace(at=at)


def integer_counter() -> Odd:
    """Counted up, reset twice, then standing still; under a counter's name it is a rate."""
    steps = np.round(20 + 3 * noise(3 * LENGTH))
    counted = steps.cumsum()
    counted[LENGTH:] -= counted[LENGTH]
    counted[2 * LENGTH :] -= counted[2 * LENGTH]
    value = np.concatenate((counted, np.full(50, counted[-1])))
    return on_time(value, metric="done_total", told=False)


SERIES: dict[str, Callable[[], Odd]] = {
    "nan": lambda: on_time(then_a_spike(among(math.nan))),
    "nothing but nan": lambda: on_time([math.nan] * LENGTH, told=False),
    "inf": lambda: on_time(then_a_spike(among(math.inf))),
    "minus inf": lambda: on_time(then_a_spike(among(-math.inf))),
    "minus zero": lambda: on_time(np.concatenate(([0.0, -0.0] * LENGTH, [50.0]))),
    "1e308": lambda: on_time([1e308, -1e308] * LENGTH, told=False),
    "1e308 once": lambda: on_time(then_a_spike([*ordinary(), 1e308]), told=False),
    "smallest": lambda: on_time([5e-324, -5e-324] * LENGTH, told=False),
    "constant": lambda: on_time(np.concatenate((np.full(LENGTH, 7.25), [9.0]))),
    "two-valued": lambda: on_time([0.0, 1.0, 1.0] * LENGTH, told=False),
    "two-valued, then a third": lambda: on_time(np.concatenate(([0.0, 1.0] * LENGTH, [50.0]))),
    "integer counter": integer_counter,
    "integer counter as a gauge": lambda: integer_counter()._replace(metric="depth"),
    "one sample": lambda: on_time([50.0], told=False),
    "no sample": lambda: on_time([], told=False),
    "duplicate times": duplicate_times,
    "backward times": backward_times,
}


@pytest.fixture(params=SERIES)
def odd(request: pytest.FixtureRequest) -> Odd:
    return SERIES[request.param]()


def test_the_scorer_scores_it(odd: Odd) -> None:
    """Sample by sample and at once the same, nothing NaN, the state finite, the spike told."""
    block, again = BlockState(1), BlockState(1)
    row, _ = block.claim(), again.claim()
    scores = score_rows(block, np.full(len(odd.at), row), odd.at, odd.value)
    for t, v in zip(odd.at, odd.value, strict=True):
        score_rows(again, [row], [t], [v])
    for part in scores:
        assert not np.isnan(part).any()
    for part in (scores.emitted, scores.raw):
        assert np.isfinite(part).all()
        assert (part >= 0).all()
    assert np.isfinite(block.floats).all()
    assert np.isfinite(block.memory[:, SINGLES_AT:COUNTS_AT].view(np.float32)).all()
    assert block.to_bytes() == again.to_bytes()
    if odd.told:
        assert scores.emitted[-1] >= 1


def test_detect_takes_it(odd: Odd) -> None:
    """In frames of 7; all that it says travels, and its state comes back from the changelog."""
    detect = Detect(DetectSettings(), {})
    name = canonical(odd.metric, {"service": "checkout"})
    said = []
    for offset, first in enumerate(range(0, len(odd.at), 7)):
        part = slice(first, first + 7)
        at = np.round(odd.at[part] * 1000).astype(np.int64)
        frame = Samples([name], np.zeros(len(at), np.int32), at, odd.value[part])
        said += detect.feed(frame, 0, offset)
    for event in said:
        for number in (event.score, event.raw, event.value, event.low, event.high):
            assert math.isfinite(number)
        value, headers = encode(event)
        assert decode(value, headers["schema"]).id == event.id
    for block in detect.blocks(0):
        assert Block.load(block.dump()).dump() == block.dump()
    last = odd.at[-1] if len(odd.at) else 0.0
    if odd.told:
        assert [event for event in said if event.at.timestamp() == pytest.approx(last)]


def test_a_backtest_writes_a_score_a_row(odd: Odd, tmp_path: Path) -> None:
    """The numbers as text, `inf` and `nan` among them."""
    (tmp_path / "in").mkdir()
    rows = "".join(
        f"{t!r},{v!r}\n" for t, v in zip(odd.at.tolist(), odd.value.tolist(), strict=True)
    )
    (tmp_path / "in" / "a.csv").write_text(f"timestamp,{odd.metric}\n{rows}")
    summary = backtest(tmp_path / "in", tmp_path / "out")
    assert summary.faults == ()
    with (tmp_path / "out" / "a.csv").open() as file:
        found = list(csv.DictReader(file))
    assert len(found) == len(odd.at)
    assert all(math.isfinite(float(row["score"])) for row in found)
    if odd.told:
        assert found[-1]["alarm"] == "1"
