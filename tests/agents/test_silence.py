"""A series that stops is told when its rhythm says so, once a service, whatever cuts and crashes."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.anomalies import Anomaly
from schemas.event import Severity
from schemas.frames import Samples, canonical

T0 = 1_767_323_040_000  # ms
CLOCK = canonical("up", {"service": "prometheus"})  # speaks on while others are silent
CPU = canonical("cpu", {"service": "checkout"})

Points = list[tuple[float, str]]  # second, series


def every(name: str, seconds: float, begin: float, end: float) -> Points:
    return [(float(t), name) for t in np.arange(begin, end, seconds)]


def frames(*points: Points, size: int = 50) -> list[Samples]:
    """All points in order of time, `size` a frame; values do not matter."""
    ordered = sorted(p for each in points for p in each)
    out = []
    for n in range(0, len(ordered), size):
        part = ordered[n : n + size]
        names = sorted({name for _, name in part})
        code = np.array([names.index(name) for _, name in part], np.int32)
        at = np.array([T0 + round(t * 1000) for t, _ in part], np.int64)
        out.append(Samples(names, code, at, np.full(len(part), 5.0)))
    return out


def new(**more: object) -> Detect:
    return Detect(DetectSettings.model_validate(more), {"checkout": "shop"})


def said(detect: Detect, all_of: Iterable[Samples], first: int = 0) -> list[Anomaly]:
    out = [a for n, f in enumerate(all_of, first) for a in detect.feed(f, 0, n)]
    return [a for a in out if a.kind == "missing"]


def lives(events: list[Anomaly]) -> list[tuple[str, float, str]]:
    """Changes in seconds since the beginning."""
    return [(a.change, round(a.at.timestamp() - T0 / 1000, 3), a.ending) for a in events]


ON = every(CLOCK, 5, 0, 2000)


def test_a_regular_series_is_late_after_four_intervals_and_back_with_its_next_sample() -> None:
    out = said(new(), frames(ON, every(CPU, 10, 0, 500), every(CPU, 10, 700, 800)))
    assert lives(out)[:2] == [("opened", 530.0, ""), ("cleared", 700.0, "recovered")]
    opened = out[0]
    assert (opened.statistic, opened.horizon_s, opened.group) == ("rhythm", 40.0, "shop")
    assert opened.reason == "cpu has sent nothing for 40 s, came every 10 s"
    assert opened.evidence_at[-1] == T0 / 1000 + 490


def test_what_says_that_it_ends_is_not_late() -> None:
    """By Prometheus' stale marker, a NaN of its own."""
    stale = np.array([0x7FF0000000000002], np.uint64).view(np.float64)
    code, at = np.zeros(1, np.int32), np.array([T0 + 500_000], np.int64)
    detect, before = new(), frames(every(CLOCK, 5, 0, 500), every(CPU, 10, 0, 500))
    assert said(detect, before) == []
    assert detect.feed(Samples([CPU], code, at, stale), 0, len(before)) == []
    assert said(detect, frames(every(CLOCK, 5, 505, 2000)), len(before) + 1) == []
    again = frames(every(CLOCK, 5, 2000, 3000), every(CPU, 10, 2000, 2500))
    assert [change for change, *_ in lives(said(detect, again, 100))] == ["opened"]


def test_what_stays_away_ends_and_is_never_told_again() -> None:
    out = said(new(ended_s=120.0), frames(ON, every(CPU, 10, 0, 500)))
    assert lives(out) == [("opened", 530.0, ""), ("cleared", 650.0, "ended")]


def test_what_comes_back_after_its_end_is_no_news() -> None:
    out = said(new(ended_s=120.0), frames(ON, every(CPU, 10, 0, 500), every(CPU, 10, 900, 1900)))
    assert lives(out) == [("opened", 530.0, ""), ("cleared", 650.0, "ended")]


def test_a_series_that_comes_and_goes_is_given_more_time() -> None:
    draw = np.random.default_rng(1)
    bursts: Points = [(float(t), CPU) for t in np.cumsum(draw.exponential(20, 60)).round(3)]
    assert said(new(), frames(every(CLOCK, 5, 0, bursts[-1][0] + 500), bursts)) == []


def test_a_series_nobody_knows_yet_is_not_missed() -> None:
    assert said(new(), frames(ON, every(CPU, 10, 0, 280))) == []


def test_missing_values_are_no_sign_of_life() -> None:
    stale = [
        Samples(f.names, f.code, f.at, np.where((f.at > T0 + 500_000) & (f.code == 0), np.nan, 5.0))
        for f in frames(ON, every(CPU, 10, 0, 900))
        if f.names[0] == CPU
    ]
    assert lives(said(new(), stale)) == [("opened", 540.0, ""), ("cleared", 840.0, "ended")]


def test_an_exporter_that_dies_is_one_anomaly_however_many_series_it_had() -> None:
    names = [canonical("cpu", {"service": "checkout", "host": str(n)}) for n in range(300)]
    points = [p for name in names for p in every(name, 10, 0, 350)]
    back = [p for name in names for p in every(name, 10, 450, 470)]
    out = said(new(), frames(ON[:120], points, back, size=1000))
    assert len({a.anomaly for a in out}) == 1
    assert [a.change for a in out] == ["opened", *["updated"] * 9, "cleared"]
    assert out[-1].ending == "recovered"
    assert out[-3].reason.startswith("256 of 300 series of checkout have sent nothing since")
    assert out[-2].reason.startswith("300 of 300 series of checkout have sent nothing since")
    assert [s.severity.rank for s in out[:-1]] == sorted(s.severity.rank for s in out[:-1])
    assert (out[0].severity, out[-2].severity) == (Severity.low, Severity.high)


