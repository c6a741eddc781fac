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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from agents.scorer.block import CAPACITY
from agents.scorer.kind import statistic
from agents.scorer.scorer import Scores
from agents.scorer.severity import severity
from agents.share import Floats, Said, Share
from agents.telling import kind_name
from agents.watch import bounded
from schemas.anomalies import Anomaly
from schemas.event import derive
from schemas.frames import parsed

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


class Faint(NamedTuple):
    """A block's hints of a frame, column by column: most are never looked at one by one."""

    place: list[int]
    at: list[float]
    series: list[str]
    service: list[int]  # as codes
    value: Floats
    scores: Scores

    def hint(self, number: int) -> Hint:
        """One of them."""
        scores = self.scores
        return Hint(
            place=self.place[number],
            at=self.at[number],
            series=self.series[number],
            value=float(self.value[number]),
            raw=float(scores.raw[number]),
            low=float(scores.low[number]),
            high=float(scores.high[number]),
            direction=int(scores.direction[number]),
            kind=int(scores.kind[number]),
            statistic=int(scores.statistic[number]),
        )


class _Group:
    """What a correlation group is about."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.until = -np.inf  # the last one was open until, and some minutes
        self.before: deque[tuple[Faint, int]] = deque(maxlen=BEFORE)
        self.minute, self.said = -1.0, 0


class Weak:
    """The groups of a worker's services."""

    def __init__(self, groups: Mapping[str, str]) -> None:
        self._of = groups
        self._groups: dict[str, _Group] = defaultdict(_Group)
        self._watched: dict[str, str] = {}  # series with an open anomaly -> the anomaly

    def told(
        self, said: Iterable[Said], faint: Sequence[Faint], services: Sequence[str], cause: str
    ) -> Iterator[Said]:
        """What a frame said, in order, with the weak evidence that belongs to it.

        `services` says which service a code is.
        """
        ahead = deque(
            sorted(
                (place, number, part)
                for number, one in enumerate(faint)
                for part, place in enumerate(one.place)
            )
        )
        for one in said:
            while ahead and ahead[0][0] < one.place:
                _, number, part = ahead.popleft()
                yield from self._hint(faint[number], part, services, cause)
            yield one
            yield from self._heard(one, cause)
        for _, number, part in ahead:
            yield from self._hint(faint[number], part, services, cause)

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
            faint, part = group.before.popleft()
            hint = faint.hint(part)
            if at - hint.at <= AROUND_S and hint.series != event.series:
                yield _said(hint, event.group, one.place, cause)

    def _hint(self, faint: Faint, part: int, services: Sequence[str], cause: str) -> Iterator[Said]:
        if faint.series[part] in self._watched:
            return
        service, at = services[faint.service[part]], faint.at[part]
        name = self._of.get(service, service)
        group = self._groups[name]
        if not group.open and at > group.until:
            group.before.append((faint, part))
            return
        minute = at // EVERY_S
        if minute != group.minute:
            group.minute, group.said = minute, 0
        if group.said < MOST:
            group.said += 1
            yield _said(faint.hint(part), name, faint.place[part], cause)


def hints(
    share: Share, value: Floats, scores: Scores, service: npt.NDArray[np.int32]
) -> list[Faint]:
    """The samples of a block's share that are a little unusual, once a minute and series.

    `service` [places] are the codes of the services. Empty, or all of them as one.
    """
    block = share.block
    picked = np.empty(len(value), np.int64)
    count = _pick(block.weak_at, share.rows, share.at, value, scores.raw, picked)
    if not count:
        return []
    picked = picked[:count]
    rows = share.rows[picked]
    return [
        Faint(
            place=share.place[picked].tolist(),
            at=share.at[picked].tolist(),
            series=[block.names[row] for row in rows.tolist()],
            service=service[rows + share.number * CAPACITY].tolist(),
            value=value[picked],
            scores=Scores._make(column[picked] for column in scores),
        )
    ]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # numba has no types
def _pick(weak_at: Any, rows: Any, at: Any, value: Any, raw: Any, picked: Any) -> Any:
    """Numbers of the samples that are weak evidence, noted as their rows' newest; how many."""
    count = 0
    for i in range(rows.size):
        late = at[i] - weak_at[rows[i]] >= EVERY_S
        if raw[i] >= LEAST and late and np.isfinite(value[i]):
            weak_at[rows[i]] = at[i]
            picked[count] = i
            count += 1
    return count


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
