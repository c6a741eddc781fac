"""One series of a service that is silent, or whose counter starts over and over."""

from math import inf

import msgspec

MISSING, RESET = "missing", "reset"


Moment = tuple[int, int, bool, float, str]  # frame's offset, place in it, by a sample, time, series


class Absence(msgspec.Struct, frozen=True):
    """A series that takes part in its service's anomaly; times in epoch seconds.

    `begun` and `over` are places in the stream, so that a block that is read again after a crash
    meets the others as they were then, not as they are.
    """

    anomaly: str
    opener: str  # the series that opened it
    since: float  # when it opened
    at: float  # when this series joined
    until: float  # when it is over without the series
    begun: Moment
    rank: int = 1  # how many had joined by then, itself included
    heard_at: float = 0.0  # newest sample of the series
    every: float = 0.0  # its interval, s
    allowed: float = 0.0  # silence that its rhythm allows, s
    level: float = 1.0  # how bad it is by itself, 1 or more
    over: Moment | None = None
    over_at: float = 0.0
    counted: bool = False  # the one that opened it: all that joined have been told of

    @property
    def count_at(self) -> float:
        """When those that fell silent with the first have joined: their rhythms are alike."""
        if self.counted or self.rank > 1 or not self.allowed:
            return inf
        return self.at + min(self.allowed, (self.until - self.at) / 2)

    def lasts(self, moment: Moment) -> bool:
        """Whether it is under way at a place of the stream."""
        return self.begun <= moment and (self.over is None or moment < self.over)
