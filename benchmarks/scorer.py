"""The scorer by itself, from 1,000 to 1,000,000 series, and River's detectors in the same run.

Times are CPU time of one thread, since others may be at work on the machine. Every round gives
each series one sample, in an order drawn at random: a new frame finds its series anywhere.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from river import anomaly, preprocessing, stats, time_series

from agents.scorer.block import BlockState
from agents.scorer.scorer import score_rows, warm_up

FRAME = 500
CURVE = (1_000, 10_000, 100_000, 1_000_000)
SAMPLES = 200_000  # timed at the least, in whole rounds
WARM = 31  # rounds before: from then on every residual is scored
STEP = 10.0  # s between samples
RIVER_SAMPLES = 4_000


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Microseconds a sample and bytes of memory a series at each number of series; River's too."""
    warm_up()
    results: dict[str, Any] = {"scorer_state_bytes_a_series": BlockState(1).memory.nbytes}
    for series in CURVE:
        cost, resident = _ours(series)
        name = f"{series // 1000}k_series"
        results[f"scorer_us_a_sample_{name}"] = cost
        results[f"scorer_resident_bytes_a_series_{name}"] = resident
        say(f"{series:>9,} series: {cost:.2f} us a sample, {resident:,.0f} bytes a series")
    ours = results[f"scorer_us_a_sample_{CURVE[0] // 1000}k_series"]
    for name, (model, apart) in _peers().items():
        cost = _river(model, apart=apart)
        results[f"river_{name}_us_a_sample"] = cost
        results[f"river_{name}_times_the_scorer"] = cost / ours
        say(f"River's {name}: {cost:.1f} us a sample, {cost / ours:.0f} times the scorer's")
    return results


def _ours(series: int) -> tuple[float, float]:
    """The first thousand learn for all: what a series has learned does not change its cost."""
    before = _resident()
    block = BlockState(series)
    block.taken[:] = True  # what `claim` does, one by one
    draw = np.random.default_rng(1)
    for number in range(WARM):
        _round(block, np.arange(CURVE[0], dtype=np.int32), draw, number)
    for first in range(CURVE[0], series, CURVE[0]):
        block.memory[first : first + CURVE[0]] = block.memory[: CURVE[0]]
    rounds = -(-SAMPLES // series)
    rows = draw.permutation(series).astype(np.int32)
    spent = sum(_round(block, rows, draw, WARM + number) for number in range(rounds))
    return spent / (rounds * series) * 1e6, (_resident() - before) / series


def _round(
    block: BlockState, rows: npt.NDArray[np.int32], draw: np.random.Generator, number: int
) -> float:
    """One sample of each series; CPU seconds."""
    value, at = draw.normal(100, 5, len(rows)), np.full(len(rows), 1.7e9 + STEP * number)
    began = time.process_time()
    for first in range(0, len(rows), FRAME):
        part = slice(first, first + FRAME)
        score_rows(block, rows[part], at[part], value[part])
    return time.process_time() - began


def _resident() -> int:
    """Bytes of memory this process has."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def _peers() -> dict[str, tuple[Any, bool]]:
    """River's detectors for one series; True for those that take the value apart from features."""
    holt_winters = time_series.HoltWinters(alpha=0.3, beta=0.1)
    scaled = preprocessing.MinMaxScaler()
    return {
        "gaussian_scorer": (anomaly.GaussianScorer(), True),
        "standard_absolute_deviation": (anomaly.StandardAbsoluteDeviation(stats.EWMean(0.1)), True),
        "holt_winters_residual": (anomaly.PredictiveAnomalyDetection(holt_winters), True),
        "half_space_trees": (scaled | anomaly.HalfSpaceTrees(seed=1), False),
        "loda": (anomaly.LODA(seed=1), False),
    }


def _river(model: Any, *, apart: bool) -> float:
    values = np.random.default_rng(1).normal(100, 5, RIVER_SAMPLES).tolist()
    samples = [(None, value) if apart else ({"value": value},) for value in values]
    for sample in samples[:WARM]:  # some raise until they have learned
        model.learn_one(*sample)
    began = time.process_time()
    for sample in samples[WARM:]:
        model.score_one(*sample)
        model.learn_one(*sample)
    return (time.process_time() - began) / (RIVER_SAMPLES - WARM) * 1e6
