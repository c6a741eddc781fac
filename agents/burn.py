"""Burn rate: how fast a service spends its error budget, and how much is left.

1.0 spends exactly the whole budget over the SLO's period; 14.4 spends 2 % of a
30-day budget in one hour. Alerts need a long and a short window to agree, so that
they start late enough to matter and stop as soon as the burn does.

Low traffic breaks the plain rule twice: one failure in the night's only request is a
100 % outage to it, and a short window without any request calls an outage over. Here a
page needs three failures, however few the requests, and an empty short window reaches
back to the last bucket that held an event: no news is not good news.

Source: Google, "The Site Reliability Workbook", chapter 5, "Alerting on SLOs".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from runbooks.objectives import BurnAlert, Objective

# Expected failures at the sustainable rate are below 0.2 wherever three failures are what
# decides at 14.4x, and three are then seen by chance about once in 700 hours; two, once in 60.
MINIMUM_FAILURES = 3
# A window of 240 buckets is off by 0.4 % at most when its oldest bucket leaves whole.
FINE_ENOUGH = 240
COARSER = (1440, 60, 5, 1)  # widths tried, in buckets: at 60 s a day, an hour, five minutes

Floats = NDArray[np.float64]


class Counts(NamedTuple):
    """Events of one window; `good` is at most `total`, both 0 or more."""

    good: float
    total: float

    @property
    def bad(self) -> float:
        """Events that failed, 0 or more."""
        return max(self.total - self.good, 0.0)


NOTHING = Counts(0.0, 0.0)


class Verdict(NamedTuple):
    """Whether an alert fires, and why or why not."""

    fires: bool
    reason: str


class Judged(NamedTuple):
    """One alert's verdict with the two burn rates that it rests on."""

    alert: BurnAlert
    verdict: Verdict
    slow: float
    fast: float


class Budget(NamedTuple):
    """Where the error budget of a period stands. Amounts are events, 0 or more.

    `allowed` failures, `bad` of them spent. A rolling period allows a share of the events
    that are in it; a fixed one a share of what it will hold, from the rate of this period
    and the one before. `left` is a ratio: 1 untouched, 0 gone, negative overspent.
    `availability` is the ratio of good events so far, 1 without any. `resets_in` is the
    time to the next fixed period, `None` for a rolling one.
    """

    events: float
    bad: float
    allowed: float
    resets_in: timedelta | None

    @property
    def left(self) -> float:
        """Share of the budget that is left, 1 at most."""
        if self.allowed <= 0:
            return 1.0
        return 1 - self.bad / self.allowed

    @property
    def availability(self) -> float:
        """Ratio of good events in [0, 1]."""
        return 1 - self.bad / self.events if self.events else 1.0


def burn_rate(counts: Counts, objective: float) -> float:
    """Multiples of the sustainable error rate, 0 or more; 0 without events.

    `objective` is a ratio in (0, 1), 0.999 for "three nines".

    >>> round(burn_rate(Counts(good=986, total=1000), 0.999), 3)
    14.0
    """
    if counts.total <= 0:
        return 0.0
    return counts.bad / counts.total / (1 - objective)


def judge(alert: BurnAlert, long: Counts, short: Counts, objective: float) -> Verdict:
    """Whether the alert fires on what both windows saw.

    >>> hour = BurnAlert(long=timedelta(hours=1), short=timedelta(minutes=5), factor=14.4)
    >>> judge(hour, long=Counts(1, 2), short=Counts(0, 1), objective=0.999).reason
    'only 1 failure in 1:00:00, 3 are needed'
    """
    if long.total <= 0:
        return Verdict(fires=False, reason=f"no events in {alert.long}")
    slow, fast = burn_rate(long, objective), burn_rate(short, objective)
    # A rate of exactly the factor fires, also where the division leaves it a bit short.
    if min(slow, fast) < alert.factor * (1 - 1e-9):
        reason = f"burning {slow:.1f} and {fast:.1f}, alert at {alert.factor:g}"
        return Verdict(fires=False, reason=reason)
    if long.bad < MINIMUM_FAILURES:
        failures = f"{long.bad:g} failure{'s' if long.bad != 1 else ''}"
        reason = f"only {failures} in {alert.long}, {MINIMUM_FAILURES} are needed"
        return Verdict(fires=False, reason=reason)
    reason = f"burning {slow:.1f} over {alert.long}, {fast:.1f} over {alert.short}"
    return Verdict(fires=True, reason=reason)


