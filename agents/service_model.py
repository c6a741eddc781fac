"""The service-level second opinion: one multivariate River model over a service's main series.

A series is judged by its own past; whether the whole service is as it usually is, is another
question. Once in a bucket of event time (15 s) each service's main series make one vector, the
latest value of each, robustly scaled by its own past to 0.5 +- 0.5 (8 deviations); the model
scores it, then learns it. What an anomaly carries is the rank of the service's vector at that
moment among the service's own past scores, 0 to 1: 0.99 was exceeded by one in a hundred.

The cost is bounded: so many services, so many series each, one learning a bucket; an ordinary
sample costs two array look-ups. Nothing is saved: after a restart, and at the beginning, a
service is learned from the last points that its series' blocks hold, one service a frame.

Source of the default: S. C. Tan, K. M. Ting, T. F. Liu, "Fast Anomaly Detection for Streaming
Data", IJCAI 2011 (half-space trees).
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from agents.model_settings import ServiceModel
from agents.river_calibrated import Quantile
from agents.river_models import GuardedVector, kind_of, river_vector
from agents.scorer.block import CAPACITY
from agents.siblings import Siblings
from schemas.frames import parsed

CLIP = 8.0  # deviations to either side that the scale shows
LEARN = 240  # buckets over which centre and deviation are learned: an hour of 15 s
YOUNG = 20  # buckets before deviations are clipped: nothing is known of them yet
POINTS = 20  # that a series must have shown to be a main series
FEWEST = 2  # main series, below which there is nothing to be seen together
RANKED = 30  # past scores, below which a rank says nothing
SILENT_S = 1800.0  # main series silent for so long are gone; when half are, others are chosen
FLOOR = 1e-9  # of a deviation, relative to the centre

Floats = npt.NDArray[np.float64]


class Points(Protocol):
    """A block of series, as far as it is read here."""

    names: list[str]
    written: npt.NDArray[np.int64]  # points seen, by row; shorter when put away

    def evidence(self, row: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Times and values of a row's last points, oldest first."""


class Candidate(NamedTuple):
    """A series that may be a main one."""

    place: int
    name: str
    points: int


