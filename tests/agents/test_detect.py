"""Frames in, anomalies out: once each, however the frames are cut and whatever is read twice."""

from collections.abc import Iterator

import numpy as np
import pytest

from agents.counters import MEMORY, RESETS, is_counter, rates
from agents.detect import Detect
from agents.detect_settings import DetectSettings
from agents.series_block import Block
from schemas.anomalies import Anomaly
from schemas.errors import Rejected
from schemas.frames import Samples, canonical

T0 = 1_767_323_045_000  # ms
NAMES = [canonical(f"m{n}", {"service": "checkout"}) for n in range(5)]


def frame(values: dict[str, list[float]], start: int, step_ms: int = 1000) -> Samples:
    """One frame: each series' values, a step apart, time by time."""
    names = list(values)
    rows = list(zip(*values.values(), strict=True))
    code = np.tile(np.arange(len(names), dtype=np.int32), len(rows))
    at = np.repeat(start + np.arange(len(rows), dtype=np.int64) * step_ms, len(names))
    return Samples(names, code, at, np.array(rows, float).ravel())


def story(spike_at: int = 250, length: int = 330, seed: int = 1) -> dict[str, list[float]]:
    """Quiet series, the first of which is far up for 30 samples."""
    draw = np.random.default_rng(seed)
    values = {name: draw.normal(100, 3, length).tolist() for name in NAMES}
    for n in range(spike_at, spike_at + 30):
        values[NAMES[0]][n] += 80
    return values


def cut(values: dict[str, list[float]], size: int) -> Iterator[Samples]:
    length = len(next(iter(values.values())))
    for first in range(0, length, size):
        part = {name: v[first : first + size] for name, v in values.items()}
        yield frame(part, T0 + first * 1000)


def run(detect: Detect, frames: Iterator[Samples], first: int = 0) -> list[Anomaly]:
    """What is said but for weak evidence, which a restart may forget: test_weak.py has it."""
    said = [a for n, f in enumerate(frames, first) for a in detect.feed(f, 0, n)]
    return [a for a in said if a.change != "weak"]


def new(**settings: object) -> Detect:
    return Detect(DetectSettings.model_validate(settings), {"checkout": "shop"})


@pytest.mark.parametrize("behind_s", [0, 240, 600])
def test_a_series_that_comes_late_has_not_fallen_silent(behind_s: int) -> None:
    """Shipped minutes behind the partition's others, or with a clock that is off."""
    draw, late = np.random.default_rng(1), canonical("m", {"service": "late"})
    detect, said = new(), []
    for minute in range(400):
        at = T0 + 60_000 * minute
        up = 80.0 if 300 <= minute < 330 else 0.0
        noise = 100 + 3 * draw.standard_normal(2)
        for offset, name, when, value in (
            (2 * minute, NAMES[0], at, noise[0]),
            (2 * minute + 1, late, at - 1000 * behind_s, noise[1] + up),
        ):
            said += detect.feed(frame({name: [value]}, when), 0, offset)
    told = [(a.change, a.ending) for a in said if a.change in {"opened", "cleared"}]
    assert told == [("opened", ""), ("cleared", "recovered")]


def test_a_shift_opens_and_clears_one_anomaly_with_its_evidence() -> None:
    said = run(new(), cut(story(), 10))
    assert [a.change for a in said if a.change != "updated"] == ["opened", "cleared"]
    opened = said[0]
    assert opened.series == NAMES[0]
    assert (opened.service, opened.group, opened.direction) == ("checkout", "shop", "up")
    assert opened.low < 100 < opened.high < opened.value
    assert len(opened.evidence_at) == len(opened.evidence_value) == 60
    assert opened.evidence_value[-1] == pytest.approx(opened.value, rel=1e-6)
    assert said[-1].ending == "recovered"
    assert len({a.anomaly for a in said}) == 1


@pytest.mark.parametrize("size", [1, 7, 330])
def test_however_frames_are_cut_the_same_is_said(size: int) -> None:
    want = [(a.id, a.change, a.score) for a in run(new(), cut(story(), 10))]
    assert [(a.id, a.change, a.score) for a in run(new(), cut(story(), size))] == want


