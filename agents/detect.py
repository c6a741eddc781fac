"""Detect: frames of samples in, anomalies out; one row of numbers a series, in blocks.

A frame that a block includes already does not touch it again. So a sample is learned once,
whatever is read twice, and an anomaly that is said again has the same id.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from agents.counters import rates
from agents.detect_settings import DetectSettings
from agents.scorer.block import CAPACITY
from agents.scorer.kind import Kind
from agents.scorer.scorer import Scores, score_rows
from agents.scorer.severity import severity
from agents.series_block import EVIDENCE, Block
from agents.series_index import Place, SeriesIndex
from agents.watch import Sample, Verdict, Watch, open_watch, step
from schemas.anomalies import Anomaly
from schemas.errors import Rejected
from schemas.event import derive
from schemas.frames import Samples, parsed

ALARM = 1.0
NOT_SCORED, LEFT_OUT = -1, -2  # instead of a block's number


class _Share(NamedTuple):
    """What of a frame is one block's."""

    block: Block
    rows: npt.NDArray[np.int32]
    at: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]


class Detect:
    """The numbers of the partitions that this worker has."""

    def __init__(self, settings: DetectSettings, groups: Mapping[str, str]) -> None:
        self.settings = settings
        self._groups = groups
        exclude = re.compile(settings.exclude) if settings.exclude else None
        self._excluded = lru_cache(65_536)(lambda m: bool(exclude and exclude.search(m)))
        self._indexes: dict[int, SeriesIndex] = {}  # by partition
        self.left_out = 0  # samples of series beyond max_series

    # ---- what the shell keeps

    @property
    def series(self) -> int:
        """How many series have a row, in all partitions."""
        return sum(map(len, self._indexes.values()))

    def index(self, partition: int) -> SeriesIndex:
        """Where the partition's series are."""
        if partition not in self._indexes:
            self._indexes[partition] = SeriesIndex(
                idle_s=self.settings.idle_s, forget_s=self.settings.forget_s
            )
        return self._indexes[partition]

    def blocks(self, partition: int) -> list[Block]:
        """The partition's blocks, in the order in which they were made."""
        return self.index(partition).blocks

    def load(self, partition: int, saved: Mapping[int, bytes]) -> list[str]:
        """Take a partition up from its saved blocks, by number; what had to begin anew.

        `saved` must go on giving what was saved last: what is put away is read from it again.
        Raises Rejected, naming the block, for one that cannot be read.
        """
        self.drop(partition)
        reset = self.settings.reset_damaged
        try:
            return self.index(partition).load(saved, reset_damaged=reset)
        except Rejected as error:
            raise Rejected(
                f"of the state of partition {partition}, {error}: run the version that wrote it,"
                " or set detect.reset_damaged to learn its series anew"
            ) from error

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker has now."""
        self._indexes.pop(partition, None)

    # ---- what a frame does

    def feed(self, samples: Samples, partition: int, offset: int) -> list[Anomaly]:
        """Score and learn a frame; the anomalies that it opens, updates and clears."""
        said: list[Anomaly] = []
        cause = f"samples/{partition}/{offset}"
        if not len(samples):
            return said
        now = float(samples.at.max()) / 1000
        index = self.index(partition)
        for share in self._shares(samples, index, offset, now):
            block = share.block
            block.hear(share.rows, now, now - self.settings.forget_s)
            value = rates(block.memory, block.counter, share.rows, share.at, share.value)
            scores = score_rows(block.state, share.rows, share.at, value)
            said += self._judged(share, value, scores, cause)
            block.included, block.changed = offset, True
        said += self._ended(partition, now, cause)
        index.sweep(now)
        return said

    def _shares(
        self, samples: Samples, index: SeriesIndex, offset: int, now: float
    ) -> Iterator[_Share]:
        """What of a frame is each block's, but for blocks that include it already."""
        places = self._places(samples.names, index, offset, now)
        number = np.array([place.block for place in places], np.int32)[samples.code]
        row = np.array([place.row for place in places], np.int32)[samples.code]
        at = samples.at / 1000.0
        self.left_out += int(np.count_nonzero(number == LEFT_OUT))
        for held in np.unique(number).tolist():
            if held >= 0 and offset > index.blocks[held].included:
                mine = number == held
                block = index.in_memory(held)
                yield _Share(block, row[mine], at[mine], samples.value[mine])

    def _places(self, names: list[str], index: SeriesIndex, offset: int, now: float) -> list[Place]:
        """Block and row of each name."""
        found = [index.find(name) for name in names]
        for n, place in enumerate(found):
            if place is None:
                found[n] = self._new_place(names[n], index, offset, now, found)
        return [place for place in found if place is not None]

    def _new_place(
        self, name: str, index: SeriesIndex, offset: int, now: float, spoken: list[Place | None]
    ) -> Place:
        known = index.find(name)  # a frame may name a series twice
        if known is not None:
            return known
        if self._excluded(name.partition("{")[0]):
            return Place(NOT_SCORED, 0)
        room = self.series < self.settings.max_series
        place = index.place(name, offset, now, spoken=spoken, room=room)
        return Place(LEFT_OUT, 0) if place is None else place

    def _judged(
        self, share: _Share, value: npt.NDArray[np.float64], scores: Scores, cause: str
    ) -> list[Anomaly]:
        block = share.block
        watched = np.zeros(CAPACITY, np.bool_)
        watched[list(block.open)] = True
        alarmed = np.zeros(CAPACITY, np.bool_)
        alarmed[share.rows[scores.emitted >= ALARM]] = True
        concerned = (watched | alarmed)[share.rows] & np.isfinite(value)
        said: list[Anomaly] = []
        done = 0
        for i in np.flatnonzero(concerned).tolist():  # few: the rest is stored without Python
            block.remember(share.rows[done : i + 1], share.at[done : i + 1], value[done : i + 1])
            done = i + 1
            row = int(share.rows[i])
            sample = Sample(float(share.at[i]), float(value[i]), float(scores.raw[i]))
            watch = block.open.get(row)
            if watch is not None:
                verdict = step(watch, sample, self.settings.watch)
            elif scores.emitted[i] >= ALARM:
                verdict = Verdict(_opened(block, row, sample, scores, i), "opened")
            else:
                continue
            said += self._told(block, row, verdict, sample, cause)
        block.remember(share.rows[done:], share.at[done:], value[done:])
        return said

    def _told(
        self, block: Block, row: int, verdict: Verdict, sample: Sample, cause: str
    ) -> list[Anomaly]:
        if verdict.change == "cleared":
            block.open.pop(row, None)
        else:
            block.open[row] = verdict.watch
        if verdict.change == "":
            return []
        return [self._anomaly(block, row, verdict, verdict.change, sample, cause)]

    def _ended(self, partition: int, now: float, cause: str) -> list[Anomaly]:
        """Clear the anomalies of series that have fallen silent."""
        said = []
        for block in self.blocks(partition):
            for row, watch in list(block.open.items()):
                last = int(block.written[row] - 1) % EVIDENCE
                at, value = float(block.ring_at[row, last]), float(block.ring_value[row, last])
                if now - at > self.settings.ended_s:
                    verdict = Verdict(watch, "cleared", "ended")
                    said += self._told(block, row, verdict, Sample(now, value, 0.0), cause)
                    block.changed = True
        return said

    def _anomaly(
        self,
        block: Block,
        row: int,
        verdict: Verdict,
        change: Literal["opened", "updated", "cleared"],
        sample: Sample,
        cause: str,
    ) -> Anomaly:
        watch, name = verdict.watch, block.names[row]
        metric, labels = parsed(name)
        service = labels.get("service", "")
        times, values = block.evidence(row)
        at = datetime.fromtimestamp(sample.at, UTC)
        ident = derive("detect", watch.anomaly, change, f"{sample.at:.3f}")
        return Anomaly(
            id=ident,
            at=at,
            cause=cause,
            group=self._groups.get(service, service),
            anomaly=watch.anomaly,
            change=change,
            source="metric",
            kind=Kind(watch.kind).name.lower().replace("_", " "),
            service=service,
            series=name,
            direction="down" if watch.direction < 0 else "up",
            severity=severity(watch.score),
            score=watch.score,
            raw=sample.raw,
            value=sample.value,
            low=watch.low,
            high=watch.high,
            since=datetime.fromtimestamp(watch.since, UTC),
            ending=verdict.ending,
            reason=_reason(metric, block.counter[row], watch, verdict, sample),
            evidence_at=times,
            evidence_value=values,
        )


def _opened(block: Block, row: int, sample: Sample, scores: Scores, i: int) -> Watch:
    low = float(scores.low[i])
    if min(block.evidence(row)[1]) >= 0:
        low = max(low, 0.0)  # what was never negative is not expected to be
    return open_watch(
        f"anm-{derive('anomaly', block.names[row], f'{sample.at:.3f}')[:12]}",
        sample,
        kind=int(scores.kind[i]),
        direction=int(scores.direction[i]),
        low=low,
        high=float(scores.high[i]),
    )


def _reason(metric: str, counter: bool, watch: Watch, verdict: Verdict, sample: Sample) -> str:  # noqa: FBT001 - a fact of the row
    what = f"{metric} a second" if counter else metric
    match verdict.ending:
        case "recovered":
            return f"{what} is back at {sample.value:.4g}"
        case "adapted":
            return f"{what} stays at {sample.value:.4g}: the new normal"
        case "ended":
            return f"{what} has sent nothing since {sample.value:.4g}"
    return f"{what} is {sample.value:.4g}, expected {watch.low:.4g} to {watch.high:.4g}"
