"""Weak evidence: beside an anomaly of its group only, rarely, and the same for any cut."""

from collections.abc import Iterator

import numpy as np
import pytest

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from agents.scorer.severity import severity
from schemas.anomalies import Anomaly
from schemas.frames import Samples, canonical

T0 = 1_767_323_045_000  # ms
CHECKOUT = [canonical(f"m{n}", {"service": "checkout"}) for n in range(5)]
QUEUE = [canonical(f"q{n}", {"service": "queue"}) for n in range(5)]
FAR = [canonical(f"f{n}", {"service": "far"}) for n in range(5)]
GROUPS = {"checkout": "shop", "queue": "shop"}


def story(*, spike: bool, length: int = 1500) -> tuple[list[str], np.ndarray]:
    """Fifteen quiet series of three services; the first of checkout is far up for half a minute."""
    names = [*CHECKOUT, *QUEUE, *FAR]
    values = np.random.default_rng(3).normal(100, 3, (length, len(names)))
    if spike:
        values[900:930, 0] += 80
    return names, values


def said(*, spike: bool = True, size: int = 150) -> list[Anomaly]:
    names, values = story(spike=spike)
    code = np.tile(np.arange(len(names), dtype=np.int32), len(values))
    at = np.repeat(T0 + 1000 * np.arange(len(values), dtype=np.int64), len(names))
    detect = Detect(DetectSettings(), GROUPS)
    return [
        a for f in cut(names, code, at, values.ravel(), size) for a in detect.feed(f[1], 0, f[0])
    ]


def cut(
    names: list[str], code: np.ndarray, at: np.ndarray, value: np.ndarray, size: int
) -> Iterator[tuple[int, Samples]]:
    for n, first in enumerate(range(0, len(code), size)):
        part = slice(first, first + size)
        yield n, Samples(names, code[part], at[part], value[part])


def weak(events: list[Anomaly]) -> list[Anomaly]:
    return [a for a in events if a.change == "weak"]


def test_where_nothing_is_wrong_nothing_weak_is_said() -> None:
    assert weak(said(spike=False)) == []


def test_around_an_anomaly_its_group_alone_is_heard() -> None:
    events = said()
    opened = next(a for a in events if a.change == "opened")
    cleared = next(a for a in events if a.change == "cleared")
    heard = weak(events)
    assert {a.service for a in heard} <= {"checkout", "queue"}
    assert "queue" in {a.service for a in heard}
    assert all(a.raw >= 0.3 for a in heard)
    times = [a.at.timestamp() for a in heard]
    assert any(t < opened.at.timestamp() for t in times)
    assert min(times) >= opened.at.timestamp() - 300
    assert max(times) <= cleared.at.timestamp() + 300


def test_a_series_is_heard_once_a_minute_and_not_beside_its_own_anomaly() -> None:
    events = said()
    begin, end = (
        next(a.at for a in events if a.change == change) for change in ("opened", "cleared")
    )
    by_series: dict[str, list[float]] = {}
    for a in weak(events):
        by_series.setdefault(a.series, []).append(a.at.timestamp())
        assert a.series != CHECKOUT[0] or not begin <= a.at <= end
    for times in by_series.values():
        assert min(np.diff(sorted(times)), default=60.0) >= 60.0


@pytest.mark.parametrize("size", [1, 7, 4000])
def test_however_frames_are_cut_the_same_is_said_in_the_same_order(size: int) -> None:
    assert [a.id for a in said(size=size)] == [a.id for a in said()]


def test_it_has_the_lowest_severity_whatever_its_score() -> None:
    assert {a.severity for a in weak(said())} == {severity(0.0)}


def test_of_an_anomaly_that_another_worker_has_now_nothing_more_is_heard() -> None:
    """Two services of one group in two partitions: what is open goes away with its partition."""
    names, values = story(spike=True)
    at = T0 + 1000 * np.arange(len(values), dtype=np.int64)

    def frame(of: int, part: slice) -> Samples:
        code = np.tile(np.arange(5, dtype=np.int32), part.stop - part.start)
        inside = values[part, 5 * of : 5 * of + 5]
        return Samples(names[5 * of : 5 * of + 5], code, np.repeat(at[part], 5), inside.ravel())

    def heard(*, moved: bool) -> list[Anomaly]:
        detect = Detect(DetectSettings(), GROUPS)
        events = [
            a
            for n, first in enumerate(range(0, 910, 10))
            for partition in (0, 1)
            for a in detect.feed(frame(partition, slice(first, first + 10)), partition, n)
        ]
        assert any(a.change == "opened" for a in events)
        if moved:
            detect.drop(0)
        return weak(detect.feed(frame(1, slice(910, 1500)), 1, 91))

    assert {a.service for a in heard(moved=False)} == {"queue"}
    assert heard(moved=True) == []
