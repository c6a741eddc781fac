"""Events a second from raw JSON on Kafka to scored, beside what bounds it and what people use.

In one run, on one broker, over the same records: (1) plain confluent-kafka consume + orjson,
which does nothing with them; (2) Sentinel's intake and detect, each a worker process; (3) a
Faust agent that takes one event a message and scores it with the same scorer; (4) Quix Streams
doing the same. (2) is measured to the anomaly that the last records must give; the others to
their last record.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from benchmarks.load import Fleet, fill
from benchmarks.workers import Workers, cpu_seconds, resident_mib
from schemas.avro import decode
from schemas.frames import read_samples
from schemas.topics import ANOMALIES, CATALOGUE, RAW_METRICS, SAMPLES
from streams import topics
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings

FLEET = Fleet(services=20, series=500)  # 10,000 series
LENGTH = 160  # samples a series: the scorer must be warm for the last ones to be alarms
PEER_EVENTS = 60_000  # one event a message is slow: fewer are enough for a rate
HERE = Path(__file__).parent


def run(
    say: Callable[[str], None], *, samples: int = LENGTH, fleet: Fleet = FLEET
) -> dict[str, Any]:
    """Every rate, in events a second, with CPU and memory of our processes."""
    events = samples * fleet.services * fleet.series
    with EmbeddedBroker() as broker:
        kafka = KafkaSettings(brokers=broker.bootstrap)
        topics.create(kafka, CATALOGUE)
        start_ms = int(time.time() * 1000) - samples * 10_000
        say(f"writing {events:,} events")
        written = fill(kafka, fleet, samples, start_ms)
        plain = consume_plain(kafka, events)
        say(f"plain consume + orjson: {plain:,.0f} events/s")
        results = {
            "events": events,
            "raw_bytes_an_event": written / events,
            "plain_consume_orjson_per_s": plain,
        }
        results |= sentinel(kafka, events, fleet.services)
        say(f"raw JSON to scored: {results['raw_json_events_per_s']:,.0f} events/s")
        for peer, name in (("faust_peer", "faust_per_event_per_s"), ("quix_peer", "quix_per_s")):
            results[name] = one_event_a_message(peer, kafka)
            say(f"{name}: {results[name]:,.0f}")
    return results


def consume_plain(kafka: KafkaSettings, events: int) -> float:
    """Events a second of a consumer that parses every record and forgets it."""
    consumer = Consumer(
        {
            **kafka.confluent(), "group.id": "plain", "auto.offset.reset": "earliest",
            "queued.min.messages": 10_000_000, "queued.max.messages.kbytes": 262_144, "fetch.queue.backoff.ms": 5,
        }
    )  # fmt: skip
    consumer.subscribe([kafka.topic(RAW_METRICS)])
    first = consumer.consume(1, timeout=30)
    if not first:
        raise RuntimeError("the plain consumer got nothing in 30 s")
    began, seen, loads = time.perf_counter(), 1, orjson.loads
    while seen < events:
        messages = consumer.consume(10_000, timeout=1.0)
        for message in messages:
            loads(message.value())
        seen += len(messages)
    took = time.perf_counter() - began
    consumer.close()
    return events / took


def sentinel(kafka: KafkaSettings, events: int, services: int) -> dict[str, Any]:
    """Intake and detect as workers, from the first frame to the last service's anomaly.

    Both by Kafka's record times. What was read before the first frame was written, one batch
    at most, is not counted.
    """
    watcher = Consumer(
        {
            **kafka.confluent(),
            "group.id": "watch",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
        }
    )
    watcher.subscribe([kafka.topic(ANOMALIES)])
    with Workers(kafka, {"detect": ["detect"]}) as before:
        before.wait_ready()
        with Workers(kafka, {"intake": ["intake"]}) as workers:
            workers.wait_ready()
            waiting, ended = services, 0
            while waiting:
                message = watcher.poll(120.0)
                if message is None:
                    raise RuntimeError(f"{waiting} services' anomalies did not come in 120 s")
                event: Any = decode(message.value(), dict(message.headers())["schema"].decode())
                if event.change == "opened" and event.value > 4000:
                    waiting, ended = waiting - 1, max(ended, message.timestamp()[1])
            took = (ended - first_frame_ms(kafka)) / 1000
            cpu = {name: cpu_seconds(pid) for name, pid in (before.pids | workers.pids).items()}
            memory = {name: resident_mib(pid) for name, pid in (before.pids | workers.pids).items()}
    watcher.close()
    return {
        "raw_json_events_per_s": (events - IntakeSettings().batch_records) / took,
        "cpu_us_an_event": {name: seconds / events * 1e6 for name, seconds in cpu.items()},
        "memory_mib": memory,
    }


def first_frame_ms(kafka: KafkaSettings) -> int:
    """When the first frame was written, epoch ms."""
    consumer = Consumer(
        {**kafka.confluent(), "group.id": "first", "isolation.level": "read_committed"}
    )
    topic = kafka.topic(SAMPLES)
    times = []
    for partition in range(SAMPLES.partitions):
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
        message = consumer.poll(10.0)
        while message is not None and not message.error():
            if len(read_samples(message.value())):  # else it is a pulse
                times.append(message.timestamp()[1])
                break
            message = consumer.poll(10.0)
    consumer.close()
    return int(min(times))


def one_event_a_message(peer: str, kafka: KafkaSettings) -> float:
    """Events a second of a peer that handles them one by one; it prints its rate."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / f"{peer}.py"), kafka.brokers, kafka.topic(RAW_METRICS), str(PEER_EVENTS)],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{peer}: {done.stderr.strip().splitlines()[-1:]}")
    return float(done.stdout.strip().splitlines()[-1])
