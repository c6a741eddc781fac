"""A block of series' states: fixed room, rows taken and given back, an exact copy as bytes.

A block is what is saved at once; which series has which row is the owner's to remember.
"""

import struct
import zlib
from typing import Self

import numpy as np
import numpy.typing as npt

from agents.scorer.state import BYTES, SINGLES_AT, STATE_VERSION, Counts, Floats
from schemas.errors import Rejected

CAPACITY = 256  # rows: 0.5 MiB, a changelog message once compressed

_HEAD = struct.Struct("<4sHHII")  # mark, version, bytes a row, capacity, rows taken
_MARK = b"SNTB"
_CHECK = struct.Struct("<I")


class BlockState:
    """State of up to `capacity` series.

    `memory` is uint8 [capacity, BYTES], as state.py lays it out; `floats` is its first part. A row
    that is not `taken` is all zeros.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.memory: Counts = np.zeros((capacity, BYTES), np.uint8)
        self.taken = np.zeros(capacity, np.bool_)

    def __len__(self) -> int:
        """Rows taken."""
        return int(np.count_nonzero(self.taken))

    @property
    def capacity(self) -> int:
        """Rows there is room for."""
        return len(self.taken)

    @property
    def floats(self) -> Floats:
        """What is float64, [capacity, WIDTH]."""
        return self.memory[:, :SINGLES_AT].view(np.float64)

    def copy(self) -> Self:
        """A block that goes its own way from here."""
        other = type(self)(self.capacity)
        other.memory[:] = self.memory
        other.taken[:] = self.taken
        return other

    def claim(self) -> int:
        """Take the lowest free row, for a series without history; Rejected when full."""
        row = int(np.argmin(self.taken))
        if self.taken[row]:
            raise Rejected(f"a block of {self.capacity} series is full: open another block")
        self.taken[row] = True
        return row

    def release(self, row: int) -> None:
        """Give a row back and forget its series; releasing a free row changes nothing."""
        self.taken[row] = False
        self.memory[row] = 0

    def check(self, rows: npt.NDArray[np.int32]) -> None:
        """Rejected unless every one of `rows` is taken: the kernel trusts them."""
        if rows.size and (rows.min() < 0 or rows.max() >= self.capacity):
            raise Rejected(f"a row lies outside of a block of {self.capacity}")
        if not self.taken[rows].all():
            raise Rejected("a row was not claimed before it was scored")

    def to_bytes(self) -> bytes:
        """Everything, exactly: little-endian, taken rows only, with version and checksum."""
        rows = np.flatnonzero(self.taken)
        body = b"".join(
            (
                _HEAD.pack(_MARK, STATE_VERSION, BYTES, self.capacity, len(rows)),
                rows.astype("<u4").tobytes(),
                self.memory[rows].tobytes(),
            )
        )
        return body + _CHECK.pack(zlib.crc32(body))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Undo `to_bytes`; Rejected when the bytes are damaged or of another version."""
        if len(data) < _HEAD.size + _CHECK.size or data[:4] != _MARK:
            raise Rejected("these bytes are no block of scorer states")
        body, (check,) = memoryview(data)[: -_CHECK.size], _CHECK.unpack(data[-_CHECK.size :])
        _, version, width, capacity, count = _HEAD.unpack_from(body)
        if (version, width) != (STATE_VERSION, BYTES):
            raise Rejected(
                f"the block was written by version {version} of the scorer's state and this is "
                f"version {STATE_VERSION}: delete it, and the series are learned anew"
            )
        if zlib.crc32(body) != check:
            raise Rejected("a block of scorer states is damaged: its checksum does not match")
        block = cls(capacity)
        rows = np.frombuffer(body, "<u4", count, _HEAD.size)
        memory = np.frombuffer(body, np.uint8, count * BYTES, _HEAD.size + 4 * count)
        block.taken[rows] = True
        block.memory[rows] = memory.reshape(count, BYTES)
        return block
