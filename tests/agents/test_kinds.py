"""Every kind of the scorer is said of the series that a person would call so, frames to anomaly.

`missing` is in test_silence.py, `reset` in test_resets.py, a level shift's whole life in
test_shift.py.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.anomalies import Anomaly
from schemas.frames import Samples, canonical

T0 = 1_767_323_040_000  # ms
DAY = 86_400
NAME = canonical("latency_seconds", {"service": "checkout"})
SEEDS = range(8)
Floats = npt.NDArray[np.float64]
Draw = np.random.Generator


class Story(NamedTuple):
    """A series every `dt` seconds, as it always was until sample `begin`."""

    dt: int
    begin: int
    value: Floats


def load(samples: int, draw: Draw, noise: float) -> Floats:
    """A value a minute: 100, and 50 up and down a day."""
    wave = np.sin(2 * np.pi * 60 * np.arange(samples) / DAY)
    return 100 + 50 * wave + draw.normal(0, noise, samples)


def spike(draw: Draw) -> Story:
    """One minute of twice the usual."""
    value = load(3000, draw, 2)
    value[2500] += 80
    return Story(60, 2500, value)


def moved(draw: Draw) -> Story:
    """A deployment after which everything takes half as long again."""
    value = load(3000, draw, 2)
    value[2500:] += 50
    return Story(60, 2500, value)


def restless(draw: Draw) -> Story:
    """What moved slowly goes up and down, soon by 4, within the range of its past."""
    begin, smooth = 5 * 288, 0.0
    steps = draw.normal(0, 1, begin + 100)
    value = np.array([100 + (smooth := 0.95 * smooth + step) for step in steps])
    value[begin:] += np.where(np.arange(100) % 2, 1, -1) * np.minimum(np.arange(100), 4.0)
    return Story(300, begin, value)


def by_day_as_by_night(draw: Draw) -> Story:
    """In the morning of the sixth day the load does not come; by night it is usual."""
    begin = 5 * 1440 + 140
    value = load(6 * 1440, draw, 3)
    value[begin : begin + 260] = np.linspace(value[begin], 50, 260) + draw.normal(0, 3, 260)
    return Story(60, begin, value)


def leak(draw: Draw) -> Story:
    """A value each quarter of a minute that from the fourth day on creeps up by half."""
    begin = 4 * DAY // 15
    value = draw.normal(100, 3, begin + DAY // 30)
    value[begin:] += np.linspace(0, 150, DAY // 30)
    return Story(15, begin, value)


def opened(story: Story) -> Anomaly:
    """The first anomaly that is opened from `begin` on, frame by frame."""
    detect = Detect(DetectSettings(forget_s=1e9, idle_s=1e9), {})
    dt, begin, value = story
    at = T0 + 1000 * dt * np.arange(len(value))
    for number, first in enumerate(range(0, len(value), 500)):
        part = slice(first, first + 500)
        frame = Samples([NAME], np.zeros(len(at[part]), np.int32), at[part], value[part])
        for anomaly in detect.feed(frame, 0, number):
            if anomaly.change == "opened" and anomaly.at.timestamp() >= at[begin] / 1000:
                return anomaly
    raise AssertionError("nothing was said")


@pytest.mark.parametrize(
    ("make", "kind", "direction", "least"),
    [
        (spike, "spike", "up", 8),
        (moved, "spike", "up", 8),  # at first: test_shift.py has what it turns out to be
        (restless, "jitter", "up", 7),
        (by_day_as_by_night, "seasonal", "down", 8),
        (leak, "trend", "up", 2),  # else it is first unusual for its hour, or among its neighbours
    ],
)
def test_a_kind_is_named_as_a_person_would(
    make: Callable[[Draw], Story], kind: str, direction: str, least: int
) -> None:
    """Of eight series; each is told within an hour, or 30 samples, with its last 60 points."""
    found: list[tuple[str, str]] = []
    for seed in SEEDS:
        story = make(np.random.default_rng(seed))
        anomaly = opened(story)
        late = anomaly.at.timestamp() - T0 / 1000 - story.begin * story.dt
        assert late <= max(3600, 30 * story.dt)
        assert anomaly.statistic
        assert anomaly.horizon_s > 0
        assert len(anomaly.evidence_at) == len(anomaly.evidence_value) == 60
        found.append((anomaly.kind, anomaly.direction))
    assert found.count((kind, direction)) >= least, found
