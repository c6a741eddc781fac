"""Static rules over frames: duration, hysteresis, what is missing, crashes, and any cut."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from runbooks.thresholds import Rule
from schemas.anomalies import Anomaly
from schemas.event import Severity
from schemas.frames import Samples, canonical

T0 = 1_767_323_040_000  # ms
CPU = canonical("cpu", {"service": "checkout", "host": "a"})
REQUESTS = canonical("requests_total", {"service": "checkout"})
HIGH = Rule.model_validate(
    {"id": "cpu-high", "when": "cpu > 90 for 30s", "clear": "80 for 20s", "severity": "high", "reason": "no CPU left"}
)  # fmt: skip
AT_ONCE = Rule.model_validate({"id": "cpu-any", "when": "cpu > 90"})


def new(*rules: Rule, **more: object) -> Detect:
    return Detect(DetectSettings.model_validate(more), {"checkout": "shop"}, rules)


def frames(
    values: Iterable[float], name: str = CPU, size: int = 1000, step: int = 10_000, start: int = T0
) -> list[Samples]:
    held = np.array(list(values), float)
    at = start + step * np.arange(len(held), dtype=np.int64)
    cuts = range(0, len(held), size)
    return [
        Samples([name], np.zeros(len(held[n : n + size]), np.int32), at[n : n + size], held[n : n + size])
        for n in cuts
    ]  # fmt: skip


def said(detect: Detect, all_of: Iterable[Samples], first: int = 0) -> list[Anomaly]:
    out = [a for n, f in enumerate(all_of, first) for a in detect.feed(f, 0, n)]
    return [a for a in out if a.source == "rule"]


def lives(events: list[Anomaly]) -> list[tuple[str, float, str]]:
    """Changes but for updates, in seconds since the beginning."""
    return [
        (a.change, a.at.timestamp() - T0 / 1000, a.ending) for a in events if a.change != "updated"
    ]


def test_a_limit_must_be_passed_for_its_time_and_clears_with_hysteresis() -> None:
    values = [50, 95, 95, 95, 95, 85, 79, 85, 79, 79, 79, 50]
    out = said(new(HIGH), frames(values))
    assert lives(out) == [("opened", 40.0, ""), ("cleared", 100.0, "recovered")]
    opened = out[0]
    assert (opened.kind, opened.statistic, opened.source) == ("threshold", "cpu-high", "rule")
    assert (opened.severity, opened.horizon_s, opened.high) == (Severity.high, 30.0, 90.0 - 10.0)
    assert opened.reason == "cpu is 95, > 90 for 30 s: no CPU left"
    assert opened.since.timestamp() == T0 / 1000 + 10
    assert (opened.group, opened.service, opened.direction) == ("shop", "checkout", "up")


def test_one_good_sample_begins_the_time_anew() -> None:
    assert said(new(HIGH), frames([95, 95, 95, 50, 95, 95, 95, 50])) == []


def test_without_a_time_one_sample_is_enough() -> None:
    assert lives(said(new(AT_ONCE), frames([95, 50]))) == [("opened", 0, ""), ("cleared", 10, "recovered")]  # fmt: skip


def test_a_missing_sample_neither_fires_nor_clears() -> None:
    nan = float("nan")
    assert said(new(HIGH), frames([95, nan, nan, nan, nan, 50])) == []
    out = said(new(HIGH), frames([95, 95, 95, 95, nan, nan, nan, nan, 95]))
    assert lives(out) == [("opened", 30, "")]


def test_a_series_that_is_gone_ends_it() -> None:
    detect = new(HIGH, ended_s=120.0)
    out = said(detect, frames([95] * 5))
    other = canonical("memory", {"service": "other"})
    out += said(detect, frames([1], other, start=T0 + 170_000), 9)
    assert lives(out) == [("opened", 30, ""), ("cleared", 160, "ended")]


@pytest.mark.parametrize("behind_s", [0, 240, 600])
def test_a_series_that_comes_late_has_not_fallen_silent(behind_s: int) -> None:
    """Shipped minutes behind the partition's others, or with a clock that is off."""
    other = canonical("memory", {"service": "other"})
    late = frames([95] * 60 + [50] * 5, start=T0, size=1)
    others = frames([1.0] * 65, other, start=T0 + 1000 * behind_s, size=1)
    out = said(
        new(HIGH, ended_s=120.0), [f for both in zip(others, late, strict=True) for f in both]
    )
    assert lives(out) == [("opened", 30, ""), ("cleared", 620, "recovered")]


