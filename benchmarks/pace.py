"""A paced producer, in a process of its own: `python -m benchmarks.pace BROKERS TOPIC PLAN`.

PLAN is JSON: services, series of each, jumps a second, and phases of name, events a second and
seconds. Series take turns. In phases after the first one, a few events a second are far above
their series: of these anomalies must come. Prints a line of JSON a phase, and sums by which
whoever counts what came out can tell that nothing is lost and nothing is there twice.
"""

import json
import sys
import time
from typing import NamedTuple

import numpy as np

from benchmarks.load import Fleet, producer, send
from streams.connection import KafkaSettings

TICK_S = 0.01  # events are written a hundred times a second
POOL = 65_537  # values drawn beforehand; no multiple of any number of series
JUMP = 9000.0
MARK_AT, MARK_VALUE = 1_234_567_890_123, -1.0


class Plan(NamedTuple):
    """What to write."""

    services: int
    series: int
    jumps: float  # a second
    phases: tuple[tuple[str, int, float], ...]  # name, events a second, seconds


class Sums(NamedTuple):
    """What is written so far; `value` in thousandths, which are whole."""

    events: int = 0
    at: int = 0
    value: int = 0
    jumps: int = 0


class Pace:
    """The producer on its way through its plan."""

    def __init__(self, kafka: KafkaSettings, topic: str, plan: Plan) -> None:
        fleet = Fleet(plan.services, plan.series)
        self._plan, self._topic, self._sender = plan, topic, producer(kafka)
        self._parts, self._keys = [], []
        for service, one in fleet.all():
            event = fleet.event(service, one, MARK_AT, MARK_VALUE)
            before, _, rest = event.partition(b"%d" % MARK_AT)
            between, _, behind = rest.partition(b"%.3f" % MARK_VALUE)
            self._parts.append((before, between, behind))
            self._keys.append(f"service-{service:03d}".encode())
        drawn = np.round(np.random.default_rng(2).normal(200.0, 12.0, POOL), 3)
        self._values = [(b"%.3f" % value, round(value * 1000)) for value in drawn.tolist()]
        self._jumped = bytearray(len(self._parts))
        self._next_jump = 0.0
        self.sums = Sums()

    def phase(self, rate: int, seconds: float, *, jumps: bool) -> None:
        """Write at `rate` events a second; late ticks are made up for."""
        total, done = round(rate * seconds), 0
        began = self._next_jump = time.perf_counter()
        while done < total:
            now = time.perf_counter()
            due = min(round((now - began) * rate), total)
            self._write(due - done, now if jumps else -1.0)
            done = due
            self._sender.poll(0)
            time.sleep(max(0.0, TICK_S - (time.perf_counter() - now)))

    def finish(self) -> None:
        """Return when all is in Kafka. Raises RuntimeError for what is not."""
        if left := self._sender.flush(60.0):
            raise RuntimeError(f"{left} events could not be written in a minute")

    def _write(self, count: int, now: float) -> None:
        events, at_sum, value_sum, jumps = self.sums
        at, size = time.time_ns() // 1_000_000, len(self._parts)
        for number in range(events, events + count):
            which = number % size
            value, whole = self._values[number % POOL]
            if 0 <= self._next_jump <= now and not self._jumped[which]:
                value, whole = b"%.3f" % JUMP, round(JUMP * 1000)
                self._jump(which)
                jumps += 1
            before, between, behind = self._parts[which]
            event = b"%b%d%b%b%b" % (before, at, between, value, behind)
            send(self._sender, self._topic, event, self._keys[which])
            value_sum += whole
        self.sums = Sums(events + count, at_sum + at * count, value_sum, jumps)

    def _jump(self, which: int) -> None:
        """Each series has its turn before one jumps again."""
        self._next_jump += 1 / self._plan.jumps
        self._jumped[which] = 1
        if all(self._jumped):
            self._jumped = bytearray(len(self._jumped))


def main(brokers: str, topic: str, given: str) -> None:
    """Write all phases."""
    plan = Plan(**json.loads(given))
    pace = Pace(KafkaSettings(brokers=brokers), topic, plan)
    for number, (name, rate, seconds) in enumerate(plan.phases):
        began = time.time()
        pace.phase(rate, seconds, jumps=number > 0)
        if number == len(plan.phases) - 1:
            pace.finish()
        told = {"phase": name, "began": began, "ended": time.time(), **pace.sums._asdict()}
        # Not orjson, which has no numbers beyond 64 bits: a sum of times is soon there
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
