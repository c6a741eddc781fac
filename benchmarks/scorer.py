"""The scorer by itself, and River's detectors over the same samples in the same run."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from river import anomaly, preprocessing

from agents.scorer.block import BlockState
from agents.scorer.scorer import score_rows, warm_up

FRAME = 500
SAMPLES = 1_000_000
RIVER_SAMPLES = 20_000


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Microseconds a sample at several numbers of series; River's detectors beside."""
    warm_up()
    results: dict[str, Any] = {}
    for series in (1_000, 10_000, 100_000):
        results[f"scorer_us_a_sample_{series // 1000}k_series"] = _ours(series)
    results["river_half_space_trees_us_a_sample"] = _river(
        preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1)
    )
    results["river_gaussian_scorer_us_a_sample"] = _river(anomaly.GaussianScorer(), plain=True)
    say(", ".join(f"{name} {value:.2f}" for name, value in results.items()))
    return results


def _ours(series: int) -> float:
    block = BlockState(series)
    for _ in range(series):
        block.claim()
    draw = np.random.default_rng(1)
    value = draw.normal(100, 5, SAMPLES)
    rows = np.arange(SAMPLES, dtype=np.int32) % series
    at = 1.7e9 + 10.0 * (np.arange(SAMPLES) // series)
    began = time.perf_counter()
    for first in range(0, SAMPLES, FRAME):
        part = slice(first, first + FRAME)
        score_rows(block, rows[part], at[part], value[part])
    return (time.perf_counter() - began) / SAMPLES * 1e6


def _river(model: Any, *, plain: bool = False) -> float:
    values = np.random.default_rng(1).normal(100, 5, RIVER_SAMPLES).tolist()
    began = time.perf_counter()
    for value in values:
        if plain:
            model.score_one(None, value)
            model.learn_one(None, value)
        else:
            model.score_one({"value": value})
            model.learn_one({"value": value})
    return (time.perf_counter() - began) / RIVER_SAMPLES * 1e6
