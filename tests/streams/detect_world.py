"""Detect in processes of its own, what it reads, and what it must have said and kept.

What it must have said is told by a detector that reads the committed frames one after the
other, undisturbed, in the test's process.
"""

import asyncio
import itertools
import multiprocessing
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.avro import HEADER, decode
from schemas.errors import Rejected, SentinelError
from schemas.frames import Samples, canonical, read_samples, write_samples
from schemas.topics import ANOMALIES, BARS, DEADLETTERS, PARTITIONS, SAMPLES
from streams import worker
from streams.columns import ColumnShell
from streams.connection import KafkaSettings
from streams.pipeline import BY_NAME
from streams.settings import Settings
from streams.topics import create
from tests.streams.column_world import made_shell
from tests.streams.counting import Witness, eventually, in_order
from tests.streams.kafka_world import committed, records, until

STAGE = BY_NAME["detect"]
T0 = 1_767_323_045_000  # ms
STEP_MS = 30_000
SERIES = 5  # of a partition's one service
EVERY, UP = 100, range(60, 66)  # one of them leaves its range so often, for so many ticks
SAVE_S = 3.0  # so that lives of a few seconds save, too
PRELOADED = [__name__, "agents.detect", "numba", "faust"]


def settings_of(kafka: KafkaSettings) -> Settings:
    """The worker's, and the undisturbed detector's."""
    return Settings(kafka=kafka, detect=DetectSettings(save_s=SAVE_S))


def made(bootstrap: str, prefix: str) -> KafkaSettings:
    """Settings with names of their own, and the topics made."""
    kafka = KafkaSettings(brokers=bootstrap, prefix=f"{prefix}-", topic_prefix=f"{prefix}-")
    create(kafka, (SAMPLES, ANOMALIES, BARS, DEADLETTERS))
    return kafka


# ---- what it reads


