"""How many series a worker holds, and that its limit is reached: metrics, one line a minute.

Memory is given back here too: what blocks leave that were put away, the allocator keeps for
later, among the names, unless it is told.
"""

import ctypes
import logging
from typing import Protocol, runtime_checkable

from prometheus_client import CollectorRegistry, Counter, Gauge

log = logging.getLogger(__name__)
SAY_EVERY_S = 60.0


@runtime_checkable
class Limited(Protocol):
    """A consumer of frames with so many series and no more."""

    max_series: int
    series: int
    away: int  # series of blocks that are out of memory
    left_out: int  # samples of series beyond the limit, since the start


class SeriesSignal:
    """Tells of one consumer; to be looked at about once a second."""

    def __init__(self, stage: str, consumer: Limited, registry: CollectorRegistry) -> None:
        self._stage, self._consumer = stage, consumer
        name = f"sentinel_{stage}"
        self._series = Gauge(f"{name}_series", "Series that this worker holds", registry=registry)
        self._away = Gauge(f"{name}_series_away", "Of these, out of memory", registry=registry)
        Gauge(f"{name}_series_limit", "Series that it may hold", registry=registry).set(
            consumer.max_series
        )
        self._left_out = Counter(
            f"{name}_left_out", "Samples of series beyond the limit", registry=registry
        )
        self._counted = self._said = self._was_away = 0
        self._next = 0.0

    def look(self, now: float) -> None:
        """Set the metrics, and say what there is to say; `now` is monotonic, s."""
        consumer = self._consumer
        away, left_out = consumer.away, consumer.left_out
        self._series.set(consumer.series)
        self._away.set(away)
        self._left_out.inc(left_out - self._counted)
        self._counted = left_out
        if away > self._was_away:
            give_back()
        self._was_away = away
        if left_out > self._said and now >= self._next:
            log.warning(
                "%s: %d samples were left out: this worker holds %d series and may hold %d;"
                " raise %s.max_series, exclude some, or start another worker",
                self._stage, left_out - self._said, consumer.series, consumer.max_series,
                self._stage,
            )  # fmt: skip
            self._said, self._next = left_out, now + SAY_EVERY_S


def give_back() -> None:
    """Free memory back to the system, where the C library knows how."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc; others give it back unasked
    if trim is not None:
        trim(0)
