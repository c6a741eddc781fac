"""What every stage tells Prometheus: how much it handled and wrote, how long that took, its lag."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.topics import DEADLETTERS, Topic
from streams.connection import KafkaSettings

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
Place = tuple[str, int]  # topic, partition


class Reached(NamedTuple):
    """How far a partition was fetched. `next` has passed the marks that transactions leave."""

    last: int  # offset of the last message fetched, -1 when there was none
    next: int  # what is fetched next
    end: int  # of the partition, as its leader said last
    first: int = -1  # of the first message fetched since reading began, likewise


class StageMetrics:
    """The metrics of all stages of a process; `of` are those of one."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sentinel_stage_{name}", text, labels, registry=self.registry)

        self.messages = counter("messages", "Messages handled", "stage", "topic")
        self.written = counter("written", "Messages written", "stage", "topic")
        self.deadletters = counter("deadletters", "Dead letters written", "stage")
        self.handle_seconds = Histogram(
            "sentinel_stage_handle_seconds",
            "Time to handle a batch, waiting for Kafka and for what is away included",
            ("stage",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.lag = Gauge(
            "sentinel_stage_lag_messages",
            "Messages not yet handled, by partition",
            ("stage", "topic", "partition"),
            registry=self.registry,
        )

    def of(self, stage: str) -> "StageSignal":
        """Those of one stage; its counters begin at zero, so that nothing looks missing."""
        return StageSignal(stage, self)


class StageSignal:
    """Tells of one stage."""

    def __init__(self, stage: str, metrics: StageMetrics) -> None:
        self._stage, self._metrics = stage, metrics
        self._seconds = metrics.handle_seconds.labels(stage)
        self._deadletters = metrics.deadletters.labels(stage)
        self._told: set[Place] = set()
        self._next: dict[Place, int] = {}  # offset after the last message handled

    def handled(self, messages: Sequence[Any], seconds: float) -> None:
        """Count a batch that was handled to its end."""
        counts: dict[str, int] = {}
        for message in messages:
            counts[message.topic] = counts.get(message.topic, 0) + 1
            self._next[message.topic, message.partition] = message.offset + 1
        for topic, count in counts.items():
            self._metrics.messages.labels(self._stage, topic).inc(count)
        self._seconds.observe(seconds)

    def wrote(self, kafka: KafkaSettings, records: Iterable[tuple[Topic, Any, Any, Any]]) -> None:
        """Count records that Kafka has."""
        for topic, *_ in records:
            self._metrics.written.labels(self._stage, kafka.topic(topic)).inc()
            if topic is DEADLETTERS:
                self._deadletters.inc()

    def look(self, reached: Mapping[Place, Reached]) -> None:
        """Set the lag of each partition of ours, and of no others."""
        for place in self._told - reached.keys():
            self._metrics.lag.remove(self._stage, place[0], str(place[1]))
            self._next.pop(place, None)
        for place, to in reached.items():
            handled = self._next.get(place, to.first)
            held = 0 <= handled <= to.last  # fetched, and waiting for its turn
            behind = to.end - (handled if held else to.next)
            self._metrics.lag.labels(self._stage, place[0], str(place[1])).set(max(0, behind))
        self._told = set(reached)