def frame(partition: int, tick: int, noise: Any) -> Samples:
    """One sample of each of the partition's series."""
    names = [canonical(f"m{n}", {"service": f"s{partition}"}) for n in range(SERIES)]
    value = 100 + 3 * noise
    if tick % EVERY in UP:
        value[(tick // EVERY) % SERIES] += 80
    at = np.full(SERIES, T0 + STEP_MS * tick, np.int64)
    return Samples(names, np.arange(SERIES, dtype=np.int32), at, value)


def course(partition: int) -> Iterator[bytes]:
    """A partition's frames, on and on."""
    draw = np.random.default_rng(partition)
    for tick in itertools.count():
        yield write_samples(frame(partition, tick, draw.standard_normal(SERIES)))


class Course:
    """Writes each partition's frames, in order."""

    def __init__(self, kafka: KafkaSettings, partitions: int = PARTITIONS) -> None:
        self._topic = kafka.topic(SAMPLES)
        self._frames = [course(partition) for partition in range(partitions)]
        self._producer = Producer(
            kafka.confluent()
            | {"enable.idempotence": True, "queue.buffering.max.messages": 1_000_000}
        )
        self.written = 0

    def put(self, frames: int) -> None:
        """So many more of each partition."""
        for _ in range(frames):
            for partition, values in enumerate(self._frames):
                self._producer.produce(self._topic, next(values), partition=partition)
                self.written += 1
            self._producer.poll(0)
        assert self._producer.flush(120) == 0


# ---- who reads it


def serve(kafka: KafkaSettings, ready: str, output: str) -> None:
    """The program's own worker, until SIGTERM; one line and exit status 1 when it fails."""
    with Path(output).open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    made = worker.run(
        [STAGE],
        settings_of(kafka),
        clock=False,
        ready=Path(ready).touch,
        registry=CollectorRegistry(),
    )
    try:
        asyncio.run(made)
    except SentinelError as error:
        sys.exit(str(error))


class Life:
    """A worker in a process of its own, from its start to its end."""

    def __init__(self, kafka: KafkaSettings, folder: Path) -> None:
        name = secrets.token_hex(4)
        self._ready, self._output = folder / f"{name}.ready", folder / f"{name}.out"
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        arguments = (kafka, str(self._ready), str(self._output))
        self._process = context.Process(target=serve, args=arguments, daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.is_alive():
            self.send(signal.SIGCONT)
            self._process.kill()
        self._process.join()

    def joins(self, seconds: float = 120.0) -> Self:
        """Wait until it has partitions."""
        until(lambda: self._ready.exists() or not self.running, seconds)
        assert self.running, self.told()
        return self

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.is_alive()

    @property
    def peak_mib(self) -> float:
        """The most memory it ever had."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

    def send(self, number: signal.Signals) -> None:
        """Signal it."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def dies(self) -> None:
        """SIGKILL."""
        assert self.running, self.told()
        self._process.kill()
        self._process.join()

    def ends(self, seconds: float = 60.0) -> None:
        """Stop it in order; one that was told to before it could hear is ended by the signal."""
        self._process.terminate()
        self._process.join(seconds)
        fine = {0} if self._ready.exists() else {0, -signal.SIGTERM}
        assert self._process.exitcode in fine, (self._process.exitcode, self.told())

    def told(self) -> str:
        """What it wrote last."""
        return self._output.read_text()[-3000:] if self._output.exists() else ""


# ---- what it said and kept


def caught_up(kafka: KafkaSettings, *lives: Life) -> Callable[[], bool]:
    """Whether all that is there now is learned, saved and acknowledged, as a question.

    Asked while these live: one that has ended by itself will not do it.
    """
    last = [0] * PARTITIONS
    for message in records(kafka, SAMPLES):
        last[message.partition()] = message.offset() + 1

    def asked() -> bool:
        assert all(life.running for life in lives), [life.told() for life in lives]
        return all(
            at >= end for at, end in zip(committed(kafka, STAGE.name, SAMPLES), last, strict=True)
        )

    return asked


def tick(witness: Witness) -> int:
    """How far the anomalies have come: the tick of the newest."""
    at = max((event.at.timestamp() for event in witness.events()), default=T0 / 1000)
    return round((at * 1000 - T0) / STEP_MS)


class Undisturbed(NamedTuple):
    """What a detector knows and says that has read the committed frames in one go."""

    detect: Detect
    said: list[Any]  # but weak evidence, which a restart may forget
    frames: int
    refused: dict[tuple[int, int], bytes]  # what is no frame, by partition and offset


def undisturbed(kafka: KafkaSettings) -> Undisturbed:
    """A detector that has read what is on the topic."""
    detect = STAGE.make(settings_of(kafka))
    assert isinstance(detect, Detect)
    result = Undisturbed(detect, [], 0, {})
    frames = 0
    for message in records(kafka, SAMPLES):
        place = message.partition(), message.offset()
        try:
            read = read_samples(message.value() or b"")
        except Rejected:
            result.refused[place] = message.value() or b""
        else:
            frames += 1
            result.said.extend(e for e in detect.feed(read, *place) if strong(e))
    return result._replace(frames=frames)


def strong(event: Any) -> bool:
    """Whether it is more than weak evidence."""
    return bool(event.change != "weak")


def told(kafka: KafkaSettings) -> list[Any]:
    """The anomalies on the topic, a partition after the other."""
    read = records(kafka, ANOMALIES)
    events = [decode(m.value(), dict(m.headers())[HEADER].decode()) for m in read]
    return list(filter(strong, events))


def in_order_of(events: Iterable[Any]) -> dict[str, list[tuple[Any, ...]]]:
    """What was said of each group, in order; of what was said again the first time only."""
    result: dict[str, dict[str, tuple[Any, ...]]] = {}
    for e in events:
        said = (e.id, e.change, e.at, e.series, e.kind, e.severity, e.score, e.raw, e.value, e.low)
        first = result.setdefault(e.group, {}).setdefault(e.id, said)
        assert first == said, "one id, two stories"
    return {group: list(said.values()) for group, said in result.items()}


def require_undisturbed(kafka: KafkaSettings) -> Undisturbed:
    """The anomalies, their order and the state in the changelog are an undisturbed worker's."""
    whole, events = undisturbed(kafka), told(kafka)
    assert in_order_of(events) == in_order_of(whole.said)
    again = len(events) - len({event.id for event in events})
    kept = Detect(settings_of(kafka).detect, {})
    wanted = state(whole.detect)

    async def scene() -> None:
        shell = made_shell(ColumnShell, STAGE, kept, kafka)
        async with in_order(shell):
            await eventually(lambda: state(kept) == wanted, 120)

    asyncio.run(scene())
    print(  # noqa: T201 - the figures that are promised
        f"frames {whole.frames}, anomalies {len(whole.said)}, missing 0, unknown 0,"
        f" told again under the same id {again}, blocks bitwise equal {len(wanted)}"
    )
    return whole


def state(detect: Detect) -> list[bytes]:
    """Every block's bytes."""
    return [block.dump() for p in range(PARTITIONS) for block in detect.blocks(p)]
