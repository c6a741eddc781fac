"""Latency from an event's production to its anomaly, at a steady rate.

A paced producer writes events with their time of production. Once the scorer is warm, one
series after another jumps; the anomaly carries the time of the event that opened it, so the
latency of each is read off directly, with one clock, when a plain consumer receives it.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from confluent_kafka import Consumer

from benchmarks.load import Fleet, producer, send
from benchmarks.workers import Workers
from schemas.avro import decode
from schemas.topics import ANOMALIES, CATALOGUE, RAW_METRICS
from streams import topics
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings

FLEET = Fleet(services=20, series=100)  # 2,000 series
WARM = 320  # samples a series before the first jump: with fewer, one sample far out is doubted
TICK_S = 0.01  # events are written a hundred times a second


def run(say: Callable[[str], None], *, rate: int = 10_000, seconds: float = 20.0) -> dict[str, Any]:
    """p50 and p99 in ms at `rate` events a second, over `seconds` after warming up."""
    with EmbeddedBroker() as broker:
        kafka = KafkaSettings(brokers=broker.bootstrap)
        topics.create(kafka, CATALOGUE)
        with Workers(kafka, {"intake": ["intake"], "detect": ["detect"]}) as workers:
            workers.wait_ready()
            say(f"{rate:,} events/s for {seconds:g} s after warming up")
            latencies, sent, took, jumped = _measured(kafka, rate, seconds)
    if len(latencies) < jumped / 2:
        raise RuntimeError(f"only {len(latencies)} of {jumped} jumps became anomalies")
    p50, p99 = np.percentile(latencies, [50, 99])
    return {
        f"p50_ms_at_{rate // 1000}k": float(p50),
        f"p99_ms_at_{rate // 1000}k": float(p99),
        f"sustained_per_s_at_{rate // 1000}k": sent / took,
        f"anomalies_at_{rate // 1000}k": len(latencies),
    }


def _measured(
    kafka: KafkaSettings, rate: int, seconds: float
) -> tuple[list[float], int, float, int]:
    latencies: list[float] = []
    stop = threading.Event()
    watching = threading.Thread(target=_watch, args=(kafka, latencies, stop))
    watching.start()
    try:
        sent, took, jumped = _paced(kafka, rate, seconds)
        time.sleep(3.0)  # what is still under way
    finally:
        stop.set()
        watching.join()
    return latencies, sent, took, jumped


def _paced(kafka: KafkaSettings, rate: int, seconds: float) -> tuple[int, float, int]:
    """Write at `rate`; returns events, seconds and jumps."""
    draw, sender, topic = random.Random(2), producer(kafka), kafka.topic(RAW_METRICS)
    series = list(FLEET.all())
    warm_events = WARM * len(series)
    total = warm_events + int(rate * seconds)
    began = time.perf_counter()
    number = jumped = 0
    while number < total:
        due = min(int((time.perf_counter() - began) * rate), total)
        at = int(time.time() * 1000)
        for n in range(number, due):
            service, one = series[n % len(series)]
            lap = n // len(series)
            up = n >= warm_events and (one + 7 * service) % 50 == lap % 50 and one % 2 == 0
            jumped += up
            event = FLEET.event(service, one, at, draw.gauss(200.0, 12.0) + (9000.0 if up else 0.0))
            send(sender, topic, event, f"service-{service:03d}".encode())
        number = due
        sender.poll(0)
        time.sleep(TICK_S)
    sender.flush()
    return total, time.perf_counter() - began, jumped


def _watch(kafka: KafkaSettings, latencies: list[float], stop: threading.Event) -> None:
    consumer = Consumer(
        {
            **kafka.confluent(),
            "group.id": "latency",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 5,
        }
    )
    consumer.subscribe([kafka.topic(ANOMALIES)])
    while not stop.is_set():
        message = consumer.poll(0.1)
        if message is None or message.error():
            continue
        received = time.time()
        event: Any = decode(message.value(), dict(message.headers())["schema"].decode())
        if event.change == "opened" and event.value > 5000:
            latencies.append((received - event.since.timestamp()) * 1000)
    consumer.close()