def test_a_frame_that_is_read_twice_is_learned_once() -> None:
    once, twice = new(), new()
    frames = list(cut(story(), 10))
    want = run(once, iter(frames))
    said = [a for n, f in enumerate(frames) for _ in range(2) for a in twice.feed(f, 0, n)]
    assert [a for a in said if a.change != "weak"] == want
    assert once.blocks(0)[0].dump() == twice.blocks(0)[0].dump()


@pytest.mark.parametrize("crash", [3, 25, 27, 31])
def test_after_a_crash_saved_blocks_and_replay_give_bitwise_the_same(crash: int) -> None:
    """Saved at one offset, crashed at a later one, replayed from before the saved one."""
    frames = list(cut(story(), 10))
    whole = new()
    want = run(whole, iter(frames))
    first = new()
    said = run(first, iter(frames[:crash]))
    saved = {0: first.blocks(0)[0].dump()}
    said += run(first, iter(frames[crash : crash + 2]), crash)  # never saved: the crash takes it
    second = new()
    second.load(0, saved)
    said += run(second, iter(frames[crash - 2 :]), crash - 2)
    assert second.blocks(0)[0].dump() == whole.blocks(0)[0].dump()
    assert list(dict.fromkeys(a.id for a in said)) == [a.id for a in want]


def test_series_beyond_one_block_keep_their_rows() -> None:
    names = [canonical("m", {"service": "s", "n": str(n)}) for n in range(600)]
    detect = new()
    run(detect, iter([frame({name: [1.0, 2.0] for name in names}, T0)]))
    assert [len(b.names) for b in detect.blocks(0)] == [256, 256, 88]
    again = new()
    again.load(0, {n: b.dump() for n, b in enumerate(detect.blocks(0))})
    assert [b.names for b in again.blocks(0)] == [b.names for b in detect.blocks(0)]
    assert again.series == 600
    again.drop(0)
    assert again.series == 0


def test_series_find_their_rows_again_when_blocks_were_saved_at_different_times() -> None:
    """The first block was saved before its last series came, the second after its own did."""
    few = [canonical("m", {"service": "s", "n": str(n)}) for n in range(250)]
    more = [canonical("m", {"service": "s", "n": str(n)}) for n in range(250, 260)]
    frames = [
        frame({name: [1.0] for name in few}, T0),
        frame({name: [2.0] for name in more}, T0 + 1000),
        frame({name: [3.0] for name in few + more}, T0 + 2000),
    ]
    whole, first, second = new(), new(), new()
    run(whole, iter(frames))
    run(first, iter(frames[:1]))
    saved = {0: first.blocks(0)[0].dump()}
    run(first, iter(frames[1:2]), 1)
    saved[1] = first.blocks(0)[1].dump()
    second.load(0, saved)
    run(second, iter(frames))
    assert [b.dump() for b in second.blocks(0)] == [b.dump() for b in whole.blocks(0)]


def test_a_block_that_was_never_saved_keeps_its_number() -> None:
    """What was saved under a number is found under it, or it would be saved twice."""
    names = [canonical("m", {"service": "s", "n": str(n)}) for n in range(300)]
    frames = [frame({name: [1.0, 2.0] for name in names}, T0)]
    first, second = new(), new()
    run(first, iter(frames))
    second.load(0, {1: first.blocks(0)[1].dump()})
    assert [len(b.names) for b in second.blocks(0)] == [0, 44]
    run(second, iter(frames))
    assert [b.dump() for b in second.blocks(0)] == [b.dump() for b in first.blocks(0)]


def test_only_blocks_that_a_frame_touches_have_changed() -> None:
    names = [canonical("m", {"service": "s", "n": str(n)}) for n in range(300)]
    detect = new()
    run(detect, iter([frame({name: [1.0] for name in names}, T0)]))
    for block in detect.blocks(0):
        block.changed = False
    detect.feed(frame({names[-1]: [1.0]}, T0 + 1000), 0, 1)
    assert [b.changed for b in detect.blocks(0)] == [False, True]
    assert [b.included for b in detect.blocks(0)] == [0, 1]


def test_excluded_series_have_no_state() -> None:
    detect = new()
    run(detect, iter([frame({canonical("latency_bucket", {"le": "1"}): [1.0]}, T0)]))
    assert detect.series == 0


