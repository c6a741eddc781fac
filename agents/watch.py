"""The life of one anomaly: opened by an alarm, updated while it lasts, cleared.

The expected range is kept as it was when the anomaly opened: the scorer learns a new level
within minutes, but a service that is still slow has not recovered. So an anomaly clears as
recovered when the series is calm and back in that range, and as adapted when it has been
calm outside of it for so long that this is the new normal. A value that stays outside is a
level shift, whatever it was opened as: one anomaly with two levels, not a chain of spikes. What
goes on leaving is not normal, however long it lasts: it is asked again at twice that time.

A weak alarm of a series that is sampled every second or two is doubted: a hiccup of the machine
looks like that and is over before anybody could look. It is said once it has lasted, from
when it began, or when its score has risen; else it never was. Sampled less often, one sample that
is out of range says as much as several of these, so it is said at once.

A level that creeps or a series that is restless alarms within its range. There the range says
nothing about its end: it clears when its score has been low for some time.
"""

import math
from typing import Literal, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field

LEVEL_SHIFT = 2  # its Kind; the file of kinds would load numpy for whoever reads settings
SMOOTHING = 0.25  # weight of the newest sample: four samples decide, one does not
LEVEL_SAMPLES = 12.0  # memory of the new level: it may still be on its way
BACK = 2  # samples out of range that one within takes back
ON = 0.4  # of its way, in the newer half of its time: a level that moves evenly goes 0.5
LARGEST = 1e300  # an infinite range, as JSON can hold it


class WatchSettings(BaseModel):
    """When an anomaly is said again, and when it is over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clear_samples: int = Field(
        default=6, ge=1, description="calm samples in range, in a row, until it has recovered"
    )
    adapt_samples: int = Field(
        default=400, ge=1, description="samples after which a calm new level is the normal one"
    )
    adapt_s: float = Field(
        default=604_800.0, gt=0, description="or seconds, on slow series: a week is a pattern"
    )
    shift_samples: int = Field(
        default=12, ge=1, description="samples out of range, in a row, that are a level shift"
    )
    quiet_samples: int = Field(
        default=30, ge=1, description="low scores, in a row, that end what never left its range"
    )
    quiet: float = Field(default=0.5, gt=0, le=1, description="what a low score is, 1 alarms")
    update_s: float = Field(default=10.0, gt=0, description="at most one update in this time")
    doubt_s: float = Field(
        default=3.0, ge=0, description="seconds that a weak alarm has to last; 0: none is doubted"
    )
    sure: float = Field(
        default=1.4, ge=1, description="score from which on an alarm is said at once"
    )


class Watch(msgspec.Struct, frozen=True):
    """An open anomaly of one series; times in epoch seconds."""

    anomaly: str
    since: float
    kind: int
    direction: int  # 1 up, -1 down, 0 neither
    low: float
    high: float
    score: float  # highest raw score so far
    said_at: float
    said_score: float
    smooth: float
    samples: int = 0
    inside: int = 0  # calm and in range, in a row
    calm: int = 0  # calm, in a row
    outside: int = 0  # out of range, in a row but for a few
    quiet: int = 0  # low scores, in a row
    left: bool = False  # whether it has ever been out of its range
    statistic: int = -1  # what fired: see scorer/kind.py
    horizon_s: float = 0.0
    before: float | None = None  # the level that it left
    level: float = 0.0  # the one that it has now
    moved_at: float = 0.0  # when it left, as far as its last points tell
    heard_at: float = 0.0  # newest sample
    doubted: bool = False  # not said yet, and perhaps never
    wait: int = 0  # samples until it may be normal, where that was put off
    halfway: float | None = None  # its level at half of the time until it may be
    heard_by: float = 0.0  # the partition's newest time when that sample came: clocks differ

    @property
    def silent_since(self) -> float:
        """The partition's time from which on nothing was heard."""
        return max(self.heard_at, self.heard_by)


class Sample(NamedTuple):
    """A scored sample of the series that is being watched."""

    at: float
    value: float
    raw: float


class Verdict(NamedTuple):
    """What a sample changes: nothing (""), opened, updated, or cleared with its ending.

    Or dropped: it was doubted, and is over.
    """

    watch: Watch
    change: Literal["", "opened", "updated", "cleared", "dropped"]
    ending: Literal["", "recovered", "adapted", "ended"] = ""


class Opening(NamedTuple):
    """What an alarm says of itself: a `Kind`, 1 up, -1 down, 0 neither, and what was expected."""

    kind: int
    direction: int
    low: float
    high: float
    statistic: int = -1
    horizon_s: float = 0.0
    before: float | None = None
    moved_at: float = 0.0


def open_watch(anomaly: str, sample: Sample, alarm: Opening) -> Watch:
    """The watch over an anomaly that an alarm has just opened."""
    watch = Watch(
        anomaly=anomaly,
        since=sample.at,
        kind=alarm.kind,
        direction=alarm.direction,
        low=bounded(alarm.low),
        high=bounded(alarm.high),
        score=sample.raw,
        said_at=sample.at,
        said_score=sample.raw,
        smooth=sample.value,
        statistic=alarm.statistic,
        horizon_s=alarm.horizon_s,
        before=alarm.before,
        level=sample.value,
        moved_at=alarm.moved_at or sample.at,
        heard_at=sample.at,
    )
    return msgspec.structs.replace(watch, left=not in_range(watch, sample.value))


