"""Hours in small: a steady rate for minutes, then ten times of it, and nothing may be lost.

    python -m benchmarks endurance --rate 10000 --minutes 30
    python -m benchmarks endurance --rate 50000 --minutes 5 --burst 1

A producer in a process of its own (`benchmarks/pace.py`) writes JSON events to intake and
detect, each a worker, on one broker. First it warms the scorer, then it keeps the rate for
`--minutes`, then writes `--burst` times as much for half a minute, then the rate again for a
minute. Printed by the minute, and in results.json under `endurance_..._at_RATE`:

* latency from an event's production to its anomaly, at a plain consumer, one clock
* lag: raw records not yet committed by intake, frames not yet committed by detect (which
  commits a frame once every block of state that it changed is saved, so some seconds are usual)
* memory by process, and the slope of a straight line through the steady minutes, the first
  fifth of them left out, in which caches fill
* how long after the burst intake is again less than a second behind
* losses: at the end the frames are counted. Samples and dead letters must be as many as events
  were written, times and values of the samples must add up to what was written (nothing of the
  load is skipped), and detect must have committed its last frame. Exit status 1 if not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from benchmarks.pace import JUMP, Plan, Sums
from benchmarks.wires import everything
from benchmarks.workers import Workers, cpu_seconds, resident_mib
from schemas.avro import decode
from schemas.frames import read_samples
from schemas.topics import ANOMALIES, CATALOGUE, DEADLETTERS, RAW_METRICS, SAMPLES, Topic
from streams import topics
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings

WARM = 160  # samples a series before the first jump
JUMPS = 5.0  # a second
BURST_S, AFTER_S = 30.0, 60.0
DRAIN_S = 180.0  # for what is under way at the end
FILLING = 0.2  # of the steady time, in which caches may fill
TAIL = 500  # of a partition's last offsets, one surely is a record's
HERE = Path(__file__).parent


class Look(NamedTuple):
    """One second of the run."""

    at: float  # epoch s
    intake: int  # raw records behind
    detect: int  # frames behind
    memory: dict[str, float]  # MiB by process
    cpu: dict[str, float]  # s by process


@dataclass
class Seen:
    """What was observed, filled by threads until the end."""

    looks: list[Look] = field(default_factory=list)
    said: list[tuple[float, float]] = field(default_factory=list)  # received, latency in ms
    stop: threading.Event = field(default_factory=threading.Event)


class Phase(NamedTuple):
    """A phase as it was written."""

    began: float
    ended: float
    sums: Sums  # of all until its end


def run(
    say: Callable[[str], None], *, rate: int, minutes: float, burst: float, series: int
) -> dict[str, Any]:
    """The whole; see above."""
    plan = Plan(20, max(1, series // 20), JUMPS, _phases(rate, minutes, burst, series))
    seconds = sum(phase[2] for phase in plan.phases)
    say(
        f"{rate:,} events/s of {series:,} series for {minutes:g} min, {seconds / 60:.1f} min in all"
    )
    seen = Seen()
    with EmbeddedBroker() as broker:
        kafka = KafkaSettings(brokers=broker.bootstrap)
        topics.create(kafka, CATALOGUE)
        groups = {"detect": ["detect"], "intake": ["intake"]}
        with Workers(kafka, groups) as workers:
            workers.wait_ready()
            pids = {**workers.pids, "broker": next(iter(broker.pids.values()))}
            threads = [
                threading.Thread(target=_look, args=(kafka, pids, seen, say)),
                threading.Thread(target=_listen, args=(kafka, seen)),
            ]
            for thread in threads:
                thread.start()
            try:
                phases = _written(kafka, plan, workers, say)
                drained = _drained(kafka, workers, say)
            finally:
                seen.stop.set()
                for thread in threads:
                    thread.join()
        say("counting what came out")
        counted, letters = _counted(kafka)
    for line in by_minute(seen, phases):
        say(line)
    results = figures(seen, phases, burst)
    written = max(phases.values(), key=lambda phase: phase.ended).sums
    results["events"] = written.events
    results["lost"] = written.events - counted.events - letters
    results["dead_letters"] = letters
    results["sums_agree"] = bool(letters) or counted[:3] == written[:3]
    results["detect_reached_the_end"] = drained
    return {f"endurance_{name}_at_{rate // 1000}k": value for name, value in results.items()}


def _phases(
    rate: int, minutes: float, burst: float, series: int
) -> tuple[tuple[str, int, float], ...]:
    phases = [("warm", rate, WARM * series / rate), ("steady", rate, minutes * 60)]
    if burst > 1:
        phases += [("burst", int(rate * burst), BURST_S), ("after", rate, AFTER_S)]
    return tuple(phases)


# ---- while it runs


def _written(
    kafka: KafkaSettings, plan: Plan, workers: Workers, say: Callable[[str], None]
) -> dict[str, Phase]:
    """Start the producer and follow it to its end."""
    command = [sys.executable, "-m", "benchmarks.pace", kafka.brokers, kafka.topic(RAW_METRICS)]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*command, json.dumps(plan._asdict())],
            stdout=subprocess.PIPE, stderr=errors,
            env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        )  # fmt: skip
        try:
            phases = {}
            for line in process.stdout or ():
                told = json.loads(line)
                name, began, ended = (told.pop(key) for key in ("phase", "began", "ended"))
                phases[name] = Phase(began, ended, Sums(**told))
                say(f"  {name}: {told['events']:,} events after {ended - began:.0f} s")
                workers.check()
            if process.wait():
                errors.seek(0)
                raise RuntimeError(f"the producer ended: {errors.read().decode()[-2000:]}")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return phases


def _look(
    kafka: KafkaSettings, pids: Mapping[str, int], seen: Seen, say: Callable[[str], None]
) -> None:
    """Once a second: lags, memory and CPU; said once a minute."""
    lags = [_Lag(kafka, "intake", RAW_METRICS), _Lag(kafka, "detect", SAMPLES)]
    while not seen.stop.wait(1.0):
        intake, detect = (lag.now() for lag in lags)
        memory = {name: resident_mib(pid) for name, pid in pids.items()}
        cpu = {name: cpu_seconds(pid) for name, pid in pids.items()}
        seen.looks.append(Look(time.time(), intake, detect, memory, cpu))
        if len(seen.looks) % 60 == 0:
            used = ", ".join(f"{name} {mib:,.0f}" for name, mib in memory.items())
            late = sorted(ms for _, ms in seen.said[-100:])
            p50 = f"{late[len(late) // 2]:.0f}" if late else "no anomaly yet"
            say(f"  behind: intake {intake:,}, detect {detect:,}; MiB: {used}; p50 ms: {p50}")
    for lag in lags:
        lag.close()


class _Lag:
    """How far a group's commits are behind a topic's end."""

    def __init__(self, kafka: KafkaSettings, stage: str, topic: Topic) -> None:
        self._consumer = Consumer({**kafka.confluent(), "group.id": f"{kafka.prefix}{stage}"})
        self._places = [TopicPartition(kafka.topic(topic), p) for p in range(topic.partitions)]

    def now(self) -> int:
        """Records; those of transactions' ends among them, which nobody reads."""
        places = self._consumer.committed(self._places, timeout=10)
        ends = (self._consumer.get_watermark_offsets(place, timeout=10) for place in places)
        return sum(
            high - max(place.offset, 0) for place, (_, high) in zip(places, ends, strict=True)
        )

    def close(self) -> None:
        """Leave the brokers."""
        self._consumer.close()


