"""The life of one anomaly: opened by an alarm, updated while it lasts, cleared.

The expected range is kept as it was when the anomaly opened: the scorer learns a new level
within minutes, but a service that is still slow has not recovered. So an anomaly clears as
recovered when the series is calm and back in that range, and as adapted when it has been
calm outside of it for so long that this is the new normal.
"""

import math
from typing import Literal, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, Field

SMOOTHING = 0.25  # weight of the newest sample: four samples decide, one does not
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
    update_s: float = Field(default=10.0, gt=0, description="at most one update in this time")


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


class Sample(NamedTuple):
    """A scored sample of the series that is being watched."""

    at: float
    value: float
    raw: float


class Verdict(NamedTuple):
    """What a sample changes: nothing (""), updated, or cleared with its ending."""

    watch: Watch
    change: Literal["", "opened", "updated", "cleared"]
    ending: Literal["", "recovered", "adapted", "ended"] = ""


def open_watch(
    anomaly: str, sample: Sample, *, kind: int, direction: int, low: float, high: float
) -> Watch:
    """The watch over an anomaly that an alarm has just opened."""
    return Watch(
        anomaly=anomaly,
        since=sample.at,
        kind=kind,
        direction=direction,
        low=bounded(low),
        high=bounded(high),
        score=sample.raw,
        said_at=sample.at,
        said_score=sample.raw,
        smooth=sample.value,
    )


def bounded(value: float) -> float:
    """A range's end as a finite number."""
    return min(max(value, -LARGEST), LARGEST) if not math.isnan(value) else 0.0


def step(watch: Watch, sample: Sample, settings: WatchSettings) -> Verdict:
    """The watch after one more sample, and what to say of it."""
    smooth = watch.smooth + SMOOTHING * (sample.value - watch.smooth)
    calm = watch.calm + 1 if sample.raw < 1 else 0
    back = in_range(watch, smooth) and in_range(watch, sample.value)
    watch = msgspec.structs.replace(
        watch,
        smooth=smooth,
        score=max(watch.score, sample.raw),
        samples=watch.samples + 1,
        calm=calm,
        inside=watch.inside + 1 if back and calm else 0,
    )
    if watch.inside >= settings.clear_samples:
        return Verdict(watch, "cleared", "recovered")
    if watch.samples >= settings.adapt_samples and calm >= settings.clear_samples:
        return Verdict(watch, "cleared", "adapted")
    risen = watch.score > 1.5 * watch.said_score
    due = sample.at - watch.said_at >= settings.update_s
    if risen or due:
        said = msgspec.structs.replace(watch, said_at=sample.at, said_score=watch.score)
        return Verdict(said, "updated")
    return Verdict(watch, "")


def in_range(watch: Watch, value: float) -> bool:
    """Whether a value is back where it was expected, on the side that it had left by."""
    if watch.direction > 0:
        return value <= watch.high
    if watch.direction < 0:
        return value >= watch.low
    return watch.low <= value <= watch.high
