"""The life of an anomaly, sample by sample."""

import math

import msgspec
import pytest

from agents.scorer.kind import Kind
from agents.watch import (
    LEVEL_SHIFT,
    Opening,
    Sample,
    Verdict,
    Watch,
    WatchSettings,
    bounded,
    doubtful,
    open_watch,
    shifted,
    step,
)

SETTINGS = WatchSettings(
    clear_samples=3, adapt_samples=20, update_s=10, shift_samples=8, quiet_samples=6
)


def opened(direction: int = 1, value: float = 50.0, kind: Kind = Kind.SPIKE) -> Watch:
    alarm = Opening(int(kind), direction, low=0.0, high=10.0, before=5.0)
    return open_watch("anm-1", Sample(100.0, value, 1.5), alarm)


def doubted(score: float = 1.2) -> Watch:
    return msgspec.structs.replace(opened(), doubted=True, score=score)


def told(watch: Watch, *samples: tuple[float, float], start: float = 100.0) -> list[Verdict]:
    """Verdicts on (value, raw) samples, one a second."""
    out = []
    for n, (value, raw) in enumerate(samples, 1):
        verdict = step(watch, Sample(start + n, value, raw), SETTINGS)
        watch = verdict.watch
        out.append(verdict)
        if verdict.change in {"cleared", "dropped"}:
            break
    return out


def test_a_calm_score_at_a_bad_level_is_no_recovery() -> None:
    """The scorer learns the new level long before the service is well."""
    assert all(v.change != "cleared" for v in told(opened(), *[(50.0, 0.0)] * 15))


def test_it_recovers_when_it_is_back_for_some_samples() -> None:
    verdicts = told(opened(), *[(5.0, 0.0)] * 30)
    assert (verdicts[-1].change, verdicts[-1].ending) == ("cleared", "recovered")
    assert len(verdicts) > SETTINGS.clear_samples  # the smoothed value takes its time


def test_one_good_sample_between_bad_ones_is_no_recovery() -> None:
    assert all(v.change != "cleared" for v in told(opened(), *[(5.0, 0.0), (50.0, 0.0)] * 8))


def test_back_in_range_but_restless_is_no_recovery() -> None:
    assert all(v.change != "cleared" for v in told(opened(), *[(5.0, 1.2)] * 15))


def test_a_level_that_stays_becomes_the_normal_one() -> None:
    verdicts = told(opened(), *[(50.0, 0.0)] * 30)
    assert (verdicts[-1].change, verdicts[-1].ending) == ("cleared", "adapted")
    assert len(verdicts) == SETTINGS.adapt_samples


@pytest.mark.parametrize(
    ("direction", "value", "recovers"),
    [(1, -5.0, True), (1, 50.0, False), (-1, 50.0, True), (-1, -5.0, False), (0, 5.0, True), (0, 50.0, False)],
)  # fmt: skip
def test_the_side_that_it_left_by_is_the_one_that_counts(
    direction: int, value: float, *, recovers: bool
) -> None:
    verdicts = told(
        opened(direction, value=50.0 if direction >= 0 else -50.0), *[(value, 0.0)] * 19
    )
    assert (verdicts[-1].change == "cleared") is recovers


def test_updates_come_at_most_once_in_their_time_unless_it_gets_worse() -> None:
    verdicts = told(opened(kind=Kind.LEVEL_SHIFT), *[(50.0, 1.0)] * 12)
    assert [n for n, v in enumerate(verdicts, 1) if v.change == "updated"] == [10]
    worse = told(opened(), (90.0, 3.0))
    assert worse[0].change == "updated"
    assert worse[0].watch.score == 3.0


def test_what_stays_outside_becomes_a_level_shift_and_is_told_so_at_once() -> None:
    verdicts = told(opened(), *[(50.0, 0.0)] * 12)
    news = [n for n, v in enumerate(verdicts, 1) if v.change == "updated"]
    assert news[0] == SETTINGS.shift_samples
    last = verdicts[-1].watch
    assert shifted(last)
    assert (last.before, last.level) == (5.0, 50.0)


def test_the_number_of_a_level_shift_is_its_kinds() -> None:
    assert LEVEL_SHIFT == Kind.LEVEL_SHIFT


def test_a_spike_that_falls_back_stays_a_spike() -> None:
    verdicts = told(opened(), (50.0, 1.2), *[(5.0, 0.0)] * 19)
    assert {v.watch.kind for v in verdicts} == {int(Kind.SPIKE)}


@pytest.mark.parametrize("kind", [Kind.TREND, Kind.JITTER])
def test_what_never_left_its_range_lasts_while_its_score_is_high(kind: Kind) -> None:
    """The value is in range all the time: that it is there is no recovery."""
    direction = 0 if kind is Kind.JITTER else 1
    watch = opened(direction, value=8.0, kind=kind)
    assert not watch.left
    restless = told(watch, *[(8.0, 0.7)] * 10)
    assert all(v.change != "cleared" for v in restless)
    quiet = told(restless[-1].watch, *[(8.0, 0.1)] * 9, start=110.0)
    assert (quiet[-1].change, quiet[-1].ending) == ("cleared", "recovered")
    assert len(quiet) == SETTINGS.quiet_samples