def doubtful(score: float, interval: float, settings: WatchSettings) -> bool:
    """Whether an alarm has to last before it is said; `interval` is the series', in seconds.

    >>> doubtful(1.3, 1.0, WatchSettings()), doubtful(1.3, 15.0, WatchSettings())
    (True, False)
    """
    return score < settings.sure and interval < settings.doubt_s


def bounded(value: float) -> float:
    """A range's end as a finite number."""
    return min(max(value, -LARGEST), LARGEST) if not math.isnan(value) else 0.0


def step(watch: Watch, sample: Sample, settings: WatchSettings) -> Verdict:
    """The watch after one more sample, and what to say of it."""
    was_shift = shifted(watch)
    watch = _learned(watch, sample, settings)
    if watch.doubted:
        return _doubted(watch, sample, settings)
    if watch.inside >= settings.clear_samples if watch.left else _calmed(watch, settings):
        return Verdict(watch, "cleared", "recovered")
    if _usual(watch, settings):
        if not _goes_on(watch):
            return Verdict(watch, "cleared", "adapted")
        watch = msgspec.structs.replace(watch, wait=2 * watch.samples, halfway=watch.level)
    news = shifted(watch) and not was_shift
    risen = watch.score > 1.5 * watch.said_score
    due = sample.at - watch.said_at >= settings.update_s
    if news or risen or due:
        said = msgspec.structs.replace(watch, said_at=sample.at, said_score=watch.score)
        return Verdict(said, "updated")
    return Verdict(watch, "")


def _doubted(watch: Watch, sample: Sample, settings: WatchSettings) -> Verdict:
    if watch.inside >= settings.clear_samples if watch.left else _calmed(watch, settings):
        return Verdict(watch, "dropped")
    unusual = sample.raw >= 1 or not in_range(watch, sample.value)
    lasted = sample.at - watch.since >= settings.doubt_s
    if watch.score >= settings.sure or (lasted and unusual):
        said = msgspec.structs.replace(
            watch, doubted=False, said_at=sample.at, said_score=watch.score
        )
        return Verdict(said, "opened")
    return Verdict(watch, "")


def _learned(watch: Watch, sample: Sample, settings: WatchSettings) -> Watch:
    smooth = watch.smooth + SMOOTHING * (sample.value - watch.smooth)
    rate = 1.0 / min(watch.samples + 2.0, LEVEL_SAMPLES)
    calm = watch.calm + 1 if sample.raw < 1 else 0
    value_in, smooth_in = in_range(watch, sample.value), in_range(watch, smooth)
    outside = max(watch.outside - BACK, 0) if value_in else watch.outside + 1
    level = watch.level + rate * (sample.value - watch.level)
    return msgspec.structs.replace(
        watch,
        smooth=smooth,
        level=level,
        halfway=level if watch.samples + 1 == settings.adapt_samples // 2 else watch.halfway,
        score=max(watch.score, sample.raw),
        samples=watch.samples + 1,
        calm=calm,
        quiet=watch.quiet + 1 if sample.raw < settings.quiet else 0,
        inside=watch.inside + 1 if value_in and smooth_in and calm else 0,
        outside=outside,
        left=watch.left or not value_in,
        kind=LEVEL_SHIFT if outside >= settings.shift_samples else watch.kind,
        heard_at=max(watch.heard_at, sample.at),
    )


def _calmed(watch: Watch, settings: WatchSettings) -> bool:
    """Whether what never left its range has been quiet long enough."""
    return watch.quiet >= settings.quiet_samples


def _usual(watch: Watch, settings: WatchSettings) -> bool:
    """Whether it has lasted so long, and been calm, that it is normal now."""
    lasted = watch.samples >= settings.adapt_samples or (
        watch.heard_at - watch.since >= settings.adapt_s and watch.samples >= settings.quiet_samples
    )
    return lasted and watch.samples >= watch.wait and watch.calm >= settings.clear_samples


def _goes_on(watch: Watch) -> bool:
    """Whether a level that left is still on its way: a leak, of which no level is the new one."""
    if not shifted(watch) or watch.before is None or watch.halfway is None:
        return False
    way, newest = watch.level - watch.before, watch.level - watch.halfway
    return newest * way > ON * way * way


def shifted(watch: Watch) -> bool:
    """Whether it is a level that moved, with a level before it.

    >>> alarm = Opening(kind=LEVEL_SHIFT, direction=1, low=0, high=9, before=5.0)
    >>> shifted(open_watch("anm-1", Sample(0.0, 50.0, 1.5), alarm))
    True
    """
    return watch.kind == LEVEL_SHIFT and watch.before is not None


def in_range(watch: Watch, value: float) -> bool:
    """Whether a value is back where it was expected, on the side that it had left by."""
    if watch.direction > 0:
        return value <= watch.high
    if watch.direction < 0:
        return value >= watch.low
    return watch.low <= value <= watch.high
