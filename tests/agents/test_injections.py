"""The four faults that everybody injects first are found within a minute, from frames on.

Each after some hours of the series as it always was, sampled as often as exporters are scraped.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.anomalies import Anomaly
from schemas.event import Severity
from schemas.frames import Samples, canonical

T0 = 1_767_323_040_000  # ms
CALM, FAULT = 2000, 40  # samples
Floats = npt.NDArray[np.float64]


class Series(NamedTuple):
    """A metric of one service and its values, the fault in the last ones."""

    metric: str
    value: Floats


def wave(dt: float) -> Floats:
    """A day's up and down, -1 to 1."""
    return np.sin(2 * np.pi * dt * np.arange(CALM + FAULT) / 86_400)


def cpu_spike(draw: np.random.Generator, dt: float) -> Series:
    value = 35 + 10 * wave(dt) + draw.normal(0, 4, CALM + FAULT)
    value[CALM:] = draw.normal(97, 1.5, FAULT)
    return Series("cpu_percent", np.clip(value, 0, 100))


def error_storm(draw: np.random.Generator, dt: float) -> Series:
    """A third of the requests fails; three in a thousand always did."""
    requests = draw.poisson(40 * dt * (1 + 0.4 * wave(dt)))
    share = np.where(np.arange(CALM + FAULT) < CALM, 0.003, 0.35)
    return Series("http_errors_total", np.cumsum(draw.binomial(requests, share)).astype(float))


def login_attack(draw: np.random.Generator, dt: float) -> Series:
    """Three failures a minute become fifteen a second."""
    a_second = np.where(np.arange(CALM + FAULT) < CALM, 0.05, 15.0)
    return Series("login_failures_total", np.cumsum(draw.poisson(a_second * dt)).astype(float))


def latency_spike(draw: np.random.Generator, dt: float) -> Series:
    value = 0.12 * np.exp(draw.normal(0, 0.12, CALM + FAULT)) * (1 + 0.2 * wave(dt))
    value[CALM:] *= 6
    return Series("latency_p95_seconds", value)


def said(series: Series, dt: float) -> list[Anomaly]:
    name = canonical(series.metric, {"service": "auth"})
    detect = Detect(DetectSettings(), {})
    at = T0 + (1000 * dt * np.arange(CALM + FAULT)).astype(np.int64)
    out: list[Anomaly] = []
    for number, first in enumerate(range(0, CALM + FAULT, 100)):
        part = slice(first, first + 100)
        code = np.zeros(len(at[part]), np.int32)
        out += detect.feed(Samples([name], code, at[part], series.value[part]), 0, number)
    return [a for a in out if a.change != "weak"]


@pytest.mark.parametrize("dt", [10.0, 15.0, 60.0])
@pytest.mark.parametrize("make", [cpu_spike, error_storm, login_attack, latency_spike])
def test_an_injected_fault_is_found_within_a_minute_with_service_baseline_and_evidence(
    make: Callable[[np.random.Generator, float], Series], dt: float
) -> None:
    events = said(make(np.random.default_rng(7), dt), dt)
    begun = T0 / 1000 + CALM * dt
    opened = [a for a in events if a.change == "opened" and a.at.timestamp() >= begun]
    assert opened, "nothing was said"
    first = opened[0]
    assert first.at.timestamp() - begun <= 60
    assert (first.service, first.direction) == ("auth", "up")
    assert first.low <= first.high < first.value
    assert len(first.evidence_at) == 60
    worst = max(a.score for a in events if a.anomaly == first.anomaly)
    assert worst >= 1.25
    assert first.severity in (Severity.medium, Severity.high, Severity.critical)
    assert len([a for a in events if a.change == "opened"]) <= 2