@pytest.mark.parametrize("a_second", [0.5, -0.5])
def test_what_goes_on_leaving_is_not_normal_until_it_stops(a_second: float) -> None:
    """It is asked at 100 samples, at 200, and would be at 400; but from 250 on it stays."""
    settings = SETTINGS.model_copy(update={"adapt_samples": 100})
    direction = 1 if a_second > 0 else -1
    alarm = Opening(int(Kind.TREND), direction, low=0.0, high=10.0, before=5.0)
    watch, changes = open_watch("anm-1", Sample(100.0, 5.0 + 7 * direction, 1.5), alarm), {}
    for n in range(1, 1000):
        value = 5.0 + 7 * direction + a_second * min(n, 250)
        verdict = step(watch, Sample(100.0 + n, value, 0.4), settings)
        watch = verdict.watch
        changes[n] = verdict.ending
        if verdict.change == "cleared":
            break
    assert {n: ending for n, ending in changes.items() if ending} == {400: "adapted"}
    assert watch.level == pytest.approx(5.0 + 7 * direction + 250 * a_second, abs=0.1)


def test_a_level_that_breathes_is_normal_in_time() -> None:
    """Twice as high as before, up and down a fifth of that all the time."""
    settings = SETTINGS.model_copy(update={"adapt_samples": 100})
    watch = opened(value=25.0)
    for n in range(1, 101):
        value = 25.0 + 4.0 * math.sin(n / 50 * math.pi)
        verdict = step(watch, Sample(100.0 + n, value, 0.4), settings)
        watch = verdict.watch
    assert (verdict.change, verdict.ending) == ("cleared", "adapted")


def test_on_a_slow_series_days_make_a_level_normal() -> None:
    settings = SETTINGS.model_copy(update={"adapt_samples": 400, "adapt_s": 7200.0})
    watch, n = opened(), 0
    while True:
        n += 1
        verdict = step(watch, Sample(100.0 + n * 600, 50.0, 0.0), settings)
        watch = verdict.watch
        if verdict.change == "cleared":
            break
    assert (verdict.ending, n) == ("adapted", 12)


def test_an_infinite_range_can_be_written_down() -> None:
    assert bounded(float("inf")) == 1e300
    assert bounded(float("nan")) == 0.0


# ---- doubted


@pytest.mark.parametrize(
    ("score", "interval", "doubt_s", "doubted"),
    [
        (1.0, 1.0, 3.0, True),
        (1.39, 2.9, 3.0, True),
        (1.4, 1.0, 3.0, False),
        (1.0, 3.0, 3.0, False),
        (1.0, 60.0, 3.0, False),
        (1.0, 0.1, 0.0, False),
        (1.0, 60.0, 90.0, True),
    ],
)
def test_only_weak_alarms_of_series_that_are_sampled_often_are_doubted(
    *, score: float, interval: float, doubt_s: float, doubted: bool
) -> None:
    assert doubtful(score, interval, WatchSettings(doubt_s=doubt_s)) is doubted


def test_a_doubted_alarm_that_lasts_is_said_and_has_begun_when_it_began() -> None:
    verdicts = told(doubted(), *[(50.0, 0.0)] * 5)
    assert [verdict.change for verdict in verdicts] == ["", "", "opened", "", ""]
    assert verdicts[2].watch.since == 100.0


def test_a_hiccup_is_never_said() -> None:
    """Two samples out of range, then all is well."""
    verdicts = told(doubted(), (50.0, 0.4), *[(5.0, 0.0)] * 30)
    assert {verdict.change for verdict in verdicts[:-1]} == {""}
    assert verdicts[-1].change == "dropped"


def test_what_comes_back_while_it_is_doubted_is_said() -> None:
    verdicts = told(doubted(), *[(5.0, 0.0)] * 4, (50.0, 1.2))
    assert [verdict.change for verdict in verdicts] == ["", "", "", "", "opened"]


def test_a_doubted_alarm_whose_score_rises_is_said_at_once() -> None:
    assert [v.change for v in told(doubted(), (90.0, 2.5))] == ["opened"]


def test_restlessness_within_the_range_is_dropped_when_it_has_been_quiet() -> None:
    alarm = Opening(int(Kind.JITTER), 0, low=0.0, high=100.0)
    watch = open_watch("anm-1", Sample(100.0, 50.0, 1.2), alarm)
    quiet = [(50.0, 0.0)] * SETTINGS.quiet_samples
    verdicts = told(msgspec.structs.replace(watch, doubted=True), *quiet)
    assert [verdict.change for verdict in verdicts][-1] == "dropped"
