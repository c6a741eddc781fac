"""The roll of a service: its series that are silent, or start over and over, as one anomaly.

An exporter that dies takes hundreds of series with it, and that is one thing to tell: the first
opens the service's anomaly, the others join it, and it is over when none is left in it. A series
that stays away is taken as gone for good, as when somebody scaled down, and is told of once.

Series of a service lie in several blocks, which after a crash come back as of different frames.
So each series remembers from where to where in the stream it took part, and for some time after:
a block that is read again meets the others as they were then.
"""

import heapq
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from agents.absence import MISSING, RESET, Absence, Moment
from agents.clock import Clock
from agents.counters import HALF_LIFE, LOOP
from agents.scorer.severity import severity
from agents.series_block import Block
from agents.series_index import Place, SeriesIndex
from agents.share import Said
from schemas.anomalies import Anomaly
from schemas.event import derive
from schemas.frames import parsed, service_of

KEEP_S = 600.0  # what is over is remembered so long: blocks are saved far more often
FEW = 4  # series: of fewer, all being silent is no great thing
LATE, BACK, COUNT, OVER = "late", "back", "count", "over"

Change = Literal["opened", "updated", "cleared"]


class Turning(NamedTuple):
    """A series goes silent (or begins to loop), is back, or its time is over; sorts by time."""

    place: int  # in the frame
    sample: bool  # whether the sample there did it, or that time had passed by then
    at: float
    series: str
    what: str
    kind: str
    where: Place
    until: float = 0.0
    heard_at: float = 0.0
    every: float = 0.0
    allowed: float = 0.0
    level: float = 1.0

    def moment(self, offset: int) -> Moment:
        """Its place in the stream."""
        return offset, self.place, self.sample, self.at, self.series


