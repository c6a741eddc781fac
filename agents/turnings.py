"""Who falls silent, is back, or begins to start over and over in a frame, for the roll to tell."""

from collections.abc import Iterable, Iterator

import numpy as np

from agents.absence import MISSING, RESET
from agents.clock import Clock
from agents.counters import calm_at
from agents.rhythm import beats, late
from agents.roll import BACK, LATE, Turning
from agents.series_block import Block
from agents.series_index import Place
from agents.share import GONE, Floats, Share


def beaten(share: Share, clock: Clock, before: float, ended_s: float) -> Iterator[Turning]:
    """Who of a block's share was silent before a sample, and who is back; the share is learned."""
    block = share.block
    told, due = beats(
        block.rhythm, share.rows, share.at, share.value, share.place,
        clock.newest, max(before, block.clock),
    )  # fmt: skip
    block.due = min(block.due, due)
    return _turnings(told, block, share.number, ended_s)


def overdue(
    blocks: Iterable[tuple[int, Block]], clock: Clock, before: float, ended_s: float
) -> Iterator[Turning]:
    """Who is silent for too long at the end of a frame."""
    for number, block in blocks:
        if block.due <= clock.after and not block.away:
            told, block.due = late(
                block.rhythm, len(block.names), clock.newest, max(before, block.clock)
            )
            block.changed |= bool(len(told))
            yield from _turnings(told, block, number, ended_s)


def looping(share: Share, loops: Floats) -> Iterator[Turning]:
    """Whose counter starts over and over; `loops` [n] are recent resets, 0 for none."""
    for i in np.flatnonzero(loops).tolist():
        row, at, level = int(share.rows[i]), float(share.at[i]), float(loops[i])
        yield Turning(
            int(share.place[i]), True, at, share.block.names[row], LATE, RESET,  # noqa: FBT003 - by a sample
            Place(share.number, row), until=calm_at(level, at), heard_at=at, level=level,
        )  # fmt: skip


def _turnings(
    told: Iterable[Floats], block: Block, number: int, ended_s: float
) -> Iterator[Turning]:
    for row, is_late, place, at, heard_at, every, allowed in (one.tolist() for one in told):
        yield Turning(
            int(place), not is_late, at, block.names[int(row)], LATE if is_late else BACK, MISSING,
            Place(number, int(row)), until=at + max(ended_s, GONE * every),
            heard_at=heard_at, every=every, allowed=allowed,
        )  # fmt: skip
