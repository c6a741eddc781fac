"""Pulses: of a moment, that all there was to read by then has become frames.

Frames tell what came, and nothing of what did not: when the only service of a partition dies,
nobody who reads its frames can tell that from an intake that stands still. So one worker of the
group, the one that has the first raw partition, asks every few seconds where all raw partitions
end; once the group has committed that far, whoever of it read them, it writes to each partition
of the frames an empty one with the moment at which it asked. An intake that lags sends late, and
one that stands still sends nothing.

A pulse is true whoever writes it and whenever: what is committed stays so, and the frames that
belong to it are in their partitions already. A worker that has lost its partitions, and does
not know yet, does no harm with one.

Kafka is asked in a thread of its own, because the answer may take its time.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException

from streams.connection import KafkaSettings
from streams.intake.extent import Extent
from streams.intake.lanes import Place

log = logging.getLogger(__name__)

AGAIN_S = 0.1  # between two looks at what is committed
MARKS = 20  # looks, after which what is left may be no records
SAY_EVERY_S = 60.0  # that there is no answer; those who read and write say so, too


class Pulse:
    """Finds out, every `every_s`, as of when all is read; `take` gives what was `found`.

    `topics` are the raw ones and `group` whoever reads them, both as Kafka has them; `clock` gives
    epoch ms. `holds` tells, to another thread, whether a partition is ours. 0 for `every_s` is
    never.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        group: str,
        topics: Collection[str],
        every_s: float,
        clock: Callable[[], int],
        holds: Callable[[Place], bool],
    ) -> None:
        self._kafka, self._group, self._topics = kafka, group, list(topics)
        self._every_s, self._clock, self._holds = every_s, clock, holds
        self._found: int | None = None
        self._over = threading.Event()
        self._said = -SAY_EVERY_S

    def __enter__(self) -> Self:
        if self._every_s:
            threading.Thread(target=self._run, name="pulse", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()

    @property
    def found(self) -> bool:
        """Whether there is something to take; until that is done nothing else is looked for."""
        return self._found is not None

    def take(self) -> int | None:
        """As of when (epoch ms) all is read, if that was found out since it was asked last."""
        found, self._found = self._found, None
        return found

    # ---- in its thread

    def _run(self) -> None:
        with closing(Extent(self._kafka, self._group)) as kafka:
            self._look_again(kafka)

    def _look_again(self, kafka: Extent) -> None:
        due = time.monotonic() + self._every_s
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due = time.monotonic() + self._every_s
            try:
                self.look(kafka)
            except (KafkaException, TimeoutError) as error:
                self._say(error)
            while self.found and not self._over.wait(AGAIN_S / 2):
                pass  # it is written with the next batch

    def look(self, kafka: Extent) -> None:
        """One round: until all that is there now is read, or it is not ours to tell any more."""
        as_of, looks = self._clock(), 0
        places = kafka.partitions(self._topics)
        if not places or not self._holds(places[0]):
            return
        left = kafka.ends(places)
        while left := unread(left, committed := kafka.committed(left)):
            looks += 1
            if looks == MARKS and not (left := unread(left, kafka.passed(left, committed))):
                break
            if self._over.wait(AGAIN_S) or not self._holds(places[0]):
                return
        self._found = as_of

    def _say(self, error: Exception) -> None:
        if time.monotonic() - self._said > SAY_EVERY_S:
            self._said = time.monotonic()
            log.warning("no pulse, so silence is not told: Kafka does not say how far: %s", error)


def unread(ends: Mapping[Place, int], committed: Mapping[Place, int]) -> dict[Place, int]:
    """Where those end that have records which the group has not committed.

    >>> unread({("a", 0): 7, ("a", 1): 3}, {("a", 0): 7, ("a", 1): 2})
    {('a', 1): 3}
    """
    return {place: end for place, end in ends.items() if committed.get(place, -1) < end}