def test_on_a_slow_series_the_next_sample_is_no_silence() -> None:
    """A sample an hour, beside a series that moves the clock on every minute."""
    rule = Rule.model_validate({"id": "slow", "when": "cpu > 90 for 3h"})
    other = canonical("memory", {"service": "other"})
    hours = frames([50, 50, 95, 95, 95, 95, 95, 50], step=3_600_000, size=1)
    between = frames([1.0] * 8, other, step=3_600_000, start=T0 + 3_000_000, size=1)
    out = said(new(rule), [f for both in zip(hours, between, strict=True) for f in both])
    assert lives(out) == [("opened", 5 * 3600, ""), ("cleared", 7 * 3600, "recovered")]


def test_an_older_sample_says_nothing() -> None:
    detect = new(HIGH)
    out = said(detect, frames([95] * 4))
    out += said(detect, frames([10], start=T0 + 5000), 5)
    assert lives(out) == [("opened", 30, "")]


def test_a_counter_is_held_against_its_rate() -> None:
    rule = Rule.model_validate({"id": "busy", "when": "requests_total > 5 for 20s"})
    values = np.cumsum([0, *[30] * 5, *[80] * 4, *[30] * 3])
    assert lives(said(new(rule), frames(values, REQUESTS))) == [("opened", 80, ""), ("cleared", 100, "recovered")]  # fmt: skip


def test_updates_carry_on_while_it_lasts() -> None:
    out = said(new(AT_ONCE, watch={"update_s": 30}), frames([95] * 10))
    assert [a.at.timestamp() - T0 / 1000 for a in out] == [0, 30, 60, 90]


def test_rules_that_do_not_concern_a_series_leave_it_alone() -> None:
    other = Rule.model_validate({"id": "other", "when": 'cpu{host="b"} > 90'})
    detect = new(other)
    assert said(detect, frames([95] * 5)) == []
    assert not detect.blocks(0)[0].breaches


def test_a_rule_that_is_no_more_ends_what_it_opened() -> None:
    first = new(AT_ONCE)
    said(first, frames([95] * 3))
    second = new(HIGH)
    second.load(0, {0: first.blocks(0)[0].dump()})
    out = said(second, frames([95], start=T0 + 30_000), 1)
    assert [(a.change, a.ending, a.statistic) for a in out] == [("cleared", "ended", "cpu-any")]
    assert "is no more" in out[0].reason


@pytest.mark.parametrize("crash", [1, 4, 6, 9])
def test_after_a_crash_the_same_is_said(crash: int) -> None:
    values = [50, 95, 95, 95, 95, 85, 79, 85, 79, 79, 79, 95]
    all_of = frames(values, size=1)
    whole = new(HIGH, AT_ONCE)
    want = [a.id for a in said(whole, all_of)]
    first, second = new(HIGH, AT_ONCE), new(HIGH, AT_ONCE)
    before = said(first, all_of[:crash])
    second.load(0, {0: first.blocks(0)[0].dump()})
    after = said(second, all_of[crash - 1 :], crash - 1)
    assert [a.id for a in before + after] == want
    assert second.blocks(0)[0].dump() == whole.blocks(0)[0].dump()


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.sampled_from([50.0, 79.0, 85.0, 95.0, float("nan")]), min_size=1, max_size=40),
    size=st.integers(1, 40),
)  # fmt: skip
def test_however_frames_are_cut_the_same_is_said(values: list[float], size: int) -> None:
    want = [a.id for a in said(new(HIGH, AT_ONCE), frames(values))]
    assert [a.id for a in said(new(HIGH, AT_ONCE), frames(values, size=size))] == want
