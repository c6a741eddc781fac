"""Which block and row each series of a partition has, and which blocks are in memory.

Rows are given to series in the order in which they come, so that a block holds series that were
born together, of one deployment, and will fall silent together. Placing is a function of the
frame and the blocks as they were before it: a block that comes back from a crash in a later
state than the frame that is read again has no room for the frame's series, because those that
it took are known by their names.
"""

from collections.abc import Mapping
from math import inf
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agents.name_table import NOWHERE, NameTable
from agents.pulses import Pulses
from agents.scorer.block import CAPACITY
from agents.series_block import Block
from schemas.errors import Rejected
from schemas.frames import Names

Places = npt.NDArray[np.int64]

SHARES = 64  # of the time until a series is gone or idle: how often it is looked for


class Place(NamedTuple):
    """Where a series is."""

    block: int
    row: int

    @property
    def number(self) -> int:
        """The place as one number, as arrays of places have it."""
        return self.block * CAPACITY + self.row


class SeriesIndex:
    """The blocks of one partition, and the series in them."""

    def __init__(self, *, idle_s: float, forget_s: float) -> None:
        self.blocks: list[Block] = []
        self._idle_s, self._forget_s = idle_s, forget_s
        self._numbers = NameTable()  # of places, by series
        self._saved: Mapping[int, bytes] = {}
        self._unused = 0  # the first block that may have a row which nobody ever had
        self._before = 0.0  # what was heard last before is gone, as of the last look
        self._gone = 0  # the first block that may have one that is gone
        self._swept = -1.0
        self._clock = -inf
        self._clocks: list[tuple[int, float]] = []  # of blocks that were loaded, latest first

    def __len__(self) -> int:
        """How many series have a row."""
        return len(self._numbers)

    @property
    def away(self) -> int:
        """How many series are in blocks that are out of memory."""
        return sum(len(block.names) for block in self.blocks if block.away)

    # ---- where they are

    def find(self, name: str) -> Place | None:
        """The place of a series that has one."""
        number = self._numbers.get(name)
        return None if number == NOWHERE else Place(*divmod(number, CAPACITY))

    def numbers(self, names: list[str] | Names) -> Places:
        """The numbers of the series' places, [n], NOWHERE for one that has none."""
        return self._numbers.find(names if isinstance(names, Names) else Names.of(names))

    def place(
        self, name: str, offset: int, now: float, *, spoken: Places, room: bool
    ) -> Place | None:
        """A place for a new series that came with frame `offset`, which ends at `now` (epoch s).

        The row of one that is gone, unless its number is among the `spoken` of this frame; else,
        when there is `room` for one more, a row that nobody had. None when there is neither.
        """
        place = self._of_one_gone(name, offset, now, spoken)
        if place is None and room:
            number = self._with_unused(offset)
            place = Place(number, self.in_memory(number).add(name, now))
        if place is not None:
            self._numbers.put(Names.of([name]), np.array([place.number]))
        return place

    def _of_one_gone(self, name: str, offset: int, now: float, spoken: Places) -> Place | None:
        before = _floor(now, self._forget_s) - self._forget_s
        if before != self._before:
            self._before, self._gone = before, 0
        while self._gone < len(self.blocks) and not self.blocks[self._gone].any_gone(before):
            self._gone += 1
        for number in range(self._gone, len(self.blocks)):
            block = self.blocks[number]
            if block.included >= offset or not block.any_gone(before):
                continue
            speaking = set((spoken[spoken // CAPACITY == number] % CAPACITY).tolist())
            row = block.gone(before, speaking)
            if row is not None:
                self._numbers.remove(self.in_memory(number).replace(row, name, now))
                return Place(number, row)
        return None

    def _with_unused(self, offset: int) -> int:
        """The first block with room, made if there is none.

        The first, not the last: after a crash a block may come back with fewer series than
        the later ones knew of, and its series must find their rows again.
        """
        blocks = self.blocks
        while self._unused < len(blocks) and blocks[self._unused].full:
            self._unused += 1
        number = self._unused
        while number < len(blocks) and (blocks[number].full or blocks[number].included >= offset):
            number += 1
        if number == len(blocks):
            blocks.append(Block())
        return number

    # ---- in memory and out of it

    def load(self, saved: Mapping[int, bytes], *, reset_damaged: bool) -> list[str]:
        """Take up what was saved, by number; what is wrong with blocks that are begun anew.

        `saved` is kept: it must go on giving what was saved last of each block. Raises Rejected,
        naming the block, for one that cannot be read, unless `reset_damaged`.
        """
        wrong: list[str] = []
        self._saved = saved
        newest = 0.0
        for number in range(max(saved, default=-1) + 1):
            block = Block()
            if number in saved:
                try:
                    block = Block.load(saved[number])
                except Rejected as error:
                    if not reset_damaged:
                        raise Rejected(f"block {number} {error}") from error
                    wrong.append(f"block {number} {error}")
            self.blocks.append(block)
            places = Place(number, 0).number + np.arange(len(block.names))
            self._numbers.put(Names.of(block.names), places)
            newest = max(newest, float(block.heard.max()))
            if block.idle(newest - self._idle_s):
                block.put_away()
        clocks = [(block.included, block.clock) for block in self.blocks]
        moves = [move for block in self.blocks if block.pulses for move in block.pulses.moves]
        self._clocks = sorted(clocks + moves, reverse=True)
        self.sweep(newest)
        return wrong

    def clock(self, offset: int) -> float:
        """The partition's newest time (epoch s) before a frame, as the loaded blocks know it.

        What a saved block has beyond `offset` does not count yet. Exact where the newest times of
        frames do not run back; else a block that was never saved may be told less than was so.
        """
        while self._clocks and self._clocks[-1][0] < offset:
            self._clock = max(self._clock, self._clocks.pop()[1])
        return self._clock

    def spoke(self, offset: int) -> None:
        """Note for the pulses that a frame had samples."""
        first = self.blocks[0] if self.blocks else None
        if first and first.pulses and offset >= first.included:
            first.pulses.spoken = True
            first.included, first.changed = offset, True

    def pulse(self, as_of: float, clock: float, offset: int) -> float | None:
        """Where a pulse moves the partition's clock (epoch s), which is at `clock`; None: nowhere.

        What pulses tell is kept in the first block; without a series there is nothing to tell.
        """
        if not self.blocks or not np.isfinite(clock):
            return None
        first = self.in_memory(0)
        if offset <= first.included:
            return first.pulses.again(offset) if first.pulses else None
        first.pulses = first.pulses or Pulses()
        first.included, first.changed = offset, True
        return first.pulses.heard(as_of, clock, offset)

    def in_memory(self, number: int) -> Block:
        """A block with its numbers, brought back if it was put away."""
        block = self.blocks[number]
        if block.away:
            raw = self._saved.get(number)
            if raw is None:
                raise Rejected(f"block {number} was put away, but it is not among what was saved")
            try:
                block.bring_back(raw)
            except Rejected as error:
                raise Rejected(
                    f"block {number} was put away, but what was saved {error}"
                ) from error
        return block

    def sweep(self, now: float) -> None:
        """Put away what has been idle for long, now and then."""
        looked = _floor(now, self._idle_s)
        if looked == self._swept:
            return
        self._swept = looked
        for block in self.blocks:
            if block.idle(now - self._idle_s):
                block.put_away()


def _floor(now: float, length: float) -> float:
    """The time, in steps of a share of `length` (s)."""
    step = length / SHARES
    return now // step * step
