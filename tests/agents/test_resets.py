"""Counters that start again: one deployment is no news, a crash loop is, once a service."""

import numpy as np
import pytest

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.anomalies import Anomaly
from schemas.frames import Samples, canonical

T0 = 1_767_323_040_000  # ms
NAMES = [canonical(f"requests{n}_total", {"service": "checkout"}) for n in range(3)]


def said(resets: list[float], *, samples: int = 200, size: int = 60) -> list[Anomaly]:
    """Three counters, sampled each 10 s, that start again at these seconds."""
    seconds = np.arange(samples) * 10.0
    value = 1.0 + 20 * (seconds - np.array([max(r for r in [0.0, *resets] if r <= s) for s in seconds]))  # fmt: skip
    code = np.tile(np.arange(3, dtype=np.int32), samples)
    at = np.repeat(T0 + (seconds * 1000).astype(np.int64), 3)
    held = np.repeat(value, 3)
    detect, out = Detect(DetectSettings(), {}), []
    for n, cut in enumerate(range(0, len(code), size)):
        part = slice(cut, cut + size)
        out += detect.feed(Samples(NAMES, code[part], at[part], held[part]), 0, n)
    return [a for a in out if a.kind == "reset"]


@pytest.mark.parametrize("resets", [[], [700.0], [600.0, 1500.0]])
def test_a_deployment_now_and_then_is_no_news(resets: list[float]) -> None:
    assert said(resets) == []


def test_a_crash_loop_is_one_anomaly_of_the_service_that_gets_worse_and_ends() -> None:
    out = said([600.0, 640.0, 700.0, 780.0, 860.0], samples=400)
    assert len({a.anomaly for a in out}) == 1
    assert out[0].change == "opened"
    assert out[-1].change == "cleared"
    assert out[-1].ending == "recovered"
    assert out[0].at.timestamp() == T0 / 1000 + 700
    assert out[0].reason == "requests0_total starts over and over, 3 times in minutes"
    ranks = [a.severity.rank for a in out[:-1]]
    assert ranks == sorted(ranks)
    assert ranks[-1] > ranks[0]


def test_what_resets_all_the_time_is_no_counter() -> None:
    """A gauge whose name says otherwise."""
    assert said([float(t) for t in range(20, 2000, 30)]) == []


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_however_frames_are_cut_the_same_is_said(size: int) -> None:
    resets = [600.0, 640.0, 700.0, 780.0, 860.0]
    want = [(a.id, a.reason) for a in said(resets, samples=400)]
    assert [(a.id, a.reason) for a in said(resets, samples=400, size=size)] == want
