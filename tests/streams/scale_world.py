"""Many series around a column shell: frames of thousands, workers that die, and what they knew."""

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Producer

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from agents.scorer.scorer import warm_up
from schemas.frames import Samples, canonical, write_samples
from schemas.topics import PARTITIONS, SAMPLES
from streams.columns import ColumnShell
from streams.connection import KafkaSettings
from tests.streams.column_world import made_shell
from tests.streams.framing_world import STAGE

T0 = 1_767_323_045  # epoch s
STEP_S = 30
FAR = 50  # the series whose number this divides leave their range


class Story(NamedTuple):
    """So many series of each partition; some are sampled at every tick, and go far up for a while.

    The others have their turn at every tenth tick.
    """

    series: int
    ticks: int
    up: range  # ticks

    def of(self, partition: int, first: int = 0, last: int | None = None) -> Iterator[Samples]:
        """A partition's frames, one a tick."""
        every = np.arange(self.series)
        names = [
            canonical(
                f"m{n % 10}", {"service": f"s{partition}-{n // 500}", "instance": f"i{n % 500}"}
            )
            for n in every.tolist()
        ]
        level = np.random.default_rng(partition).lognormal(3, 1, self.series)
        far = every % FAR == 0
        for tick in range(first, self.ticks if last is None else last):
            turn = np.flatnonzero(far | (every % 10 == tick % 10))
            draw = np.random.default_rng((partition, tick)).normal(1, 0.02, len(turn))
            up = np.where(far[turn] & (tick in self.up), 4.0, 1.0)
            at = np.full(len(turn), 1000 * (T0 + STEP_S * tick), np.int64)
            code = np.arange(len(turn), dtype=np.int32)
            yield Samples([names[n] for n in turn.tolist()], code, at, level[turn] * draw * up)

    def put(self, kafka: KafkaSettings, first: int = 0, last: int | None = None) -> None:
        """Write every partition's frames of these ticks, tick by tick."""
        producer = Producer({**kafka.confluent(), "queue.buffering.max.kbytes": 1_000_000})
        every = zip(*(self.of(p, first, last) for p in range(PARTITIONS)), strict=True)
        for frames in every:
            for partition, frame in enumerate(frames):
                producer.produce(kafka.topic(SAMPLES), write_samples(frame), partition=partition)
            producer.poll(0)
        assert producer.flush(60) == 0

    def undisturbed(self, detect: Detect) -> set[str]:
        """Feed it all in one go; the ids of what was said."""
        return {
            said.id
            for partition in range(PARTITIONS)
            for offset, frame in enumerate(self.of(partition))
            for said in detect.feed(frame, partition, offset)
            if said.change != "weak"  # what a restart may forget
        }


def digest(detect: Detect) -> dict[str, str]:
    """A hash of each block's bytes, by its number; blocks that are away are brought back."""
    return {
        f"{partition}/{number}": hashlib.sha256(
            detect.index(partition).in_memory(number).dump()
        ).hexdigest()
        for partition in range(PARTITIONS)
        for number in range(len(detect.blocks(partition)))
    }


class Timed(ColumnShell):
    """Notes when it got its partitions and when it had scored its first frames; dies when told."""

    die_after = 0  # frames
    output = Path()
    handled = 0
    assigned_at = assigned_cpu = scored_at = 0.0

    def watch(self) -> None:
        """From now on."""
        self.member.app.on_partitions_assigned.connect(self._got)

    async def _got(self, *_: Any, **__: Any) -> None:
        if not self.assigned_at:
            self.assigned_at, self.assigned_cpu = time.monotonic(), time.process_time()

    async def assigned(self, partitions: set[int]) -> None:
        """As the shell does it, timed."""
        begun = time.monotonic(), time.process_time()
        await super().assigned(partitions)
        self._say(
            recovered=begun[0] - self.assigned_at,
            recovered_cpu=begun[1] - self.assigned_cpu,
            load=time.monotonic() - begun[0],
            load_cpu=time.process_time() - begun[1],
            changelog=sum(map(len, self._table.data.data.values())),
        )

    async def handle(self, events: list[Any]) -> None:
        """As the shell does it, then perhaps the end."""
        await super().handle(events)
        if not self.scored_at:
            self.scored_at = time.monotonic()
            self._say(
                scored=self.scored_at - self.assigned_at,
                scored_cpu=time.process_time() - self.assigned_cpu,
            )
        before, self.handled = self.handled, self.handled + len(events)
        if before < self.die_after * 0.9 <= self.handled:
            for partition in range(PARTITIONS):
                for number in range(len(self.consumer.blocks(partition))):
                    await self._save(partition, number)
        if self.die_after and self.handled >= self.die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    def _say(self, **what: Any) -> None:
        with self.output.open("a") as file:
            file.write(json.dumps(what) + "\n")


class Fate(NamedTuple):
    """How long a worker lives: frames until it dies or leaves, 0 for neither."""

    dies: int = 0
    leaves: int = 0
    save_s: float = 10.0


def serve(kafka: KafkaSettings, story: Story, fate: Fate, output: str) -> None:
    """Learn until it dies or leaves, or all is learned: then say the digests and stop in order."""
    with Path(output + ".err").open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 2)

    async def live() -> None:
        warm_up()
        detect = Detect(DetectSettings(), {})
        shell = made_shell(Timed, STAGE, detect, kafka, fate.save_s)
        shell.output, shell.die_after = Path(output), fate.dies
        shell.watch()
        await shell.start()
        last = story.ticks - 1
        while not shell.failed.done():
            await asyncio.sleep(0.2)
            if fate.leaves and shell.handled >= fate.leaves:
                await shell.stop()
                return
            learned = [
                max((b.included for b in detect.blocks(p)), default=-1) for p in range(PARTITIONS)
            ]
            if min(learned) >= last:
                async with shell.member.lock:
                    shell._say(digest=digest(detect))
                await shell.stop()
                return
        shell.failed.result()

    sys.exit(asyncio.run(live()))