class Roll:
    """All services of one partition."""

    def __init__(self, groups: Mapping[str, str]) -> None:
        self._groups = groups
        self._open: dict[tuple[str, str], dict[Place, Absence]] = defaultdict(dict)
        self._past: dict[tuple[str, str], dict[Place, Absence]] = defaultdict(dict)
        self._gone: dict[Place, str] = {}  # series that stay away, with their service
        self._left: Counter[str] = Counter()  # how many these are, by service
        # by anomaly, who joined it and as which
        self._joined: dict[str, list[tuple[Moment, int]]] = defaultdict(list)
        self._next = float("inf")  # nothing happens by itself before; it may be too early

    def load(self, blocks: Sequence[Block]) -> None:
        """Take up what the blocks remember."""
        for number, block in enumerate(blocks):
            for kind, held in ((MISSING, block.silent), (RESET, block.resetting)):
                for row, absence in held.items():
                    key = service_of(block.names[row]), kind
                    side = self._open if absence.over is None else self._past
                    side[key][Place(number, row)] = absence
                    insort(self._joined[absence.anomaly], (absence.begun, absence.rank))
        self._plan()

    def turn(
        self,
        turnings: Iterable[Turning],
        index: SeriesIndex,
        offset: int,
        clock: Clock,
        total: Callable[[str], int],
    ) -> Iterator[Said]:
        """What a frame's turnings lead to; `total` says how many series a service has."""
        waiting, blocks = list(turnings), index.blocks
        if not waiting and clock.after < self._next:
            return
        if clock.after >= self._next:
            waiting += [
                turning
                for (_, kind), held in self._open.items()
                for where, absence in held.items()
                for turning in _passed(where, absence, blocks, kind, clock)
            ]
        heapq.heapify(waiting)
        frame = _Frame(index, offset, clock, total)
        while waiting:
            turning = heapq.heappop(waiting)
            yield from self._one(turning, frame)
            mine = self._open[service_of(turning.series), turning.kind].get(turning.where)
            if mine and turning.what == LATE:
                for passed in _passed(turning.where, mine, blocks, turning.kind, clock):
                    heapq.heappush(waiting, passed)
        if clock.after >= self._next:
            self._prune(blocks, clock.after)
            self._plan()

    def left(self, where: Place) -> None:
        """A series that was gone is back, or another one has its row."""
        service = self._gone.pop(where, None)
        if service is not None:
            self._left[service] -= 1

    # ---- one turning after the other

    def _one(self, turning: Turning, frame: "_Frame") -> Iterator[Said]:
        service = service_of(turning.series)
        if turning.what == LATE:
            yield from self._begin(service, turning, frame)
            return
        mine = self._open[service, turning.kind].get(turning.where)
        if turning.what == BACK:
            self.left(turning.where)
        if mine is None or (turning.what == OVER and mine.until != turning.at):
            return
        if turning.what == COUNT:
            if mine.count_at == turning.at:
                yield from self._count(service, turning, mine, frame)
            return
        if turning.what == OVER and turning.kind == MISSING:
            self._gone[turning.where] = service
            self._left[service] += 1
        over = turning.moment(frame.offset)
        self._keep(
            service, turning, msgspec.structs.replace(mine, over=over, over_at=turning.at), frame
        )
        if self._running(service, turning.kind, over) is None:
            yield self._said(service, turning, mine, "cleared", frame)

    def _begin(self, service: str, turning: Turning, frame: "_Frame") -> Iterator[Said]:
        begun = turning.moment(frame.offset)
        mine = self._open[service, turning.kind].get(turning.where)
        if mine is not None:  # it loops on
            worse = severity(turning.level / 2) != severity(mine.level / 2)
            level = max(mine.level, turning.level)
            mine = msgspec.structs.replace(mine, until=turning.until, level=level)
            self._keep(service, turning, mine, frame)
            if worse:
                yield self._said(service, turning, mine, "updated", frame)
            return
        running = self._running(service, turning.kind, begun)
        name = derive("roll", turning.kind, service, turning.series, f"{turning.at:.3f}")[:12]
        anomaly = running.anomaly if running else f"anm-{name}"
        rank = self._join(anomaly, begun)
        mine = Absence(
            anomaly=anomaly,
            rank=rank,
            opener=running.opener if running else turning.series,
            since=running.since if running else turning.at,
            at=turning.at,
            until=turning.until,
            begun=begun,
            heard_at=turning.heard_at,
            every=turning.every,
            allowed=turning.allowed,
            level=turning.level,
        )
        self._keep(service, turning, mine, frame)
        if running is None:
            yield self._said(service, turning, mine, "opened", frame)
        elif rank & (rank - 1) == 0:  # twice as many as when it was said last
            yield self._said(service, turning, mine, "updated", frame)

    def _count(
        self, service: str, turning: Turning, mine: Absence, frame: "_Frame"
    ) -> Iterator[Said]:
        """Say how many there are in the end: of a service that is gone, all."""
        self._keep(service, turning, msgspec.structs.replace(mine, counted=True), frame)
        moment = turning.moment(frame.offset)
        count = sum(
            absence.lasts(moment)
            for side in (self._open, self._past)
            for absence in side[service, turning.kind].values()
        )
        if count & (count - 1):  # else it was said
            yield self._said(service, turning, mine, "updated", frame)

    def _join(self, anomaly: str, begun: Moment) -> int:
        """As which one joins there: one more than whoever joined last by then."""
        joined = self._joined[anomaly]
        before = bisect_left(joined, (begun, 0))
        rank = joined[before - 1][1] + 1 if before else 1
        joined.insert(before, (begun, rank))
        return rank

    def _running(self, service: str, kind: str, moment: Moment) -> Absence | None:
        """Somebody who takes part in the service's anomaly there, if there is one."""
        for side in (self._open, self._past):
            for absence in side[service, kind].values():
                if absence.lasts(moment):
                    return absence
        return None

    def _keep(self, service: str, turning: Turning, absence: Absence, frame: "_Frame") -> None:
        key, where = (service, turning.kind), turning.where
        here, there = (self._open, self._past) if absence.over is None else (self._past, self._open)
        there[key].pop(where, None)
        here[key][where] = absence
        self._next = min(self._next, _next(absence))
        block = frame.places.blocks[where.block]
        _held(block, turning.kind)[where.row] = absence
        block.changed = True

    # ---- what is long over

    def _prune(self, blocks: Sequence[Block], now: float) -> None:
        for (_, kind), held in self._past.items():
            for where, absence in list(held.items()):
                if _next(absence) < now:
                    del held[where]
                    block = blocks[where.block]
                    if _held(block, kind).get(where.row) is absence:
                        del _held(block, kind)[where.row]
                        block.changed = True
        running = {
            a.anomaly
            for side in (self._open, self._past)
            for h in side.values()
            for a in h.values()
        }
        for anomaly in self._joined.keys() - running:
            del self._joined[anomaly]

    def _plan(self) -> None:
        every = (a for side in (self._open, self._past) for h in side.values() for a in h.values())
        self._next = min(map(_next, every), default=float("inf"))

    # ---- in words

    def _said(
        self, service: str, turning: Turning, mine: Absence, change: Change, frame: "_Frame"
    ) -> Said:
        kind, at = turning.kind, turning.at
        held = self._open[service, kind]
        total = max(frame.total(service) - self._left[service], len(held), 1)
        score = _score(kind, held, total, mine)
        ended = change == "cleared" and kind == MISSING and turning.what == OVER
        points = frame.evidence(mine.opener, turning)
        event = Anomaly(
            id=derive("detect", mine.anomaly, change, turning.series, f"{at:.3f}"),
            at=datetime.fromtimestamp(at, UTC),
            cause=frame.clock.cause,
            group=self._groups.get(service, service),
            anomaly=mine.anomaly,
            change=change,
            source="metric",
            kind=kind,
            service=service,
            series=mine.opener,
            direction="down" if kind == MISSING else "up",
            severity=severity(score),
            score=score,
            raw=0.0 if change == "cleared" else score,
            value=points[1][-1] if points[1] else 0.0,
            low=min(points[1], default=0.0),
            high=max(points[1], default=0.0),
            since=datetime.fromtimestamp(mine.since, UTC),
            ending=("ended" if ended else "recovered") if change == "cleared" else "",
            statistic="rhythm" if kind == MISSING else "resets",
            horizon_s=mine.allowed if kind == MISSING else HALF_LIFE,
            reason=_reason(service, turning, mine, change, len(held), total, ended=ended),
            evidence_at=points[0],
            evidence_value=points[1],
        )
        return Said(turning.place, turning.sample, event)