@dataclass(frozen=True, eq=False)
class Ring:
    """The last buckets of one width, oldest first; bucket k holds [k, k + 1) * width of epoch."""

    width: int  # seconds
    newest: int  # number of the last bucket
    good: Floats
    total: Floats

    @classmethod
    def empty(cls, width: int, size: int) -> Self:
        """`size` buckets of `width` seconds without events, before all time."""
        return cls(width, 0, np.zeros(size), np.zeros(size))

    def add(self, at: float, counts: Counts) -> Self:
        """With events of the second `at`; what is older than the ring is left out."""
        bucket = int(at // self.width)
        ring = self.moved(bucket)
        place = ring.good.size - 1 - (ring.newest - bucket)
        if place >= 0:
            ring.good[place] += counts.good
            ring.total[place] += counts.total
        return ring

    def moved(self, bucket: int) -> Self:
        """A copy whose newest bucket is `bucket`, if that is later than its own."""
        step = bucket - self.newest
        if step <= 0:
            return replace(self, good=self.good.copy(), total=self.total.copy())
        good, total = np.zeros_like(self.good), np.zeros_like(self.total)
        if step < good.size:
            good[:-step], total[:-step] = self.good[step:], self.total[step:]
        return replace(self, newest=bucket, good=good, total=total)

    def places(self, window: float, now: float) -> slice:
        """Where the buckets of the last `window` seconds are, the one of `now` included."""
        end = self.good.size - (self.newest - int(now // self.width))
        begin = end - max(1, round(window / self.width))
        return slice(max(begin, 0), max(end, 0))

    def counts(self, window: float, now: float) -> Counts:
        """Events of the last `window` seconds."""
        held = self.places(window, now)
        return Counts(float(self.good[held].sum()), float(self.total[held].sum()))

    def latest(self, window: float, now: float) -> Counts:
        """Events of the last bucket of the window that has any."""
        held = self.places(window, now)
        filled = np.flatnonzero(self.total[held])
        if not filled.size:
            return NOTHING
        last = held.start + int(filled[-1])
        return Counts(float(self.good[last]), float(self.total[last]))

    def to_dict(self) -> dict[str, Any]:
        """As JSON; leading empty buckets are left out."""
        filled = np.flatnonzero(self.total)
        begin = int(filled[0]) if filled.size else self.total.size
        return {
            "width": self.width,
            "newest": self.newest,
            "good": _plain(self.good[begin:]),
            "total": _plain(self.total[begin:]),
        }

    def filled(self, data: Mapping[str, Any]) -> Self:
        """This ring's width and size, with the saved buckets that fit."""
        good, total = np.zeros_like(self.good), np.zeros_like(self.total)
        kept = min(len(data["total"]), total.size)
        if kept:
            good[-kept:], total[-kept:] = data["good"][-kept:], data["total"][-kept:]
        return replace(self, newest=int(data["newest"]), good=good, total=total)


def _plain(values: Floats) -> list[float]:
    """Whole numbers without their `.0`: most counts are, and a changelog holds them all."""
    return [int(value) if value.is_integer() else value for value in values.tolist()]


@dataclass(frozen=True, eq=False)
class History:
    """The counts of one objective: rings for the windows, sums for a fixed period.

    `first` is when the first event was seen (epoch seconds), `start` and `end` bound the
    current fixed period, `current` and `before` are its events and the previous one's.
    """

    rings: tuple[Ring, ...]  # narrowest first
    first: float | None = None
    start: float = 0.0
    end: float = 0.0
    current: Counts = NOTHING
    before: Counts = NOTHING

    @classmethod
    def empty(cls, objective: Objective) -> Self:
        """No events yet; rings for every window of the objective, and no more."""
        bucket = int(objective.bucket.total_seconds())
        windows = [w for alert in objective.alerts for w in (alert.long, alert.short)]
        windows += [objective.period.length] if objective.period.rolling else []
        sizes: dict[int, int] = {}
        for seconds in (window.total_seconds() for window in windows):
            width = _width(seconds, bucket)
            sizes[width] = max(sizes.get(width, 1), round(seconds / width))
        return cls(tuple(Ring.empty(width, sizes[width]) for width in sorted(sizes)))

    def add(self, objective: Objective, at: datetime, counts: Counts) -> Self:
        """With `counts` more events at the time `at`; late ones find their bucket."""
        seconds = at.timestamp()
        turned = self._turned(objective, at)
        current = turned.current
        if seconds >= turned.start:
            current = Counts(current.good + counts.good, current.total + counts.total)
        return replace(
            turned,
            rings=tuple(ring.add(seconds, counts) for ring in self.rings),
            first=seconds if self.first is None else min(self.first, seconds),
            current=current,
        )

    def _turned(self, objective: Objective, now: datetime) -> Self:
        """The fixed period of `now` begun, if it is later than the one at hand."""
        if objective.period.rolling or now.timestamp() < self.end:
            return self
        start, end = (edge.timestamp() for edge in objective.period.bounds(now))
        before = self.current if start == self.end else NOTHING
        return replace(self, start=start, end=end, current=NOTHING, before=before)

    def counts(self, window: timedelta, now: datetime) -> Counts:
        """Events of the last `window`, from the narrowest ring that is long enough."""
        return self._ring(window).counts(window.total_seconds(), now.timestamp())

    def latest(self, window: timedelta, now: datetime) -> Counts:
        """The last bucket with events within `window`."""
        return self._ring(window).latest(window.total_seconds(), now.timestamp())

    def _ring(self, window: timedelta) -> Ring:
        seconds = window.total_seconds()
        for ring in self.rings:
            if ring.width * ring.total.size >= seconds:
                return ring
        raise ValueError(f"{window} is longer than every window of this objective")

    def budget(self, objective: Objective, now: datetime) -> Budget:
        """The budget at `now`; by hand: allowed = (1 - target) * events, left = 1 - bad/allowed."""
        if objective.period.rolling:
            held = self.counts(objective.period.length, now)
            return Budget(held.total, held.bad, objective.epsilon * held.total, None)
        turned = self._turned(objective, now)
        held, to_go = turned.current, max(turned.end - now.timestamp(), 0.0)
        expected = held.total + turned.rate(objective, now) * to_go
        return Budget(held.total, held.bad, objective.epsilon * expected, timedelta(seconds=to_go))

    def rate(self, objective: Objective, now: datetime) -> float:
        """Events a second, over what was watched of this fixed period and the one before."""
        if self.first is None:
            return 0.0
        just_before = datetime.fromtimestamp(self.start, UTC) - timedelta(microseconds=1)
        earlier = objective.period.bounds(just_before)[0].timestamp()
        since = max(self.first, earlier if self.before.total else self.start)
        watched = max(now.timestamp() - since, objective.bucket.total_seconds())
        return (self.before.total + self.current.total) / watched

    def leaving(self, objective: Objective, now: datetime, minutes: int) -> Floats:
        """What a rolling period gives back: bad - epsilon * events that leave it, a minute.

        One value for each of the next `minutes`, or until the period is over; a bucket
        leaves evenly over its width. Empty for a fixed period.
        """
        if not objective.period.rolling:
            return np.zeros(0)
        span, present = objective.period.length.total_seconds(), now.timestamp()
        ring = self._ring(objective.period.length)
        ring = ring.moved(int(present // ring.width))
        spent = (ring.total - ring.good) - objective.epsilon * ring.total
        # Up to each bucket's upper edge, what has left once that edge is `span` old.
        edges = (ring.newest + 1 - np.arange(ring.total.size, -1, -1)) * ring.width + span
        gone = np.concatenate(([0.0], np.cumsum(spent)))
        minutes = min(minutes, int(span // 60))
        times = present + 60.0 * np.arange(minutes + 1)
        return np.diff(np.interp(times, edges, gone))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "rings": [ring.to_dict() for ring in self.rings],
            "first": self.first,
            "period": [self.start, self.end],
            "current": list(self.current),
            "before": list(self.before),
        }

    @classmethod
    def from_dict(cls, objective: Objective, data: Mapping[str, Any]) -> Self:
        """What was saved, in the rings that the objective asks for now."""
        saved = {ring["width"]: ring for ring in data["rings"]}
        rings = tuple(
            ring.filled(saved[ring.width]) if ring.width in saved else ring
            for ring in cls.empty(objective).rings
        )
        start, end = data["period"]
        return cls(
            rings, data["first"], start, end, Counts(*data["current"]), Counts(*data["before"])
        )


def _width(window: float, bucket: int) -> int:
    """The widest bucket, in seconds, that still cuts the window finely enough."""
    for factor in COARSER:
        width = factor * bucket
        if window / width >= FINE_ENOUGH and (window / width).is_integer():
            return width
    return bucket


def judge_all(history: History, objective: Objective, now: datetime) -> tuple[Judged, ...]:
    """Every alert of the objective at `now`, in the file's order."""
    return tuple(_judged(alert, history, objective, now) for alert in objective.alerts)


def _judged(alert: BurnAlert, history: History, objective: Objective, now: datetime) -> Judged:
    long, short = history.counts(alert.long, now), history.counts(alert.short, now)
    if not short.total:
        short = history.latest(alert.long, now)
    target = objective.target
    verdict = judge(alert, long, short, target)
    return Judged(alert, verdict, burn_rate(long, target), burn_rate(short, target))