@pytest.mark.parametrize(("silent", "last"), [(1, ""), (3, "3 of 7"), (4, "4 of 7"), (7, "7 of 7")])
def test_in_the_end_all_that_are_silent_are_counted(silent: int, last: str) -> None:
    """A service that is gone is as bad as it gets, whatever number of series it had."""
    names = [canonical("cpu", {"service": "checkout", "host": str(n)}) for n in range(7)]
    points = [every(name, 10, 0, 500 if n < silent else 2000) for n, name in enumerate(names)]
    out = [a for a in said(new(), frames(ON, *points)) if a.change != "cleared"]
    assert max(a.score for a in out) == out[-1].score == 1 + silent / 7
    assert out[-1].reason.startswith(f"{last} series of checkout" if last else "cpu has sent")
    at = [round(a.at.timestamp() - T0 / 1000) for a in out]
    assert at[-1] <= 530 + 40
    assert len(out) == len({a.id for a in out}) <= 4


def test_two_services_that_fall_silent_are_two() -> None:
    queue = canonical("depth", {"service": "queue"})
    out = said(new(), frames(ON[:200], every(CPU, 10, 0, 500), every(queue, 10, 0, 500)))
    assert sorted(a.service for a in out if a.change == "opened") == ["checkout", "queue"]


def test_when_the_whole_partition_was_silent_nobody_is_missed_at_its_first_word() -> None:
    """Our own feed was cut off: ten minutes later every series goes on as before."""
    both = [every(name, 10, begin, begin + 500) for name in (CLOCK, CPU) for begin in (0, 1100)]
    assert said(new(), frames(*both)) == []


def test_after_such_a_pause_what_does_not_come_back_is_missed() -> None:
    out = said(new(), frames(every(CLOCK, 10, 0, 500), every(CLOCK, 10, 1100, 1600), every(CPU, 10, 0, 500)))  # fmt: skip
    assert lives(out)[0] == ("opened", 1140.0, "")


def test_samples_that_come_in_batches_behind_others_are_not_late() -> None:
    """A shipper sends each minute what it saw each second."""
    arriving = []
    for minute in range(20):
        arriving += frames(every(CLOCK, 1, 60 * minute, 60 * minute + 60), size=60)
        arriving += frames(every(CPU, 1, 60 * minute, 60 * minute + 60), size=60)
    assert said(new(), arriving) == []


def test_a_service_whose_clock_is_ahead_makes_nobody_late() -> None:
    ahead = canonical("up", {"service": "ahead"})
    late_by_30 = [(t, n if n == CPU else ahead) for t, n in every(CPU, 10, 0, 1000)]
    arriving = []
    for n, (t, name) in enumerate(late_by_30):
        arriving += frames([(t + 30, ahead)], size=1) if n else []
        arriving += frames([(t, name)], size=1)
    assert said(new(), arriving) == []


def test_a_silence_every_night_is_soon_no_news() -> None:
    day = 86_400.0
    nights = [p for n in range(12) for p in every(CPU, 60, n * day, n * day + 3600)]
    clock = every(CLOCK, 60, 0, 12 * day)
    out = said(new(), frames(nights, clock, size=5000))
    opened = [a.at.timestamp() - T0 / 1000 for a in out if a.change == "opened"]
    assert 1 <= len(opened) <= 6
    assert opened[-1] < 7 * day


SCENE = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 60), st.integers(1, 40)), max_size=5
)


def scene(gaps: list[tuple[str, int, int]]) -> list[Points]:
    """Three series of one service, each with some silences, beside one that speaks on."""
    out = [every(CLOCK, 7, 0, 1100)]
    for n, name in enumerate("abc"):
        quiet = [(310 + 10 * b, 310 + 10 * (b + d)) for who, b, d in gaps if who == name]
        series = canonical(name, {"service": "checkout"})
        out.append(
            [p for p in every(series, 5 + n, 0, 1100) if not any(b <= p[0] < e for b, e in quiet)]
        )
    return out


@settings(max_examples=30, deadline=None)
@given(gaps=SCENE, size=st.integers(1, 400))
def test_however_frames_are_cut_the_same_is_said(
    gaps: list[tuple[str, int, int]], size: int
) -> None:
    points = scene(gaps)
    want = [(a.id, a.score, a.reason) for a in said(new(ended_s=100.0), frames(*points, size=64))]
    got = [(a.id, a.score, a.reason) for a in said(new(ended_s=100.0), frames(*points, size=size))]
    assert got == want


@pytest.mark.parametrize("crash", [2, 5, 8, 11])
def test_after_a_crash_blocks_as_of_different_frames_say_the_same(crash: int) -> None:
    """300 series, so two blocks; the first was saved before the silence, the second within it."""
    names = [canonical("cpu", {"service": "checkout", "host": str(n)}) for n in range(300)]
    points = [p for name in names[:290] for p in every(name, 20, 0, 350)]
    returns = [p for n, name in enumerate(names[:290]) for p in every(name, 10, 450 + n % 40, 530)]
    stays = [p for name in names[290:] for p in every(name, 20, 0, 350)]
    all_of = frames(every(CLOCK, 5, 0, 800), points, returns, stays, size=1000)
    whole = new(ended_s=100.0)
    want = [a.id for a in said(whole, all_of)]
    first, second = new(ended_s=100.0), new(ended_s=100.0)
    before = said(first, all_of[:crash])
    saved = {0: first.blocks(0)[0].dump()}
    before += said(first, all_of[crash : crash + 2], crash)
    saved[1] = first.blocks(0)[1].dump()
    second.load(0, saved)
    after = said(second, all_of[crash:], crash)
    assert list(dict.fromkeys(a.id for a in before + after)) == want