def _listen(kafka: KafkaSettings, seen: Seen) -> None:
    """Note every jump's anomaly."""
    consumer = Consumer(
        {
            **kafka.confluent(), "group.id": "latency", "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 5,
        }
    )  # fmt: skip
    consumer.subscribe([kafka.topic(ANOMALIES)])
    while not seen.stop.is_set():
        message = consumer.poll(0.1)
        if message is None or message.error():
            continue
        received = time.time()
        event: Any = decode(message.value(), dict(message.headers())["schema"].decode())
        if event.change == "opened" and event.value == JUMP:
            seen.said.append((received, (received - event.since.timestamp()) * 1000))
    consumer.close()


def _drained(kafka: KafkaSettings, workers: Workers, say: Callable[[str], None]) -> bool:
    """Wait until both groups have committed all, or there is no patience left."""
    end = time.monotonic() + DRAIN_S
    for stage, topic in (("intake", RAW_METRICS), ("detect", SAMPLES)):
        last = _last(kafka, topic)  # once intake is at its end, detect's is known
        consumer = Consumer({**kafka.confluent(), "group.id": f"{kafka.prefix}{stage}"})
        places = [TopicPartition(kafka.topic(topic), p) for p in last]
        while behind := sum(
            place.offset <= last[place.partition]
            for place in consumer.committed(places, timeout=10)
        ):
            workers.check()
            if time.monotonic() > end:
                say(f"  {stage} is not at the end of {behind} partitions of {topic.name}")
                break
            time.sleep(0.5)
        consumer.close()
        if behind:
            return False
    return True


def _last(kafka: KafkaSettings, topic: Topic) -> dict[int, int]:
    """The offset of each partition's last record; behind it may be the ends of transactions."""
    name, found = kafka.topic(topic), dict[int, int]()
    for message in everything(kafka, topic, tail=TAIL):
        found[message.partition()] = message.offset()
    if not found:
        raise RuntimeError(f"nothing is in {name}")
    return found


# ---- afterwards


def _counted(kafka: KafkaSettings) -> tuple[Sums, int]:
    """What is in the frames, and how many dead letters there are."""
    events = at = value = 0
    for message in everything(kafka, SAMPLES):
        frame = read_samples(message.value())
        events += len(frame)
        at += int(frame.at.sum())
        value += int(np.rint(frame.value * 1000).sum())
    return Sums(events, at, value), sum(1 for _ in everything(kafka, DEADLETTERS))