class _Frame(NamedTuple):
    """What the turnings of a frame have in common."""

    places: SeriesIndex
    offset: int
    clock: Clock
    total: Callable[[str], int]

    def evidence(
        self, opener: str, turning: Turning
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The last points of the series that opened it, up to now; none when it is not at hand."""
        where = turning.where if opener == turning.series else self.places.find(opener)
        if where is None:
            return (), ()
        block = self.places.blocks[where.block]
        return ((), ()) if block.away else block.evidence(where.row, turning.at)


def _next(absence: Absence) -> float:
    """When time alone changes something: it is counted, over, or may be forgotten."""
    if absence.over is None:
        return min(absence.count_at, absence.until)
    return absence.over_at + KEEP_S


def _held(block: Block, kind: str) -> dict[int, Absence]:
    return block.silent if kind == MISSING else block.resetting


def _passed(
    where: Place, absence: Absence, blocks: Sequence[Block], kind: str, clock: Clock
) -> Iterator[Turning]:
    """What time alone has done to it by the end of a frame."""
    name = blocks[where.block].names[where.row]
    for what, at in ((COUNT, absence.count_at), (OVER, absence.until)):
        if at <= clock.after:
            yield Turning(clock.place(at), False, at, name, what, kind, where)  # noqa: FBT003 - time, not a sample


def _score(kind: str, held: Mapping[Place, Absence], total: int, mine: Absence) -> float:
    """1 and more: by the share of the service that is silent, by the resets of the worst."""
    if kind == MISSING:
        return 1.0 + max(len(held), 1) / max(total, FEW)
    return max(1.0, max((a.level for a in held.values()), default=mine.level) / 2)


def _reason(
    service: str,
    turning: Turning,
    mine: Absence,
    change: Change,
    count: int,
    total: int,
    *,
    ended: bool,
) -> str:
    metric = parsed(mine.opener)[0]
    which = f"{service}: " if service else ""
    if change == "cleared":
        if turning.kind == RESET:
            return f"{metric} has not started again for a while"
        if ended:
            return f"{which}{metric} and what fell silent with it stay away: taken as gone"
        return f"{which}{metric} and all that fell silent with it are back"
    if turning.kind == RESET:
        others = f", and {count - 1} more counters of {service}" if count > 1 else ""
        return (
            f"{metric} starts over and over, {mine.level / LOOP * 3:.0f} times in minutes{others}"
        )
    if count > 1:
        since = datetime.fromtimestamp(mine.heard_at, UTC)
        return (
            f"{count} of {total} series of {service} have sent nothing since"
            f" {since:%H:%M:%S} UTC, {metric} the first"
        )
    silent = turning.at - mine.heard_at
    return f"{metric} has sent nothing for {silent:.0f} s, came every {mine.every:.3g} s"
