"""Detect: frames of samples in, anomalies out; one row of numbers a series, in blocks.

A frame that a block includes already does not touch it again. So a sample is learned once,
whatever is read twice, and an anomaly that is said again has the same id.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
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
from agents.watch import Sample, Verdict, Watch, open_watch, step
from schemas.anomalies import Anomaly
from schemas.event import derive
from schemas.frames import Samples, parsed

ALARM = 1.0


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
        self._excluded = re.compile(settings.exclude) if settings.exclude else None
        self._blocks: dict[int, list[Block]] = {}  # by partition
        self._rows: dict[int, dict[str, tuple[int, int] | None]] = {}
        self._filling: dict[int, int] = {}  # first block with room, by partition
        self.left_out = 0  # samples of series beyond max_series
        self.series = 0

    # ---- what the shell keeps

    def blocks(self, partition: int) -> list[Block]:
        """The partition's blocks, in the order in which they were made."""
        return self._blocks.setdefault(partition, [])

    def load(self, partition: int, saved: Mapping[int, bytes]) -> None:
        """Take a partition up from its saved blocks, by number."""
        self.drop(partition)
        count = max(saved, default=-1) + 1
        blocks = [Block.load(saved[n]) if n in saved else Block() for n in range(count)]
        self._blocks[partition] = blocks
        self._rows[partition] = {
            name: (number, row)
            for number, block in enumerate(blocks)
            for row, name in enumerate(block.names)
        }
        self.series += sum(len(block.names) for block in blocks)

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker has now."""
        self.series -= sum(len(block.names) for block in self._blocks.pop(partition, []))
        self._rows.pop(partition, None)
        self._filling.pop(partition, None)

    # ---- what a frame does

    def feed(self, samples: Samples, partition: int, offset: int) -> list[Anomaly]:
        """Score and learn a frame; the anomalies that it opens, updates and clears."""
        said: list[Anomaly] = []
        cause = f"samples/{partition}/{offset}"
        for share in self._shares(samples, partition):
            block = share.block
            if offset <= block.included:
                continue
            value = rates(block.memory, block.counter, share.rows, share.at, share.value)
            scores = score_rows(block.state, share.rows, share.at, value)
            said += self._judged(share, value, scores, cause)
            block.included, block.changed = offset, True
        if len(samples):
            said += self._ended(partition, float(samples.at.max()) / 1000, cause)
        for block in self.blocks(partition):
            if not block.changed:  # nothing of it was in the frame: it includes it as it is
                block.included = max(block.included, offset)
        return said

    def _shares(self, samples: Samples, partition: int) -> Iterator[_Share]:
        places = [self._place(name, partition) for name in samples.names]
        number = np.array([-1 if p is None else p[0] for p in places], np.int32)[samples.code]
        row = np.array([-1 if p is None else p[1] for p in places], np.int32)[samples.code]
        at, blocks = samples.at / 1000.0, self.blocks(partition)
        for index in np.unique(number):
            if index >= 0:
                mine = number == index
                yield _Share(blocks[index], row[mine], at[mine], samples.value[mine])

    def _place(self, name: str, partition: int) -> tuple[int, int] | None:
        """Block number and row of a series; None for one that is not scored."""
        known = self._rows.setdefault(partition, {})
        if name in known:
            return known[name]
        if self._excluded and self._excluded.search(parsed(name)[0]):
            known[name] = None
            return None
        if self.series >= self.settings.max_series:
            self.left_out += 1
            return None
        number, block = self._with_room(partition)
        known[name] = place = (number, block.add(name))
        self.series += 1
        return place

    def _with_room(self, partition: int) -> tuple[int, Block]:
        """The first block with room, made if there is none.

        The first, not the last: after a crash a block may come back with fewer series than
        the later ones knew of, and its series must find their rows again.
        """
        blocks, number = self.blocks(partition), self._filling.get(partition, 0)
        while number < len(blocks) and len(blocks[number].names) >= CAPACITY:
            number += 1
        if number == len(blocks):
            blocks.append(Block())
        self._filling[partition] = number
        return number, blocks[number]

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