def figures(seen: Seen, phases: Mapping[str, Phase], burst: float) -> dict[str, Any]:
    """What the run comes to. Raises RuntimeError when the anomalies are too few for a p99."""
    steady = phases["steady"]
    said = [ms for at, ms in seen.said if steady.began <= at - ms / 1000 <= steady.ended]
    jumps = steady.sums.jumps - phases["warm"].sums.jumps
    if len(said) < jumps / 2 or not said:
        raise RuntimeError(f"only {len(said)} of {jumps} jumps became anomalies")
    looks = [look for look in seen.looks if steady.began <= look.at <= steady.ended]
    p50, p99 = np.percentile(said, [50, 99])
    results: dict[str, Any] = {
        "minutes": (steady.ended - steady.began) / 60,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "jumps": jumps,
        "anomalies": len(said),
        "lag_records": _lags([look.intake for look in looks]),
        "lag_frames_uncommitted": _lags([look.detect for look in looks]),
        "memory_mib": looks[-1].memory,
        "memory_mib_a_minute": growth(looks),
        "cpu_cores": _cores(looks),
    }
    if burst > 1:
        results["burst"] = _burst(seen, phases)
    return results


def _lags(lags: Sequence[int]) -> dict[str, int]:
    """A lag that is bounded is not larger in the second half than in the first."""
    middle = len(lags) // 2
    return {
        "most in the first half": max(lags[:middle], default=0),
        "most in the second half": max(lags[middle:]),
        "at the end": lags[-1],
    }


def growth(looks: Sequence[Look]) -> dict[str, float]:
    """MiB a minute by process, of the straight line through all but the first fifth."""
    kept = looks[int(len(looks) * FILLING) :]
    minutes = np.array([look.at for look in kept]) / 60
    return {
        name: float(np.polyfit(minutes - minutes[0], [look.memory[name] for look in kept], 1)[0])
        for name in kept[0].memory
    }


def _cores(looks: Sequence[Look]) -> dict[str, float]:
    took = looks[-1].at - looks[0].at
    return {name: (spent - looks[0].cpu[name]) / took for name, spent in looks[-1].cpu.items()}


def _burst(seen: Seen, phases: Mapping[str, Phase]) -> dict[str, float]:
    """How far behind it fell, and how long after the burst it had caught up."""
    burst, after = phases["burst"], phases["after"]
    usual = after.sums.events - burst.sums.events
    second = usual / (after.ended - after.began)  # records of one
    looks = [look for look in seen.looks if look.at >= burst.began]
    behind = [look.at for look in looks if look.intake > second]
    said = [ms for at, ms in seen.said if burst.began <= at - ms / 1000 <= burst.ended]
    written = burst.sums.events - phases["steady"].sums.events
    return {
        "written_per_s": written / (burst.ended - burst.began),
        "lag_records_most": max(look.intake for look in looks),
        "caught_up_s": max(0.0, max(behind, default=0.0) - burst.ended),
        "p99_ms": float(np.percentile(said, 99)) if said else float("nan"),
    }


def by_minute(seen: Seen, phases: Mapping[str, Phase]) -> Iterator[str]:
    """The run as a table."""
    yield "min  phase   p50 ms p99 ms intake lag detect lag memory MiB"
    first, last = seen.looks[0].at, seen.looks[-1].at
    for minute in range(int((last - first) // 60) + 1):
        start, end = first + 60 * minute, first + 60 * (minute + 1)
        looks = [look for look in seen.looks if start <= look.at < end]
        said = [ms for at, ms in seen.said if start <= at < end]
        if not looks:
            continue
        phase = next((n for n, p in phases.items() if p.began <= looks[0].at <= p.ended), "")
        p50, p99 = np.percentile(said, [50, 99]) if said else (np.nan, np.nan)
        memory = ", ".join(f"{name[:6]} {mib:.0f}" for name, mib in looks[-1].memory.items())
        yield (
            f"{minute:>3}  {phase:<6}{p50:>8.0f}{p99:>7.0f}"
            f"{max(look.intake for look in looks):>11,}{max(look.detect for look in looks):>11,}"
            f" {memory}"
        )


def main(arguments: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """Run as the command line says; SystemExit for what it must not say."""
    parser = argparse.ArgumentParser("python -m benchmarks endurance", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--rate", type=int, default=10_000, help="events a second")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long it is kept")
    parser.add_argument("--burst", type=float, default=10.0, help="times the rate; 1: no burst")
    parser.add_argument("--series", type=int, default=10_000, help="of 20 services in all")
    given = parser.parse_args(arguments)
    if min(given.rate, given.minutes, given.burst) <= 0 or given.series < 20:
        parser.error("rate, minutes and burst must be above 0, series at least 20")
    return run(say, rate=given.rate, minutes=given.minutes, burst=given.burst, series=given.series)


def failed(results: Mapping[str, Any]) -> bool:
    """Whether something was lost, doubled or never finished."""

    def of(name: str) -> list[Any]:
        return [v for k, v in results.items() if k.startswith(f"endurance_{name}_at")]

    return any(of("lost")) or not all(of("sums_agree") + of("detect_reached_the_end"))
