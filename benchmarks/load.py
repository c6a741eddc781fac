"""The load of the benches: JSON events as a shipper writes them, about 200 bytes each."""

import random
from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka import Producer

from schemas.topics import RAW_METRICS
from streams.connection import KafkaSettings

REGIONS = ("eu-central-1", "eu-west-1", "us-east-1")


class Fleet(NamedTuple):
    """How many services send how many series each."""

    services: int
    series: int

    def event(self, service: int, series: int, at_ms: int, value: float) -> bytes:
        """One event of a series, in the `json` format."""
        return (
            f'{{"service":"service-{service:03d}","metric":"request_latency_p95_ms","at":{at_ms},'
            f'"value":{value:.3f},"labels":{{"region":"{REGIONS[series % 3]}","instance":"10.0.{service}.{series}",'
            f'"endpoint":"/api/v1/resource/{series:04d}"}}}}'
        ).encode()

    def all(self) -> Iterator[tuple[int, int]]:
        """Every series, as service and number."""
        return (
            (service, series) for service in range(self.services) for series in range(self.series)
        )


def producer(kafka: KafkaSettings) -> Producer:
    """A producer that fills batches: the load must not be what is measured."""
    return Producer(
        {
            **kafka.confluent(),
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.num.messages": 20_000,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 512_000,
            "partitioner": "murmur2_random",
        }
    )


def fill(kafka: KafkaSettings, fleet: Fleet, samples: int, start_ms: int, *, seed: int = 1) -> int:
    """Write `samples` a series, ten seconds apart, the last three of one series a service far up.

    Returns the bytes written. Those last samples are what an anomaly must come of: with them
    everything before has been scored.
    """
    draw, sender, written = random.Random(seed), producer(kafka), 0
    topic = kafka.topic(RAW_METRICS)
    for n in range(samples):
        at = start_ms + n * 10_000
        for service, series in fleet.all():
            up = 5000.0 if series == fleet.series - 1 and n >= samples - 3 else 0.0
            event = fleet.event(service, series, at, draw.gauss(200.0, 12.0) + up)
            written += len(event)
            send(sender, topic, event, f"service-{service:03d}".encode())
    sender.flush()
    return written


def send(sender: Producer, topic: str, value: bytes, key: bytes) -> None:
    """Produce, waiting where the queue is full."""
    while True:
        try:
            sender.produce(topic, value, key)
        except BufferError:
            sender.poll(0.05)
        else:
            return
