"""Counters in, budgets and burn alerts out: against sums by hand, whatever is late or resets."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from agents.burn import Counts, History
from agents.slo import FORGOTTEN_S, Slo
from runbooks.objectives import (
    BurnAlert,
    LabelMatcher,
    Objective,
    Period,
    SeriesSelector,
)
from schemas.anomalies import Anomaly
from schemas.budgets import Budget
from schemas.errors import Rejected
from schemas.event import Event, Severity
from schemas.frames import Samples, canonical

T0 = 1_767_322_800  # s; a whole hour
MINUTE = timedelta(minutes=1)
REQUESTS = "requests_total"
OK = canonical(REQUESTS, {"service": "shop", "code": "200"})
BAD = canonical(REQUESTS, {"service": "shop", "code": "500"})
OTHER = canonical(REQUESTS, {"service": "elsewhere", "code": "500"})
DEPTH = canonical("depth", {"service": "shop"})
PAGE = BurnAlert(long=5 * MINUTE, short=MINUTE, factor=10.0)
TICKET = BurnAlert(long=10 * MINUTE, short=2 * MINUTE, factor=2.0, severity="ticket")


def objective(*, counter: bool = True, good: bool = True, bucket: timedelta = MINUTE) -> Objective:
    total = SeriesSelector(metric=REQUESTS)
    code = LabelMatcher(name="code", op="!~" if good else "=~", value="5..")
    part = SeriesSelector(metric=REQUESTS, matchers=(code,))
    return Objective(
        name="answers", service="shop", target=0.99, period=Period(length=timedelta(hours=1)),
        bucket=bucket, counter=counter, good=part if good else None, bad=None if good else part,
        total=total, alerts=(PAGE, TICKET),
    )  # fmt: skip


def slo(objective_: Objective | None = None) -> Slo:
    return Slo([objective_ or objective()], {"shop": "market"})


def frame(*samples: tuple[str, float, float]) -> Samples:
    """Samples of (series, seconds after T0, value)."""
    names = sorted({name for name, _, _ in samples})
    return Samples(
        names,
        np.array([names.index(name) for name, _, _ in samples], np.int32),
        np.array([round((T0 + at) * 1000) for _, at, _ in samples], np.int64),
        np.array([value for _, _, value in samples], float),
    )


def feed(watch: Slo, *frames: Samples, first: int = 0) -> list[Event]:
    return [event for n, f in enumerate(frames, first) for event in watch.feed(f, 0, n)]


def buckets(events: list[Event]) -> list[tuple[float, float, float]]:
    """Seconds after T0, total and bad of each closed bucket."""
    return [
        (event.bucket_start.timestamp() - T0, event.total, event.bad)
        for event in events
        if isinstance(event, Budget)
    ]


def alerts(events: list[Event]) -> list[Anomaly]:
    return [event for event in events if isinstance(event, Anomaly)]


def test_increases_of_all_series_are_summed_into_the_bucket_of_their_time() -> None:
    """By hand: 200s go 100, 150, 210 (60 in the second minute), 500s 5, 6, 9."""
    said = feed(
        slo(),
        frame((OK, 0, 100), (BAD, 0, 5), (OTHER, 0, 7), (DEPTH, 0, 3)),
        frame((OK, 30, 150), (BAD, 30, 6), (OTHER, 30, 99)),
        frame((OK, 90, 210), (BAD, 90, 9), (DEPTH, 90, 4)),
        frame((OK, 140, 210), (BAD, 140, 9)),
    )
    assert buckets(said) == [(0, 51, 1), (60, 63, 3)]
    first = said[0]
    assert isinstance(first, Budget)
    assert (first.group, first.service, first.objective) == ("market", "shop", "answers")
    assert (first.bucket_s, first.period_s, first.rolling) == (60, 3600, True)
    assert first.at == first.bucket_start + MINUTE == datetime.fromtimestamp(T0 + 60, UTC)


def test_a_bucket_waits_a_quarter_of_its_width_for_its_last_samples() -> None:
    watch = slo()
    assert buckets(feed(watch, frame((OK, 0, 0), (OK, 59, 10), (OK, 74, 10)))) == []
    assert buckets(feed(watch, frame((OK, 55, 9), (OK, 75, 10)), first=1)) == [(0, 10, 0)]


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([(0, 100), (10, 130), (20, 7), (30, 9)], 39),  # a reset: 30, 7, 2
        ([(0, 100), (10, 130), (5, 110), (20, 140)], 40),  # one comes late: it is in the next
        ([(0, 100), (10, 130), (10, 130), (20, 140)], 40),  # one comes twice
        ([(0, 100), (10, math.nan), (20, 140)], 40),
        ([(0, 100), (10, 100), (20, 100)], 0),
        ([(0, 100), (10, 101)], 1),  # what was before we watched is not ours to count
    ],
)
def test_a_counter_counts_what_it_rose_by(values: list[tuple[float, float]], total: float) -> None:
    samples = [(OK, at, value) for at, value in values]
    said = feed(slo(), frame(*samples), frame((OK, 80, values[-1][1])))
    assert buckets(said) == [(0, total, 0)]


def test_samples_that_are_counts_are_summed_and_late_ones_land_in_the_open_bucket() -> None:
    said = feed(
        slo(objective(counter=False)),
        frame((OK, 0, 4), (BAD, 1, 1), (OK, 80, 2)),
        frame((OK, 10, 3)),  # its bucket has been said
        frame((OK, 140, 1)),
    )
    assert buckets(said) == [(0, 5, 1), (60, 5, 0)]


def test_bad_and_total_give_the_same_as_good_and_total() -> None:
    frames = [frame((OK, n * 20, n * 50), (BAD, n * 20, n * n)) for n in range(30)]
    by_good, by_bad = feed(slo(), *frames), feed(slo(objective(good=False)), *frames)
    assert buckets(by_good) == buckets(by_bad)
    assert sum(bad for _, _, bad in buckets(by_good)) > 0


def test_a_gap_is_said_as_empty_buckets() -> None:
    said = feed(slo(), frame((OK, 0, 0), (OK, 30, 6)), frame((OK, 250, 9)), frame((OK, 320, 9)))
    assert buckets(said) == [(0, 6, 0), (60, 0, 0), (120, 0, 0), (180, 0, 0), (240, 3, 0)]


def test_what_is_left_is_as_computed_by_hand() -> None:
    """1 % of 1000 may fail: 4 that did leave 60 %; then 16 of 2000 leave 20 %."""
    said = feed(
        slo(),
        frame((OK, 0, 0), (BAD, 0, 0)),
        frame((OK, 30, 996), (BAD, 30, 4)),
        frame((OK, 90, 996 + 988), (BAD, 90, 16)),
        frame((OK, 140, 996 + 988), (BAD, 140, 16)),
    )
    budgets = [event for event in said if isinstance(event, Budget)]
    assert [budget.left for budget in budgets] == pytest.approx([0.6, 0.2])
    assert [(b.period_total, b.period_bad) for b in budgets] == [(1000, 4), (2000, 16)]
    assert budgets[0].burn == pytest.approx(0.4)


def test_what_is_left_is_what_the_history_says() -> None:
    watch, want = objective(), []
    history = History.empty(watch)
    said = feed(slo(), *story())
    for start, total, bad in buckets(said):
        at = datetime.fromtimestamp(T0 + start, UTC)
        history = history.add(watch, at + MINUTE / 2, Counts(total - bad, total))
        want.append(history.budget(watch, at + MINUTE / 2).left)
    assert [event.left for event in said if isinstance(event, Budget)] == want


def story(length: int = 60) -> Iterator[Samples]:
    """A frame every 20 s: a hundred requests, of which in the middle a fifth fails."""
    good = bad = 0
    for n in range(length):
        failed = 20 if 20 <= n < 35 else 0
        good, bad = good + 100 - failed, bad + failed
        yield frame((OK, n * 20, good), (BAD, n * 20, bad))


def test_a_burn_opens_once_rises_and_clears_once() -> None:
    found = alerts(feed(slo(), *story()))
    opened, *updates, cleared = found
    assert (opened.change, cleared.change) == ("opened", "cleared")
    assert {a.change for a in updates} == {"updated"}
    assert len({a.anomaly for a in found}) == 1
    assert len({a.id for a in found}) == len(found)
    updated = updates[-1]
    for before, after in zip(found, updates, strict=False):
        assert after.score > 1.5 * before.score or after.severity != before.severity
    assert (opened.severity, updated.severity, cleared.severity) == (
        Severity.medium, Severity.critical, Severity.critical,
    )  # fmt: skip
    assert (opened.source, opened.kind, opened.series) == ("slo", "burn", "answers")
    assert opened.reason == "answers: burning 3.5 over 0:10:00, 13.3 over 0:02:00"
    assert opened.since == opened.at == updated.since == cleared.since
    assert cleared.ending == "recovered"
    assert opened.evidence_value[-1] == pytest.approx(0.2, abs=0.1)
    assert opened.group == "market"


def test_a_burn_that_flickers_does_not_clear_in_between() -> None:
    """Two calm buckets are not three."""

    def flicker() -> Iterator[Samples]:
        good = bad = 0
        for n in range(90):
            failed = 30 if 20 <= n < 35 or 60 <= n < 64 else 0
            good, bad = good + 100 - failed, bad + failed
            yield frame((OK, n * 20, good), (BAD, n * 20, bad))

    changes = [a.change for a in alerts(feed(slo(), *flicker()))]
    assert changes.count("opened") == changes.count("cleared") == 2
    assert changes[-1] == "cleared"


@pytest.mark.parametrize("crash", [2, 22, 30, 45])
def test_a_restart_in_the_middle_says_the_same_under_the_same_ids(crash: int) -> None:
    """Saved at one frame, crashed two later, read again from before the saved one."""
    frames = list(story())
    whole, first, second = slo(), slo(), slo()
    want = feed(whole, *frames)
    said = feed(first, *frames[:crash])
    saved = {0: first.blocks(0)[0].dump()}
    said += feed(first, *frames[crash : crash + 2], first=crash)
    second.load(0, saved)
    said += feed(second, *frames[crash - 2 :], first=crash - 2)
    assert second.blocks(0)[0].dump() == whole.blocks(0)[0].dump()
    assert list({event.id: event for event in said}.values()) == want


def test_however_frames_are_cut_the_same_is_said() -> None:
    parts = list(story())
    names = parts[0].names
    joined = Samples(
        names,
        np.concatenate([p.code for p in parts]),
        np.concatenate([p.at for p in parts]),
        np.concatenate([p.value for p in parts]),
    )
    said = [event.model_copy(update={"cause": ""}) for event in feed(slo(), *parts)]
    assert [event.model_copy(update={"cause": ""}) for event in feed(slo(), joined)] == said


def test_partitions_are_apart_and_can_be_dropped() -> None:
    watch = slo()
    watch.feed(frame((OK, 0, 0), (OK, 30, 5)), 0, 0)
    watch.feed(frame((OK, 0, 0), (OK, 30, 7)), 1, 0)
    assert buckets(list(watch.feed(frame((OK, 80, 5)), 0, 1))) == [(0, 5, 0)]
    watch.drop(1)
    assert watch.feed(frame((OK, 80, 7)), 1, 1) == []


def test_a_frame_without_series_of_an_objective_changes_nothing() -> None:
    watch = slo()
    assert feed(watch, frame((OTHER, 0, 1), (DEPTH, 0, 1))) == []
    assert not watch.blocks(0)[0].changed


def test_counters_that_fall_silent_are_forgotten() -> None:
    """Names come and go with every deployment; the block must not grow for ever."""
    watch = slo()
    feed(watch, frame((OK, 0, 1), (BAD, 0, 1)), frame((OK, 20, 2)))
    feed(watch, *(frame((OK, at, 3)) for at in (FORGOTTEN_S, FORGOTTEN_S + 90)), first=2)
    assert list(watch.blocks(0)[0].accounts["answers"].counters) == [OK]


def test_buckets_of_another_width_begin_anew() -> None:
    """Their numbers are others: the old ones would hold the new ones up for years."""
    before, after = slo(), slo(objective(bucket=2 * MINUTE))
    feed(before, *story(20))
    after.load(0, {0: before.blocks(0)[0].dump()})
    said = feed(after, *list(story(40))[20:], first=20)
    assert [start for start, _, _ in buckets(said)] == [360, 480, 600]
    assert buckets(said)[0][1:] == (400, 80)  # its first 40 s were before the change


def test_objectives_that_are_gone_are_dropped_and_damaged_blocks_refused() -> None:
    watch = slo()
    feed(watch, *story(5))
    raw = watch.blocks(0)[0].dump()
    other = Slo([], {})
    other.load(0, {0: raw})
    assert other.blocks(0)[0].accounts == {}
    assert other.blocks(0)[0].included == 4
    for bad in (b"", raw[:-9], raw.replace(b'"version":1', b'"version":9')):
        with pytest.raises(Rejected):
            slo().load(0, {0: bad})
