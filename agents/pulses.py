"""Pulses: what moves a partition's clock when nothing in it speaks any more.

A partition's time is that of its samples, so when the last of its series falls silent it stands
still, and nobody is late. Intake therefore sends a pulse every few seconds, which says of a
moment that all there was to read by then is in the frames before the pulse. A pulse is about
our own reading and knows nothing of the time in samples, which may be of yesterday; so it moves
no clock while the partition speaks as it used to. Two things are learned of it instead, in the
pulses' time: its rhythm, which is a series' (rhythm.py), and how far its samples are behind.

Once the partition is late by its own rhythm, its clock goes on from where it stood by as much as
the pulses have. Not when its samples were last somewhere else than they used to be, behind or
ahead: history that is read in says nothing of now, and is quiet when it is over. Nor for a time
in which there were no pulses: nobody listened then, and silence is counted anew.
"""

from math import inf

import msgspec
import numpy as np

from agents.rhythm import AGE, ALLOWED, DUE, HEARD, LATE, PUT_OFF, RHYTHM, SEEN, beats, late

STEADY_S = 60.0  # by which the distance may differ from the usual: shippers send once a minute
USUAL = 1 / 64  # weight of the newest distance in the usual one: clocks drift by little
LEAST_S = 30.0  # silence of everything: what is shorter is a restart of what ships it to us
MISSED_S = 30.0  # between two pulses: three of them, at the longest that intake may be set to
KEEP_S = 600.0  # what moved the clock is remembered so long: blocks are saved far more often

ROW, PLACE, VALUE = np.zeros(1, np.int32), np.zeros(1, np.int64), np.ones(1)


class Pulses(msgspec.Struct):
    """What the pulses of one partition have told; times in epoch seconds.

    `as_of` is in the time of pulses, `clock` in that of samples. What moved the clock is kept for
    a while with the offset of its pulse: a block that was saved before, and is read again after
    a crash, meets the same times.
    """

    rhythm: list[float] = msgspec.field(default_factory=lambda: [0.0] * RHYTHM)
    as_of: float = -inf  # of the last pulse
    spoken: bool = False  # whether samples have come since the last pulse
    since: float = 0.0  # as_of of the first pulse after the last samples
    stood: float = 0.0  # clock at that pulse
    usual: float | None = None  # as_of - clock, while the partition spoke
    astray: float | None = None  # as_of since when it is not the usual one
    moves: list[tuple[int, float]] = []  # offset of a pulse, clock after it

    def heard(self, as_of: float, clock: float, offset: int) -> float | None:
        """Where the pulse at `offset` moves the clock, which is at `clock`; None: nowhere."""
        before, self.as_of = self.as_of, as_of
        missed = not 0 <= as_of - before <= MISSED_S
        if missed or self.spoken:
            self.since, self.stood = as_of, clock
        if missed:
            self._begin_again(as_of)
        elif self.spoken and self._as_usual(as_of, as_of - clock):
            self._beat(as_of, before)
        spoken, self.spoken = self.spoken, False
        if missed or spoken or self.astray is not None or not self._is_late(before):
            return None
        if as_of - self.since < LEAST_S:
            return None
        moved = max(clock, self.stood + as_of - self.since)
        kept = [(at, was) for at, was in self.moves if was >= moved - KEEP_S]
        self.moves = [*kept, (offset, moved)]
        return moved

    def again(self, offset: int) -> float | None:
        """Where the pulse at `offset` has moved the clock, when it is read again."""
        return next((clock for at, clock in self.moves if at == offset), None)

    def _as_usual(self, as_of: float, behind: float) -> bool:
        """Whether the samples are as far behind as they used to be; learns how far that is."""
        if self.usual is not None and abs(behind - self.usual) <= STEADY_S:
            self.usual += USUAL * (behind - self.usual)
            self.astray = None
            return True
        if self.astray is None and self.usual is not None:
            self.astray = as_of
            return False
        if self.astray is not None and as_of - self.astray < AGE:
            return False
        self.usual, self.astray, self.rhythm = behind, None, [0.0] * RHYTHM
        return True

    def _begin_again(self, as_of: float) -> None:
        """Count silence from here: there were no pulses."""
        if self.rhythm[ALLOWED]:
            self.rhythm[DUE] = as_of + self.rhythm[ALLOWED]
        self.rhythm[HEARD] = self.rhythm[SEEN] = as_of
        self.rhythm[LATE] = self.rhythm[PUT_OFF] = 0.0

    def _beat(self, as_of: float, before: float) -> None:
        rhythm = np.array([self.rhythm])
        now = np.array([as_of])
        beats(rhythm, ROW, now, VALUE, PLACE, now, before)
        self.rhythm = rhythm[0].tolist()

    def _is_late(self, before: float) -> bool:
        rhythm = np.array([self.rhythm])
        late(rhythm, 1, np.array([self.as_of]), before)
        self.rhythm = rhythm[0].tolist()
        return bool(self.rhythm[LATE])
