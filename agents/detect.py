"""Detect: frames of samples in, anomalies out; one row of numbers a series, in blocks.

A frame that a block includes already does not touch it again. So a sample is learned once,
whatever is read twice, and an anomaly that is said again has the same id.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from agents.bars import Bars
from agents.breaches import Breaches
from agents.clock import NEVER, Clock
from agents.counters import rates
from agents.detect_settings import DetectSettings
from agents.name_table import NOWHERE
from agents.opinions import Opinions
from agents.rhythm import HEARD
from agents.roll import Roll, Turning
from agents.rules import Rules
from agents.scorer.block import CAPACITY
from agents.scorer.scorer import Scores, score_rows
from agents.series_block import EVIDENCE, Block
from agents.series_index import Place, Places, SeriesIndex
from agents.share import Said, Share, by_block, gap_of, patience, placed
from agents.telling import event_of, interval, opened
from agents.turnings import beaten, looping, overdue
from agents.watch import Sample, Verdict, Watch, doubtful, step
from agents.weak import Faint, Weak, hints
from runbooks.thresholds import Rule
from schemas.anomalies import Anomaly
from schemas.errors import Rejected
from schemas.event import Event
from schemas.frames import COUNTED, Names, Samples
from schemas.verdicts import Bar

ALARM = 1.0
NOT_SCORED, LEFT_OUT = -2, -3  # instead of a place


class Heard(NamedTuple):
    """What a frame leads to; all of it is sorted and told at its end."""

    said: list[Said]
    turnings: list[Turning]
    faint: list[Faint]


class Detect:
    """The numbers of the partitions that this worker has."""

    def __init__(
        self, settings: DetectSettings, groups: Mapping[str, str], rules: Sequence[Rule] = ()
    ) -> None:
        """`groups` are the services' correlation groups, `rules` the static ones."""
        self.settings = settings
        self._groups = groups
        exclude = re.compile(settings.exclude) if settings.exclude else None
        self._excluded = lru_cache(65_536)(lambda m: bool(exclude and exclude.search(m)))
        self._indexes: dict[int, SeriesIndex] = {}  # by partition
        self._opinions: dict[int, Opinions] = {}  # by partition
        self._rolls: dict[int, Roll] = {}  # by partition
        self._clocks: dict[int, float] = {}  # newest time, by partition
        self._weak = Weak(groups)
        self._breaches = Breaches(
            Rules(rules), groups, update_s=settings.watch.update_s, ended_s=settings.ended_s
        )
        self._renewed: list[Place] = []  # rows that were given to new series
        self.left_out = 0  # samples of series beyond max_series

    # ---- what the shell keeps

    @property
    def series(self) -> int:
        """How many series have a row, in all partitions."""
        return sum(map(len, self._indexes.values()))

    @property
    def max_series(self) -> int:
        """How many series may have a row."""
        return self.settings.max_series

    @property
    def away(self) -> int:
        """Series of blocks that are out of memory."""
        return sum(index.away for index in self._indexes.values())

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
            wrong = self.index(partition).load(saved, reset_damaged=reset)
        except Rejected as error:
            raise Rejected(
                f"of the state of partition {partition}, {error}: run the version that wrote it,"
                " or set detect.reset_damaged to learn its series anew"
            ) from error
        self.roll(partition).load(self.blocks(partition))
        return wrong

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker has now."""
        self._indexes.pop(partition, None)
        self._opinions.pop(partition, None)
        self._rolls.pop(partition, None)
        self._clocks.pop(partition, None)
        self._weak = Weak(self._groups)  # its anomalies end elsewhere, unheard of here

    def roll(self, partition: int) -> Roll:
        """Which of the partition's series are silent, or start over and over."""
        if partition not in self._rolls:
            self._rolls[partition] = Roll(self._groups)
        return self._rolls[partition]

    def opinions(self, partition: int) -> Opinions:
        """What is heard of the partition's services beside their series' own past."""
        if partition not in self._opinions:
            self._opinions[partition] = Opinions(self.settings)
        return self._opinions[partition]

    def hear(self, event: Event, partition: int) -> bytes | None:
        """A bar: the partition's bars to be kept, None when it is no news. Raises Rejected."""
        if not isinstance(event, Bar):
            raise Rejected(f"{event.SUBJECT} is nothing that detect hears")
        bars = self.opinions(partition).bars
        return bars.dump() if bars.hear(event) else None

    def recall(self, partition: int, kept: bytes) -> None:
        """Take the partition's bars up as `hear` gave them. Raises Rejected."""
        self.opinions(partition).bars = Bars.load(kept)

    def models(self) -> dict[str, int]:
        """How many models of River's there are, of a series and of a service."""
        every = [opinions.models() for opinions in self._opinions.values()]
        return {of: sum(each[of] for each in every) for of in ("series", "service")}

    def faults(self) -> Counter[str]:
        """How often they failed, by kind."""
        return sum((opinions.failed() for opinions in self._opinions.values()), Counter())

    def notes(self) -> list[str]:
        """What an operator should hear of models that fail, once each."""
        return [note for opinions in self._opinions.values() for note in opinions.notes()]

    # ---- what a frame does

    def feed(self, samples: Samples, partition: int, offset: int) -> list[Anomaly]:
        """Score and learn a frame; the anomalies that it opens, updates and clears."""
        index = self.index(partition)
        before = max(self._clocks.get(partition, NEVER), index.clock(offset))
        cause = f"samples/{partition}/{offset}"
        if not len(samples):
            moved = index.pulse(samples.as_of / 1000, before, offset) if samples.as_of else None
            if moved is None:
                return []
            self._clocks[partition] = moved
            # The pulses before have been there: the clock does not leap, if it moved just now.
            clock = Clock(np.array([moved]), cause, moved)
            return self._passed(partition, offset, clock, Heard([], [], []))
        clock = Clock(samples.at / 1000.0, cause, before)
        self._clocks[partition] = clock.after
        heard = self._learned(samples, partition, offset, clock)
        if samples.names[0].partition("{")[0] != COUNTED:  # which intake's pulses say nothing of
            index.spoke(offset)
        return self._passed(partition, offset, clock, heard)

    def _learned(self, samples: Samples, partition: int, offset: int, clock: Clock) -> Heard:
        """What a frame's samples lead to by themselves."""
        heard = Heard([], [], [])
        said, turnings, faint = heard
        index, opinions, roll = (
            self.index(partition),
            self.opinions(partition),
            self.roll(partition),
        )
        at, now, before = samples.at / 1000.0, clock.after, clock.before(0)
        for one in self._shares(samples, at, index, offset, now):
            share = _once(one)
            while self._renewed:
                renewed = self._renewed.pop()
                opinions.left(*renewed)
                roll.left(renewed)
            block = share.block
            block.hear(share.rows, now, now - self.settings.forget_s)
            value, loops = rates(
                block.memory, block.resets, block.counter, share.rows, share.at, share.value
            )
            scores = score_rows(block.state, share.rows, share.at, value)
            scores = opinions.scored(share.number, block, share.rows, share.at, value, scores)
            said += self._judged(share, value, scores, clock)
            faint += hints(share, value, scores, opinions.siblings.service_of)
            said += self._breaches.judged(share, value, scores.gap, clock)
            turnings += beaten(share, clock, before, self.settings.ended_s)
            turnings += looping(share, loops)
            block.included, block.changed = offset, True
        return heard

    def _passed(self, partition: int, offset: int, clock: Clock, heard: Heard) -> list[Anomaly]:
        """The frame is over: with what it leads to because time has passed, all there is to say."""
        said, turnings, faint = heard
        now, index, opinions = clock.after, self.index(partition), self.opinions(partition)
        restless = [
            (n, b) for n, b in enumerate(index.blocks) if b.due <= now or b.open or b.breaches
        ]
        said += self._ended(restless, clock)
        said += self._breaches.passed(restless, clock)
        turnings += overdue(restless, clock, clock.before(0), self.settings.ended_s)
        roll = self.roll(partition)
        said += roll.turn(turnings, index, offset, clock, opinions.siblings.size)
        index.sweep(now)
        in_order = sorted(said, key=lambda one: one.order)
        told = self._weak.told(in_order, faint, opinions.siblings.services, clock.cause)
        return opinions.told(index, [one.event for one in told])

    def _shares(
        self,
        samples: Samples,
        at: npt.NDArray[np.float64],
        index: SeriesIndex,
        offset: int,
        now: float,
    ) -> Iterator[Share]:
        """What of a frame is each block's, but for blocks that include it already."""
        places = self._places(samples.names, index, offset, now)[samples.code]
        self.left_out += int(np.count_nonzero(places == LEFT_OUT))
        row, place, ends = by_block(places, len(index.blocks))
        at, value = at[place], samples.value[place]
        begin = 0
        for held, end in enumerate(ends.tolist()):
            if end > begin and offset > index.blocks[held].included:
                mine = slice(begin, end)
                block = index.in_memory(held)
                yield Share(block, row[mine], at[mine], value[mine], place[mine], held)
            begin = end

    def _places(
        self, names: list[str] | Names, index: SeriesIndex, offset: int, now: float
    ) -> Places:
        """The number of each name's place, or why it has none."""
        found = index.numbers(names)
        new: dict[str, int] = {}  # a frame may name a series twice
        for n in np.flatnonzero(found == NOWHERE).tolist():
            name = names[n]
            if name not in new:
                new[name] = self._new_place(name, index, offset, now, found)
            found[n] = new[name]
        return found

    def _new_place(
        self, name: str, index: SeriesIndex, offset: int, now: float, spoken: Places
    ) -> int:
        if self._excluded(name.partition("{")[0]):
            return NOT_SCORED
        room = self.series < self.settings.max_series
        place = index.place(name, offset, now, spoken=spoken, room=room)
        if place is None:
            return LEFT_OUT
        self._renewed.append(place)
        return place.number

    def _judged(
        self, share: Share, value: npt.NDArray[np.float64], scores: Scores, clock: Clock
    ) -> Iterator[Said]:
        block = share.block
        watched = np.zeros(CAPACITY, np.bool_)
        watched[list(block.open)] = True
        alarmed = np.zeros(CAPACITY, np.bool_)
        alarmed[share.rows[scores.emitted >= ALARM]] = True
        concerned = (watched | alarmed)[share.rows] & np.isfinite(value)
        picked = np.flatnonzero(concerned)  # few: the rest is stored without Python
        columns = share.rows, share.place, share.at, value, scores.raw, scores.emitted
        done, ended_s = 0, self.settings.ended_s
        for i, row, place, at, x, raw, emitted in zip(
            picked.tolist(), *(column[picked].tolist() for column in columns), strict=True
        ):
            watch, sample = block.open.get(row), Sample(at, x, raw)
            if watch is not None and clock.before(place) >= watch.silent_since + ended_s:
                block.remember(share.rows[done:i], share.at[done:i], value[done:i])
                done = i
                yield from self._silent(
                    block, row, clock.before(place), clock, float(scores.gap[i])
                )
                watch = block.open.get(row)
            if watch is not None:
                verdict = step(watch, sample, self.settings.watch)
                verdict = verdict._replace(watch=_heard(verdict.watch, clock, place))
                if verdict.change == "":
                    block.open[row] = verdict.watch
                    continue
            elif emitted < ALARM:
                continue
            # What is said has the last points with it, so these are stored first
            until = i + 1
            block.remember(share.rows[done:until], share.at[done:until], value[done:until])
            done = until
            if watch is None:
                watch = _heard(opened(block, row, sample, scores, i), clock, place)
                if doubtful(raw, interval(scores, i), self.settings.watch):
                    block.open[row] = msgspec.structs.replace(watch, doubted=True)
                    continue
                verdict = Verdict(watch, "opened")
            yield from self._told(block, row, verdict, sample, clock, place)
        block.remember(share.rows[done:], share.at[done:], value[done:])

    def _ended(self, blocks: Iterable[tuple[int, Block]], clock: Clock) -> Iterator[Said]:
        """Clear the anomalies of series that have fallen silent, at the time when that was so."""
        now, ended_s = clock.after, self.settings.ended_s
        for _, block in blocks:
            for row in [
                r for r, watch in block.open.items() if now >= watch.silent_since + ended_s
            ]:
                yield from self._silent(block, row, now, clock, gap_of(block, row))

    def _silent(
        self, block: Block, row: int, now: float, clock: Clock, gap: float
    ) -> Iterator[Said]:
        """Clear a row's anomaly if nothing was heard of the row for long enough by `now`."""
        watch = block.open[row]
        wait = patience(gap, self.settings.ended_s)
        at, due = watch.heard_at + wait, watch.silent_since + wait
        if now >= due:
            last = int(block.written[row] - 1) % EVIDENCE
            sample = Sample(at, float(block.ring_value[row, last]), 0.0)
            block.changed = True
            if watch.doubted:
                del block.open[row]
                return
            ended = Verdict(watch, "cleared", "ended")
            yield from self._told(block, row, ended, sample, clock, due=due)

    def _told(
        self,
        block: Block,
        row: int,
        verdict: Verdict,
        sample: Sample,
        clock: Clock,
        place: int = -1,
        due: float = NEVER,
    ) -> Iterator[Said]:
        if verdict.change == "dropped":
            del block.open[row]
            return
        if verdict.change == "cleared":
            block.open.pop(row, None)
        else:
            block.open[row] = verdict.watch
        if verdict.change != "":
            event = event_of(block, row, verdict, verdict.change, sample, self._groups, clock.cause)
            yield placed(event, max(sample.at, due), clock, place)


def _heard(watch: Watch, clock: Clock, place: int) -> Watch:
    """The watch with the partition's time as its newest sample came."""
    return msgspec.structs.replace(watch, heard_by=float(clock.newest[place]))


def _once(share: Share) -> Share:
    """Without the samples that came before: those of ours that are not newer than what was heard.

    Only of series that are counted by us and sent again after a crash. Others may run back in
    time or repeat it, as real exporters do, and every sample of theirs counts.
    """
    block, rows = share.block, share.rows
    ours = block.ours[rows]
    if not ours.any():
        return share
    repeated = ours & (share.at <= block.rhythm[rows, HEARD])
    return share._replace(value=np.where(repeated, np.nan, share.value))