def test_series_beyond_the_limit_are_counted_and_left_out() -> None:
    detect = new(max_series=2)
    run(detect, cut(story(), 110))
    assert detect.series == 2
    assert detect.left_out == 3 * 330  # samples


def test_an_anomaly_whose_series_falls_silent_ends() -> None:
    values = {name: v[:260] for name, v in story(spike_at=240).items()}
    detect = new(ended_s=30)
    said = run(detect, cut(values, 10))
    assert said[-1].change != "cleared"
    rest = {name: [100.0] for name in NAMES[1:]}
    said = detect.feed(frame(rest, T0 + 400_000), 0, 99)
    assert [(a.change, a.ending) for a in said] == [("cleared", "ended")]


@pytest.mark.parametrize(
    "values",
    [
        [float("nan")] * 50, [float("inf"), -float("inf")] * 25, [-0.0] * 200, [1e308, -1e308] * 100,
        [0.0, 1.0] * 100, [7.0], list(range(300)),
    ],
)  # fmt: skip
def test_odd_series_neither_crash_nor_alarm_with_nonsense(values: list[float]) -> None:
    said = run(new(), iter([frame({NAMES[0]: [float(v) for v in values]}, T0)]))
    assert all(np.isfinite([a.score, a.raw, a.value, a.low, a.high]).all() for a in said)


@pytest.mark.parametrize("step_ms", [0, -1000])
def test_times_that_stand_still_or_run_back_do_no_harm(step_ms: int) -> None:
    draw = np.random.default_rng(1).normal(5, 1, 200).tolist()
    counter = canonical("requests_total", {"service": "s"})
    detect = new()
    assert run(detect, iter([frame({NAMES[0]: draw, counter: draw}, T0, step_ms)])) == []
    block = detect.blocks(0)[0]
    assert block.written[:2].tolist() == [200, 0], "a counter has no rate without time"
    assert np.isfinite(block.memory[:2]).all()


def test_a_damaged_or_foreign_block_is_refused() -> None:
    detect = new()
    run(detect, cut(story(), 330))
    raw = detect.blocks(0)[0].dump()
    for bad in (b"", raw[:-9], b"junk", raw.replace(b"\x87", b"\x86", 1)):
        with pytest.raises(Rejected):
            Block.load(bad)


def test_counters_become_rates_and_resets_are_no_negative_rate() -> None:
    memory = np.zeros((1, MEMORY))
    rows = np.zeros(6, np.int32)
    at = np.array([0.0, 2.0, 4.0, 4.0, 6.0, 5.0])
    value = np.array([10.0, 14.0, 3.0, 9.0, 5.0, 99.0])
    out, _ = rates(memory, np.zeros((1, RESETS)), np.array([True]), rows, at, value)
    assert np.array_equal(out, [np.nan, 2.0, 1.5, np.nan, 1.0, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("metric", "counter"),
    [("a_total", True), ("a_count", True), ("a_sum", True), ("total", False), ("depth", False)],
)
def test_names_say_what_is_a_counter(metric: str, *, counter: bool) -> None:
    assert is_counter(metric) is counter


def test_counts_of_ours_that_come_again_are_learned_once() -> None:
    """The log stage sends its last half minute again after a crash, as frames of their own."""
    name = canonical("log_lines", {"service": "checkout", "template": "00f0"})
    draw = np.random.default_rng(1)
    values = {name: draw.poisson(9, 400).astype(float).tolist()}
    frames = list(cut(values, 10))
    once, twice = new(), new()
    run(once, iter(frames))
    run(twice, iter([*frames[:20], *frames[17:]]))
    for detect in (once, twice):
        detect.blocks(0)[0].included = 0
    assert once.blocks(0)[0].dump() == twice.blocks(0)[0].dump()


def test_other_series_may_run_back_in_time() -> None:
    """Real exporters repeat times: what they send is learned as it comes."""
    frames = list(cut(story(), 10))
    once, twice = new(), new()
    run(once, iter(frames))
    run(twice, iter([*frames[:20], *frames[17:]]))
    written = [int(detect.blocks(0)[0].written[0]) for detect in (once, twice)]
    assert written[1] - written[0] == 30
