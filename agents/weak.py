"""Weak evidence: what was not unusual enough to be said, where something else was.

Every twelfth sample has a score of 0.3 or more, so alone it means nothing; beside an anomaly of
a related service it helps to find the cause. So it is said of a correlation group only while an
anomaly of the group is open and for some minutes after, with what was seen in the minutes before;
of one series once a minute, of a group so often at most that a person can still read along.

It is support and never needed: what is remembered is this worker's and is not saved, so a group
whose services have several workers hears of those beside its anomalies only, and a restart or
a partition that comes or goes forgets the minutes before it.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from agents.scorer.kind import statistic
from agents.scorer.scorer import Scores
from agents.scorer.severity import severity
from agents.share import Floats, Said, Share
from agents.telling import kind_name
from agents.watch import bounded
from schemas.anomalies import Anomaly
from schemas.event import derive
from schemas.frames import parsed, service_of

LEAST = 0.3  # raw score: measured on injected faults, weaker does not help to find the cause
EVERY_S = 60.0  # of one series
AROUND_S = 300.0  # before an anomaly opens and after it is over
BEFORE = 32  # of a group: the newest of the minutes before
MOST = 64  # of a group in any minute while it lasts


class Hint(NamedTuple):
    """A sample that was a little unusual."""

    place: int  # in the frame
    at: float
    series: str
    value: float
    raw: float
    low: float
    high: float
    direction: int
    kind: int
    statistic: int


class _Group:
    """What a correlation group is about."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.until = -np.inf  # the last one was open until, and some minutes
        self.before: deque[Hint] = deque(maxlen=BEFORE)
        self.minute, self.said = -1.0, 0


class Weak:
    """The groups of a worker's services."""

    def __init__(self, groups: Mapping[str, str]) -> None:
        self._of = groups
        self._groups: dict[str, _Group] = defaultdict(_Group)
        self._watched: dict[str, str] = {}  # series with an open anomaly -> the anomaly

    def told(self, said: Iterable[Said], hints: Iterable[Hint], cause: str) -> Iterator[Said]:
        """What a frame said, in order, with the weak evidence that belongs to it."""
        ahead = sorted(hints, key=lambda hint: (hint.place, hint.series))
        done = 0
        for one in said:
            while done < len(ahead) and ahead[done].place < one.place:
                yield from self._hint(ahead[done], cause)
                done += 1
            yield one
            yield from self._heard(one, cause)
        for hint in ahead[done:]:
            yield from self._hint(hint, cause)

    def _heard(self, one: Said, cause: str) -> Iterator[Said]:
        """An anomaly has changed: what was weak before it opened is of interest now."""
        event = one.event
        group = self._groups[event.group]
        at = event.at.timestamp()
        if event.change == "cleared":
            group.open.discard(event.anomaly)
            if self._watched.get(event.series) == event.anomaly:
                del self._watched[event.series]
        else:
            group.open.add(event.anomaly)
            self._watched[event.series] = event.anomaly
        group.until = max(group.until, at + AROUND_S)
        while group.before:
            hint = group.before.popleft()
            if at - hint.at <= AROUND_S and hint.series != event.series:
                yield _said(hint, event.group, one.place, cause)

    def _hint(self, hint: Hint, cause: str) -> Iterator[Said]:
        if hint.series in self._watched:
            return
        service = service_of(hint.series)
        name = self._of.get(service, service)
        group = self._groups[name]
        if not group.open and hint.at > group.until:
            group.before.append(hint)
            return
        minute = hint.at // EVERY_S
        if minute != group.minute:
            group.minute, group.said = minute, 0
        if group.said < MOST:
            group.said += 1
            yield _said(hint, name, hint.place, cause)


def hints(share: Share, value: Floats, scores: Scores) -> Iterator[Hint]:
    """The samples of a block's share that are a little unusual, once a minute and series."""
    block = share.block
    near = (scores.raw >= LEAST) & (share.at - block.weak_at[share.rows] >= EVERY_S)
    picked = np.flatnonzero(near & np.isfinite(value))
    columns = (
        share.rows, share.place, share.at, value, scores.raw, scores.low, scores.high,
        scores.direction, scores.kind, scores.statistic,
    )  # fmt: skip
    for row, place, at, *what in zip(*(c[picked].tolist() for c in columns), strict=True):
        if at - block.weak_at[row] >= EVERY_S:  # not so soon after one of the same frame
            block.weak_at[row] = at
            yield Hint(place, at, block.names[row], *what)


def _said(hint: Hint, group: str, place: int, cause: str) -> Said:
    metric, labels = parsed(hint.series)
    at = datetime.fromtimestamp(hint.at, UTC)
    ident = derive("weak", hint.series, f"{hint.at:.3f}")
    event = Anomaly(
        id=ident,
        at=at,
        cause=cause,
        group=group,
        anomaly=f"weak-{ident[:12]}",
        change="weak",
        source="metric",
        kind=kind_name(hint.kind),
        service=labels.get("service", ""),
        series=hint.series,
        direction="down" if hint.direction < 0 else "up",
        severity=severity(0.0),
        score=hint.raw,
        raw=hint.raw,
        value=hint.value,
        low=bounded(hint.low),
        high=bounded(hint.high),
        since=at,
        statistic=statistic(hint.statistic),
        reason=f"{metric} is {hint.value:.4g}, a little unusual ({hint.raw:.2f} of an alarm)",
    )
    return Said(place, True, event)  # noqa: FBT003 - by a sample
