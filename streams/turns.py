"""Turns: which of many places comes next, so that each has its turn within a time.

However the places differ: a partition with many series must not wait for one with few.
"""

import math
from collections.abc import Sequence

Place = tuple[int, int]


class Turns:
    """Who had a turn, and in which order."""

    def __init__(self, every_s: float) -> None:
        """Each place once in `every_s` seconds."""
        self._every_s = every_s
        self._count = 0
        self._last: dict[Place, int] = {}

    def next(self, places: Sequence[Place]) -> list[Place]:
        """Those of these places whose turn it is in this second; longest without one first."""
        share = math.ceil(len(places) / self._every_s)
        chosen = sorted(places, key=lambda place: self._last.get(place, 0))[:share]
        for place in chosen:
            self._count += 1
            self._last[place] = self._count
        return chosen

    def forget(self) -> None:
        """Begin anew: the places are others now."""
        self._last.clear()
