"""A block of series: what detect knows of them in memory.

A block is what is saved at once, with the offset of the last frame that it includes; a frame
that a block includes already does not touch it again. When all its series have been silent for
a while its numbers are put away, which leaves their names and when each was heard last, and
brought back from what was saved when one speaks. A series that has been silent for so long that
it is gone for good gives its row to the next new one; whether it is gone depends on nothing but
the block and the frame, so that a replay gives the same rows to the same series.

A partition's first block has in it, too, what the partition's pulses have told.
"""

from collections.abc import Container
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numba import njit

from agents.counters import MEMORY, RESETS, is_counter
from agents.rhythm import DUE, RHYTHM
from agents.scorer.block import CAPACITY, BlockState
from agents.series_format import Saved, packed, unpacked
from schemas.errors import Rejected
from schemas.frames import COUNTED

if TYPE_CHECKING:
    from agents.absence import Absence
    from agents.pulses import Pulses
    from agents.rules import Breach, Concerns
    from agents.watch import Watch

EVIDENCE = 60  # points kept a series
LARGEST = float(np.finfo(np.float32).max)  # of a kept point


class Block:
    """Up to 256 series of one partition: their numbers, last points and open anomalies."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.open: dict[int, Watch] = {}
        self.breaches: dict[int, dict[str, Breach]] = {}  # of static rules, by row and rule
        self.silent: dict[int, Absence] = {}
        self.resetting: dict[int, Absence] = {}
        self.pulses: Pulses | None = None  # of the partition; in its first block, once there are
        self.concerns: Concerns | None = None  # which rules its rows have; asked for when needed
        self.clock = -np.inf  # newest time of the frames that it has seen, epoch s
        self.due = np.inf  # no row is late before
        self.ours = np.zeros(CAPACITY, np.bool_)  # counted by us: may come again after a crash
        self.weak_at = np.full(CAPACITY, -np.inf)  # newest weak evidence of a row; not saved
        self.heard = np.zeros(CAPACITY)  # newest time of the last frame with the row, epoch s
        self.included = self.saved = -1
        self.changed = False
        self._longest_silent = 0.0  # not later than the earliest of `heard`
        self._make_room(CAPACITY)

    def _make_room(self, rows: int) -> None:
        self.away = rows == 0
        self.state = BlockState(rows)
        self.counter = np.zeros(rows, np.bool_)
        self.memory = np.zeros((rows, MEMORY))
        self.resets = np.zeros((rows, RESETS))
        self.rhythm = np.zeros((rows, RHYTHM))
        self.ring_at = np.zeros((rows, EVIDENCE))
        self.ring_value = np.zeros((rows, EVIDENCE), np.float32)
        self.written = np.zeros(rows, np.int64)

    # ---- rows

    @property
    def full(self) -> bool:
        """Whether every row has been given to a series, gone or not."""
        return len(self.names) >= CAPACITY

    def add(self, name: str, now: float = 0.0) -> int:
        """The next row, for a new series, heard at `now` (epoch s)."""
        row = self.state.claim()
        self.names.append(name)
        self._begin(row, name, now)
        return row

    def _begin(self, row: int, name: str, now: float) -> None:
        metric = name.partition("{")[0]
        self.counter[row], self.ours[row] = is_counter(metric), metric == COUNTED
        self.heard[row] = now
        self.concerns = None
        self._longest_silent = min(self._longest_silent, now)
        self.changed = True

    def any_gone(self, before: float) -> bool:
        """Whether a series was heard last before this time (epoch s)."""
        if self._longest_silent >= before:
            return False
        heard = self.heard[: len(self.names)]
        self._longest_silent = float(heard.min()) if len(heard) else before
        return self._longest_silent < before

    def gone(self, before: float, but: Container[int]) -> int | None:
        """The first row whose series was heard last before this time and is not one of `but`."""
        silent = np.flatnonzero(self.heard[: len(self.names)] < before).tolist()
        return next((row for row in silent if row not in but), None)

    def replace(self, row: int, name: str, now: float) -> str:
        """Give a row to another series, which begins anew; the name of the one before."""
        before, self.names[row] = self.names[row], name
        self._forget(row)
        self._begin(row, name, now)
        return before

    def _forget(self, row: int) -> None:
        """What was known of the row's series, but for its name."""
        self.state.release(row)
        self.state.taken[row] = True
        self.memory[row] = self.ring_at[row] = self.ring_value[row] = self.written[row] = 0
        self.resets[row] = self.rhythm[row] = 0
        for held in (self.open, self.breaches, self.silent, self.resetting):
            held.pop(row, None)

    def hear(self, rows: npt.NDArray[np.int32], now: float, before: float) -> None:
        """Note a frame that ends at `now`; what was heard last before `before` begins anew."""
        if _hear(self.heard, rows, now, before):
            returned = rows[self.heard[rows] < before]
            for row in np.unique(returned).tolist():
                self._forget(row)
            self.heard[rows] = np.maximum(self.heard[rows], now)

    # ---- in memory and out of it

    def idle(self, before: float) -> bool:
        """Whether nothing of it was heard since this time, and nothing of it would be lost."""
        needed = self.away or self.changed or self.to_be_ended or self.pulses is not None
        quiet = not needed and self.saved >= 0
        return quiet and bool(self.heard.max() < before) and not bool(self.rhythm[:, DUE].any())

    @property
    def to_be_ended(self) -> bool:
        """Whether anything of it is open, or remembered for the sake of what is."""
        return bool(self.open or self.breaches or self.silent or self.resetting)

    def put_away(self) -> None:
        """Leave names, and when each was heard; the rest is in what was saved."""
        self._make_room(0)

    def bring_back(self, raw: bytes) -> None:
        """Undo `put_away`, from what was saved. Raises Rejected when this is something else."""
        saved = unpacked(raw)
        if (saved.included, saved.names) != (self.saved, self.names):
            raise Rejected(f"holds frames up to {saved.included}, not {self.saved}")
        self._fill(saved)

    # ---- the form in the changelog

    def dump(self) -> bytes:
        """Everything, for the changelog."""
        count = len(self.names)
        columns = {name: held[:count].tobytes() for name, held in self._columns().items()}
        state = self.state.to_bytes()
        return packed(
            Saved(
                self.included, self.names, self.open, state, columns,
                self.breaches, self.silent, self.resetting, self.pulses,
            )
        )  # fmt: skip

    @classmethod
    def load(cls, raw: bytes) -> "Block":
        """Undo `dump`. Raises Rejected for a version that has no way here, or damaged bytes."""
        saved, block = unpacked(raw), cls()
        block.names, block.open = saved.names, saved.open
        block.breaches, block.silent = saved.breaches, saved.silent
        block.resetting, block.pulses = saved.resetting, saved.pulses
        block._fill(saved)
        block.ours[: len(saved.names)] = [n.partition("{")[0] == COUNTED for n in saved.names]
        block.clock = float(block.heard.max()) if saved.names else -np.inf
        block.due = -np.inf  # to be seen
        block.included = block.saved = saved.included
        return block

    def _fill(self, saved: Saved) -> None:
        count = len(saved.names)
        self._make_room(CAPACITY)
        try:
            self.state = BlockState.from_bytes(saved.state)
            for name, held in self._columns().items():
                written = np.frombuffer(saved.columns[name], held.dtype)
                held[:count] = written.reshape(count, *held.shape[1:])
        except (KeyError, ValueError) as error:
            raise Rejected(f"its columns do not fit: {error}") from error

    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        """What there is a number of for each row, beside the scorer's state."""
        return {
            "heard": self.heard,
            "counter": self.counter,
            "memory": self.memory,
            "resets": self.resets,
            "rhythm": self.rhythm,
            "ring_at": self.ring_at,
            "ring_value": self.ring_value,
            "written": self.written,
        }

    # ---- the last points

    def remember(
        self,
        rows: npt.NDArray[np.int32],
        at: npt.NDArray[np.float64],
        value: npt.NDArray[np.float64],
    ) -> None:
        """Keep the newest points of each row."""
        _remember(self.ring_at, self.ring_value, self.written, rows, at, value)

    def evidence(
        self, row: int, until: float = np.inf
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Times (epoch s) and values of the last points not later than `until`, oldest first."""
        written = int(self.written[row])
        order = [i % EVIDENCE for i in range(max(0, written - EVIDENCE), written)]
        at, value = self.ring_at[row, order], self.ring_value[row, order].astype(np.float64)
        value = np.clip(value, -LARGEST, LARGEST)  # a value beyond single precision was kept as inf
        kept = at <= until
        return tuple(at[kept].tolist()), tuple(value[kept].tolist())


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator] # numba has no types
def _hear(heard: Any, rows: Any, now: Any, before: Any) -> bool:
    """Note that the rows were heard at `now`, unless one comes back from before `before`."""
    for i in range(rows.size):
        if heard[rows[i]] < before:
            return True
    for i in range(rows.size):
        heard[rows[i]] = max(heard[rows[i]], now)
    return False


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
