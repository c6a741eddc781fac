"""Which series of a backtest get a picture.

A picture costs a third of a second. So by default the most interesting ones have one, and only
what these need is kept in memory.
"""

import heapq
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from streams.backtest.labels import bare
from streams.backtest.picture import draw
from streams.backtest.series import Series

SOME = 50  # pictures that are drawn when nobody asked for all
FOLDER = "pictures"


class Pictures(StrEnum):
    """How many pictures to draw."""

    some = "some"
    all = "all"
    none = "none"


class _Waiting(NamedTuple):
    """A series that may get a picture: the least interesting is the least of these."""

    interest: tuple[int, float, int]
    name: str
    number: int
    series: Series


class Album:
    """The pictures of a backtest."""

    def __init__(self, target: Path, pictures: Pictures, threshold: float | None) -> None:
        self._target, self._pictures, self._threshold = target, pictures, threshold
        self._waiting: list[_Waiting] = []
        self._taken = 0
        self._drawn: set[Path] = set()

    @property
    def traced(self) -> bool:
        """Whether series should keep what a picture needs."""
        return self._pictures is not Pictures.none

    def take(self, series: Series) -> None:
        """A series is complete: draw it, or keep it while it is among the most interesting."""
        self._taken += 1
        if self._pictures is Pictures.all:
            self._draw(series)
        elif self._pictures is Pictures.some:
            waiting = _Waiting(series.interest, series.name, self._taken, series)
            heapq.heappush(self._waiting, waiting)
            if len(self._waiting) > SOME:
                heapq.heappop(self._waiting).series.trace = None

    def finish(self, progress: Callable[[str, int, int], None]) -> None:
        """Draw what has waited."""
        for done, waiting in enumerate(sorted(self._waiting, reverse=True), 1):
            self._draw(waiting.series)
            progress(f"picture of {waiting.name}", done, len(self._waiting))
        self._waiting = []

    def _draw(self, series: Series) -> None:
        if series.trace is None:
            return
        path = self._place(series.output.as_posix())
        draw(
            self._target / path,
            series.name,
            series.trace,
            series.marks,
            series.spans,
            self._threshold,
        )
        series.picture, series.trace = path.as_posix(), None

    def _place(self, output: str) -> Path:
        """The name of a series without its ending, or with it where another has that name."""
        path = Path(FOLDER) / f"{bare(output)}.png"
        if path in self._drawn:
            path = Path(FOLDER) / f"{output}.png"
        self._drawn.add(path)
        return path
