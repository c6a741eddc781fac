"""Siblings: how many other series of a service moved when one of them did.

One series that jumps alone is a glitch more often than a fault; a fault is seen from several
sides. So an anomaly carries how many other series its service has here, and how many of them
moved with it: scored 0.7 or more within a minute of event time, or have an open anomaly.

A service's series are all in one partition, so nobody else needs to be asked. Kept are two
times a series, in arrays; nothing is done for an ordinary sample but writing its time. They are
not saved: what moved in the minute before a restart is not counted, open anomalies are.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agents.scorer.block import CAPACITY

# Raw score from which a series has moved. Of ordinary noise 17 to 31 % of the samples score 0.3,
# so that within a minute every series would have; 0.7 is reached by 0 to 0.5 % of them, which
# makes 1 or 2 % of the series in a minute to either side, sampled each 1, 15 or 60 s.
MOVED = 0.7
TOGETHER_S = 60.0  # a fault reaches what is near within a scrape or two
ALIVE_S = 600.0  # series silent for longer, of pods long gone, are no siblings any more

Ints = npt.NDArray[np.int64]
BY_PLACE = np.array([CAPACITY, 1])  # times a block's number and a row: a place


class Moved(NamedTuple):
    """Other series of the service, and how many of them moved."""

    siblings: int
    moved: int


class Siblings:
    """The series of one partition by service; a series is a block's number and a row in it."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}  # of services
        self.services: list[str] = []
        self.service_of = np.full(0, -1, np.int32)  # by place
        self._moved_at = np.full(0, -np.inf)
        self._seen_at = np.full(0, -np.inf)
        self._members: list[dict[int, None]] = []  # places in order, by service
        self._arrays: dict[int, Ints] = {}  # the same as arrays, where they were asked for

    def add(self, number: int, row: int, service: str) -> None:
        """A series that is known from now on."""
        place = number * CAPACITY + row
        if place >= len(self.service_of):
            self._grow(number + 1)
        code = self.codes.setdefault(service, len(self.codes))
        if code == len(self._members):
            self._members.append({})
            self.services.append(service)
        self.forget(number, row)
        self.service_of[place] = code
        self._members[code][place] = None
        self._arrays.pop(code, None)

    def knows(self, place: int) -> bool:
        """Whether there is a series at that place."""
        return place < len(self.service_of) and self.service_of[place] >= 0

    def forget(self, number: int, row: int) -> None:
        """A series that has left its row; nothing for a row that had none."""
        place = number * CAPACITY + row
        code = int(self.service_of[place]) if place < len(self.service_of) else -1
        if code >= 0:
            del self._members[code][place]
            self._arrays.pop(code, None)
            self.service_of[place] = -1
            self._moved_at[place] = self._seen_at[place] = -np.inf

    def learn(
        self, places: Ints, at: npt.NDArray[np.float64], raw: npt.NDArray[np.float64]
    ) -> None:
        """What of a block has been scored: places, times (epoch s), scores before rest and bar."""
        self._seen_at[places] = at  # of one row's samples the last stays
        moved = raw >= MOVED
        if moved.any():
            self._moved_at[places[moved]] = at[moved]

    def count(
        self, service: str, at: float, series: tuple[int, int], open_rows: npt.ArrayLike
    ) -> Moved:
        """The siblings of a series at a time; `open_rows` [n, 2] have open anomalies."""
        code = self.codes.get(service)
        if code is None:
            return Moved(0, 0)
        places = self.members(code)
        others = places[places != series[0] * CAPACITY + series[1]]
        alive = others[self._seen_at[others] >= at - ALIVE_S]
        moved = np.abs(self._moved_at[alive] - at) <= TOGETHER_S
        opened = np.asarray(open_rows, np.int64).reshape(-1, 2) @ BY_PLACE
        if len(opened):
            is_open = np.zeros(len(self._seen_at), np.bool_)
            is_open[opened[opened < len(is_open)]] = True
            moved |= is_open[alive]
        return Moved(len(alive), int(np.count_nonzero(moved)))

    def size(self, service: str) -> int:
        """How many series of a service were heard since the partition is here."""
        code = self.codes.get(service)
        return 0 if code is None else len(self._members[code])

    def members(self, code: int) -> Ints:
        """The places of a service's series, in the order in which they came."""
        found = self._arrays.get(code)
        if found is None:
            found = self._arrays[code] = np.array(list(self._members[code]), np.int64)
        return found

    def _grow(self, blocks: int) -> None:
        more = max(blocks * CAPACITY, 2 * len(self.service_of)) - len(self.service_of)
        self.service_of = np.append(self.service_of, np.full(more, -1, np.int32))
        self._moved_at = np.append(self._moved_at, np.full(more, -np.inf))
        self._seen_at = np.append(self._seen_at, np.full(more, -np.inf))
