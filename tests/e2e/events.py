"""Raw metrics of shops that break and recover, as their exporters would have sent them.

The time is in the data: minutes of history are produced at once. A shop stays broken until
`repaired` says that its target was really changed, so an incident can end resolved only if the
fix was carried out. What was fed is known to the last request, so it can be counted afterwards.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import Producer

from schemas.topics import RAW_METRICS
from streams.connection import KafkaSettings

HISTORY_S = 200  # the scorer needs two minutes of samples before it says anything
REQUESTS = 12.0  # a second
BUCKET_S = 4  # of the shops' objectives
QUIET, FLOODED = 100.0, 500.0  # messages in the queue
HURRY_S = 40  # of a phase are fed fast, so that it is noticed soon; then as time goes by
FAST, STEADY = 8.0, 1.0  # seconds of data in a second
BEHIND_S = 210  # the first sample is this old; candidates of correlation are 300 s at most


class Counted(NamedTuple):
    """What one bucket of the objective must hold."""

    total: float
    bad: float


@dataclass
class Shop:
    """A shop and its queue: two services of one correlation group, one exporter."""

    name: str
    start: int  # epoch seconds, the first sample's, on a bucket's edge
    length: int = 0  # seconds that were fed
    broken: set[int] = field(default_factory=set)  # seconds in which every request failed
    phase: str = "history"
    since: int = 0  # second in which the phase began
    good: float = 0.0
    total: float = 0.0
    due: float = 0.0  # monotonic: when the next second is fed
    fed: bool = True

    @property
    def service(self) -> str:
        """The service that has the objective."""
        return f"{self.name}-shop"

    @property
    def queue(self) -> str:
        """The service that it depends on."""
        return f"{self.name}-queue"

    @property
    def group(self) -> str:
        """Their correlation group: the first in alphabetical order."""
        return self.queue

    def second(self) -> Iterator[tuple[str, bytes]]:
        """The next second's records, with their keys."""
        at = (self.start + self.length) * 1000
        failing = self.phase == "broken"
        self.total += REQUESTS
        if failing:
            self.broken.add(self.length)
        else:
            self.good += REQUESTS
        noise = self.length * 7919 % 11 - 5
        depth = (FLOODED if failing else QUIET) + noise
        self.length += 1
        for service, metric, value in (
            (self.queue, "queue_depth", depth),
            (self.service, "requests_total", self.total),
            (self.service, "requests_good_total", self.good),
        ):
            event = {"service": service, "metric": metric, "at": at, "value": value}
            yield service, json.dumps(event).encode()

    def counted(self) -> dict[int, Counted]:
        """By bucket's start, what an objective that missed nothing has counted.

        The first sample of a counter says nothing yet.
        """
        found: dict[int, Counted] = {}
        for second in range(1, self.length):
            at = self.start + second
            bucket = at - at % BUCKET_S
            total, bad = found.get(bucket, Counted(0.0, 0.0))
            lost = REQUESTS if second in self.broken else 0.0
            found[bucket] = Counted(total + REQUESTS, bad + lost)
        return found


class Feeder:
    """Feeds shops from a thread of its own; each record `copies` times."""

    def __init__(
        self, kafka: KafkaSettings, repaired: Callable[[str], bool], *, copies: int = 1
    ) -> None:
        self.shops: dict[str, Shop] = {}
        self._topic = kafka.topic(RAW_METRICS)
        self._repaired, self._copies = repaired, copies
        self._producer = Producer(kafka.confluent() | {"linger.ms": 2, "log_level": 2})
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(30)
        self._producer.flush(10)

    def open(self, name: str) -> Shop:
        """A shop with a healthy past, which breaks now."""
        start = int(time.time()) - BEHIND_S
        shop = Shop(name, start - start % BUCKET_S)
        for _ in range(HISTORY_S):
            self._feed(shop)
        shop.phase, shop.since = "broken", shop.length
        with self._lock:
            self.shops[name] = shop
        return shop

    def close(self) -> None:
        """Nothing more of any shop."""
        with self._lock:
            for shop in self.shops.values():
                shop.fed = False
        assert self._producer.flush(120) == 0

    def _run(self) -> None:
        while not self._stopping.wait(0.02):
            now = time.monotonic()
            with self._lock:
                for shop in self.shops.values():
                    if shop.fed and shop.due <= now:
                        self._advance(shop, now)
            self._producer.poll(0)

    def _advance(self, shop: Shop, now: float) -> None:
        if shop.phase == "broken" and self._repaired(shop.service):
            shop.phase, shop.since = "recovered", shop.length
        self._feed(shop)
        hurries = shop.length - shop.since < HURRY_S
        # What was held up is made up for: behind shops that open later, its series would be missing
        shop.due = (shop.due or now) + 1 / (FAST if hurries else STEADY)

    def _feed(self, shop: Shop) -> None:
        for key, value in shop.second():
            for _ in range(self._copies):
                self._producer.produce(self._topic, value, key=key)