def main_series(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    """The main series: the longest known of each metric first, then the next of each.

    Deterministic: equal ones by name. Sixteen replicas of one metric would see less than
    sixteen metrics do.
    """
    by_metric: dict[str, list[Candidate]] = {}
    for each in sorted(candidates, key=lambda c: (-c.points, c.name)):
        by_metric.setdefault(parsed(each.name)[0], []).append(each)
    turns = [
        (turn, -each.points, each.name, each)
        for series in by_metric.values()
        for turn, each in enumerate(series)
    ]
    return [each for *_, each in sorted(turns)[:most]]


class Opinion:
    """One service's model; series by slot, 0 to n-1."""

    def __init__(self, model: GuardedVector, names: Sequence[str]) -> None:
        self.model = model
        self.bucket = -1  # that is filling
        self.at = 0.0  # newest time
        self._keys = [str(slot) for slot in range(len(names))]
        self._latest = np.full(len(names), np.nan)
        self._latest_at = np.full(len(names), -np.inf)
        self._centre = np.full(len(names), np.nan)
        self._spread = np.zeros(len(names))
        self._buckets = np.zeros(len(names))
        self._past = Quantile()
        self._first: float | None = None  # score

    def put(self, slot: npt.NDArray[np.int64], at: Floats, value: Floats) -> None:
        """Samples of one bucket, in order: of one slot's the last stays."""
        self._latest[slot] = value
        self._latest_at[slot] = at
        self.at = max(self.at, float(at.max()))

    def close(self) -> None:
        """The bucket is over: score its vector, then learn it."""
        fresh = np.isfinite(self._latest)
        vector = self._vector()
        score = self.model.score_one(vector)
        if score is not None and self._awake(score):
            self._past.learn(score)
        self.model.learn_one(vector)
        self._learn_scale(fresh)

    def _awake(self, score: float) -> bool:
        """Whether the model says anything yet: many score all alike until a window is full."""
        if self._first is None:
            self._first = score
        return len(self._past) > 0 or score != self._first

    def rank(self) -> float | None:
        """How unusual the service is now, 0 to 1; None until there is a past to compare with."""
        if len(self._past) < RANKED:
            return None
        score = self.model.score_one(self._vector())
        return None if score is None else self._past.rank(score)

    def deserted(self) -> bool:
        """Whether half of the main series have been silent for long."""
        silent = int(np.count_nonzero(self._latest_at < self.at - SILENT_S))
        return 2 * silent >= len(self._latest)

    def _vector(self) -> dict[str, float]:
        """Each series between 0 and 1: 0.5 as usual, and while nothing is known of it."""
        with np.errstate(all="ignore"):
            unit = np.maximum(self._spread, FLOOR * np.abs(self._centre) + 1e-12)
            z = np.clip((self._latest - self._centre) / unit, -CLIP, CLIP)
        z[~np.isfinite(z) | (self._buckets < YOUNG)] = 0.0
        return dict(zip(self._keys, (0.5 + z / (2 * CLIP)).tolist(), strict=True))

    def _learn_scale(self, fresh: npt.NDArray[np.bool_]) -> None:
        first = fresh & np.isnan(self._centre)
        self._centre[first] = self._latest[first]
        rate = np.maximum(1 / LEARN, 1 / (self._buckets[fresh] + 1))
        off = self._latest[fresh] - self._centre[fresh]
        limit = np.where(self._buckets[fresh] < YOUNG, np.inf, 5 * self._spread[fresh])
        off = np.clip(off, -limit, limit)
        self._centre[fresh] += rate * off
        self._spread[fresh] += rate * (np.abs(off) - self._spread[fresh])
        self._buckets[fresh] += 1


class ServiceModels:
    """The second opinions on one partition's services."""

    def __init__(self, settings: ServiceModel, siblings: Siblings) -> None:
        self.settings = settings
        self.faults: Counter[str] = Counter()
        self._siblings = siblings
        self._opinions: dict[int, Opinion] = {}  # by code of the service
        self._slot_of = np.full(0, -1, np.int32)  # by place
        self._pending: deque[int] = deque()
        self._known = 0  # services that were taken up or put to wait
        self._frame: list[tuple[npt.NDArray[np.int64], Floats, Floats]] = []
        self._ranks: dict[int, float | None] = {}  # of this frame

    def __len__(self) -> int:
        """How many services have a model."""
        return len(self._opinions)

    def forget(self, place: int) -> None:
        """A series that has left its row."""
        if place < len(self._slot_of):
            self._slot_of[place] = -1

    def collect(self, places: npt.NDArray[np.int64], at: Floats, value: Floats) -> None:
        """What of a block came with the frame: places, times (epoch s), values."""
        if not self._opinions:
            return
        if places.max(initial=-1) >= len(self._slot_of):
            self._grow(len(self._siblings.service_of))
        main = (self._slot_of[places] >= 0) & np.isfinite(value)
        if main.any():
            self._frame.append((places[main], at[main], value[main]))

    def turn(self, blocks: Sequence[Points]) -> None:
        """The frame is over: learn the buckets that it closed, and perhaps one service more."""
        self._ranks = {}
        for code, bucket, slot, at, value in self._shares():
            opinion = self._opinions[code]
            if opinion.bucket >= 0 and bucket > opinion.bucket:
                faults = opinion.model.faults.total()
                opinion.close()
                if opinion.model.faults.total() > faults:
                    self.faults[kind_of(opinion.model.last_fault)] += 1
                if opinion.deserted():
                    self._leave(code)
                    continue
            opinion.bucket = max(opinion.bucket, bucket)
            opinion.put(slot, at, value)
        self._frame = []
        self._take_up(blocks)

    def rank(self, service: str) -> float | None:
        """How unusual the service is now, 0 to 1; None for one without a model. Once a frame."""
        code = self._siblings.codes.get(service, -1)
        if code not in self._opinions:
            return None
        if code not in self._ranks:
            self._ranks[code] = self._opinions[code].rank()
        return self._ranks[code]

    def _shares(
        self,
    ) -> Iterator[tuple[int, int, npt.NDArray[np.int64], Floats, Floats]]:
        """The frame by bucket, then by service: code, bucket, slots, times, values."""
        if not self._frame:
            return
        places, at, value = (np.concatenate(each) for each in zip(*self._frame, strict=True))
        code = self._siblings.service_of[places].astype(np.int64)
        bucket = (at // self.settings.bucket_s).astype(np.int64)
        order = np.lexsort((code, bucket))
        code, bucket, places = code[order], bucket[order], places[order]
        slot = self._slot_of[places].astype(np.int64)
        edges = np.flatnonzero(np.diff(code) | np.diff(bucket)) + 1
        for rows in np.split(np.arange(len(code)), edges):
            first = rows[0]
            of = int(code[first])
            if of in self._opinions:  # it may have been left within this frame
                yield of, int(bucket[first]), slot[rows], at[order][rows], value[order][rows]

    # ---- which services, and which of their series

    def _take_up(self, blocks: Sequence[Points]) -> None:
        """Look at one service that waits; give it a model when its series have shown enough."""
        services = len(self._siblings.services)
        self._pending.extend(range(self._known, services))
        self._known = services
        if not self._pending or len(self._opinions) >= self.settings.services:
            return
        code = self._pending.popleft()
        chosen = main_series(self._candidates(code, blocks), self.settings.series)
        if len(chosen) < FEWEST:
            self._pending.append(code)
            return
        model = river_vector(self.settings.name, self.settings.params, self.settings.args)
        opinion = self._opinions[code] = Opinion(model, [each.name for each in chosen])
        self._grow(len(self._siblings.service_of))
        for slot, each in enumerate(chosen):
            self._slot_of[each.place] = slot
        self._relearn(opinion, chosen, blocks)

    def _candidates(self, code: int, blocks: Sequence[Points]) -> list[Candidate]:
        found = []
        for place in self._siblings.members(code).tolist():
            number, row = divmod(place, CAPACITY)
            block = blocks[number]
            if row < len(block.written) and block.written[row] >= POINTS:
                found.append(Candidate(place, block.names[row], int(block.written[row])))
        return found

    def _relearn(
        self, opinion: Opinion, chosen: Sequence[Candidate], blocks: Sequence[Points]
    ) -> None:
        """Learn what the blocks still hold of the series, bucket by bucket."""
        rows = []
        for slot, each in enumerate(chosen):
            number, row = divmod(each.place, CAPACITY)
            rows += [(at, slot, v) for at, v in zip(*blocks[number].evidence(row), strict=True)]
        for at, slot, value in sorted(rows):
            bucket = int(at // self.settings.bucket_s)
            if opinion.bucket >= 0 and bucket > opinion.bucket:
                opinion.close()
            opinion.bucket = bucket
            opinion.put(np.array([slot]), np.array([at]), np.array([value]))

    def _leave(self, code: int) -> None:
        """Choose anew: most of what was chosen is gone."""
        del self._opinions[code]
        self._slot_of[self._siblings.members(code)] = -1
        self._pending.append(code)

    def _grow(self, size: int) -> None:
        if size > len(self._slot_of):
            more = np.full(size - len(self._slot_of), -1, np.int32)
            self._slot_of = np.append(self._slot_of, more)
