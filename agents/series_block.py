"""A block of series: what detect knows of them, and its form in the changelog.

A block is what is saved at once, with the offset of the last frame that it includes; a frame
that a block includes already does not touch it again.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from numba import njit

from agents.counters import MEMORY, is_counter
from agents.scorer.block import CAPACITY, BlockState
from agents.watch import Watch
from schemas.errors import Rejected
from schemas.frames import parsed

VERSION = 1
EVIDENCE = 60  # points kept a series


class _Wire(msgspec.Struct):
    """A block in the changelog."""

    version: int
    included: int
    names: list[str]
    open: dict[int, Watch]
    state: bytes
    memory: bytes
    ring_at: bytes
    ring_value: bytes
    written: bytes


class Block:
    """Up to 256 series of one partition: their numbers, last points and open anomalies."""

    def __init__(self) -> None:
        self.state = BlockState(CAPACITY)
        self.names: list[str] = []
        self.counter = np.zeros(CAPACITY, np.bool_)
        self.memory = np.zeros((CAPACITY, MEMORY))
        self.ring_at = np.zeros((CAPACITY, EVIDENCE))
        self.ring_value = np.zeros((CAPACITY, EVIDENCE), np.float32)
        self.written = np.zeros(CAPACITY, np.int64)
        self.open: dict[int, Watch] = {}
        self.included = self.saved = -1
        self.changed = False

    def add(self, name: str) -> int:
        """A row for a new series."""
        row = self.state.claim()
        self.names.append(name)
        self.counter[row] = is_counter(parsed(name)[0])
        return row

    def dump(self) -> bytes:
        """Everything, for the changelog."""
        count = len(self.names)
        return msgspec.msgpack.encode(
            _Wire(
                version=VERSION,
                included=self.included,
                names=self.names,
                open=self.open,
                state=self.state.to_bytes(),
                memory=self.memory[:count].tobytes(),
                ring_at=self.ring_at[:count].tobytes(),
                ring_value=self.ring_value[:count].tobytes(),
                written=self.written[:count].tobytes(),
            )
        )

    @classmethod
    def load(cls, raw: bytes) -> "Block":
        """Undo `dump`. Raises Rejected for another version or damaged bytes."""
        try:
            wire = msgspec.msgpack.decode(raw, type=_Wire)
        except msgspec.MsgspecError as error:
            raise Rejected(f"a detect block cannot be read: {error}") from error
        if wire.version != VERSION:
            raise Rejected(f"a detect block has version {wire.version}, this reads {VERSION}")
        block, count = cls(), len(wire.names)
        block.state = BlockState.from_bytes(wire.state)
        block.names = wire.names
        block.counter[:count] = [is_counter(parsed(name)[0]) for name in wire.names]
        block.memory[:count] = np.frombuffer(wire.memory).reshape(count, MEMORY)
        block.ring_at[:count] = np.frombuffer(wire.ring_at).reshape(count, EVIDENCE)
        ring = np.frombuffer(wire.ring_value, np.float32).reshape(count, EVIDENCE)
        block.ring_value[:count] = ring
        block.written[:count] = np.frombuffer(wire.written, np.int64)
        block.open = wire.open
        block.included = block.saved = wire.included
        return block

    def remember(
        self,
        rows: npt.NDArray[np.int32],
        at: npt.NDArray[np.float64],
        value: npt.NDArray[np.float64],
    ) -> None:
        """Keep the newest points of each row."""
        _remember(self.ring_at, self.ring_value, self.written, rows, at, value)

    def evidence(self, row: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Times (epoch s) and values of the last points, oldest first."""
        written = int(self.written[row])
        order = [i % EVIDENCE for i in range(max(0, written - EVIDENCE), written)]
        at, value = self.ring_at[row, order], self.ring_value[row, order]
        return tuple(at.tolist()), tuple(value.astype(np.float64).tolist())


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # numba has no types
def _remember(ring_at: Any, ring_value: Any, written: Any, rows: Any, at: Any, value: Any) -> None:
    """The newest points of each row, the oldest overwritten; missing values are left out."""
    for i in range(rows.size):
        if np.isfinite(value[i]):
            row = rows[i]
            slot = written[row] % ring_at.shape[1]
            ring_at[row, slot] = at[i]
            ring_value[row, slot] = value[i]
            written[row] += 1
