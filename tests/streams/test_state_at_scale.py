"""Many series: a worker is killed, or joined and left, and nothing of it is to be seen."""

import asyncio
import json
import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.topics import ANOMALIES, PARTITIONS
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from tests.streams.counting import Witness, eventually
from tests.streams.framing_world import made, strong
from tests.streams.scale_world import Fate, Story, digest, serve

pytestmark = pytest.mark.broker
SHORT = Story(series=500, ticks=110, up=range(100, 106))
LONG = Story(series=25_000, ticks=110, up=range(100, 106))
WITHIN_S = 5.0  # of its own CPU time: the wall's depends on who else is there
STORIES = [
    pytest.param(SHORT, id="2,000 series"),
    pytest.param(LONG, id="100,000 series", marks=pytest.mark.faults),
]


@pytest.fixture
def kafka(broker: EmbeddedBroker, topic_prefix: str) -> KafkaSettings:
    return made(broker.bootstrap, topic_prefix)


@pytest.fixture
def witness(kafka: KafkaSettings) -> Iterator[Witness]:
    with Witness(kafka, ANOMALIES) as reading:
        yield reading


class Worker:
    """A worker in a process of its own, and what it wrote."""

    def __init__(self, kafka: KafkaSettings, story: Story, output: Path, fate: Fate) -> None:
        context = multiprocessing.get_context("forkserver")
        self.output = output
        arguments = (kafka, story, fate, str(output))
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        self.process.start()

    def ends(self, seconds: float) -> int:
        """Its exit status, negative for a signal, once it has ended."""
        self.process.join(seconds)
        ended = self.process.exitcode
        if ended is None:
            self.process.kill()
        assert ended is not None, self.told()
        return ended

    def told(self) -> str:
        """What it wrote as errors."""
        return Path(f"{self.output}.err").read_text()

    def said(self) -> dict[str, Any]:
        """What it measured."""
        said: dict[str, Any] = {}
        for line in self.output.read_text().splitlines():
            said |= json.loads(line)
        return said


@pytest.mark.parametrize("story", STORIES)
def test_after_a_kill_the_state_is_bitwise_the_same_and_it_scores_soon(
    kafka: KafkaSettings, witness: Witness, tmp_path: Path, story: Story
) -> None:
    """SIGKILL among the anomalies, some time after every block was saved."""
    whole = Detect(DetectSettings(), {})
    ids = story.undisturbed(whole)
    story.put(kafka)
    frames = PARTITIONS * story.ticks
    fate = Fate(dies=frames * 104 // 110, save_s=1000.0)
    first = Worker(kafka, story, tmp_path / "first", fate)
    assert first.ends(300) == -signal.SIGKILL, first.told()
    second = Worker(kafka, story, tmp_path / "second", Fate())
    assert second.ends(300) == 0, second.told()
    said = second.said()
    print({name: value for name, value in said.items() if name != "digest"})  # noqa: T201 - the figure that is promised
    assert said["digest"] == digest(whole)
    assert strong(witness) == ids
    assert len(ids) > story.series // 100
    assert said["scored_cpu"] <= WITHIN_S


@pytest.mark.faults
def test_workers_join_and_leave_under_load_and_say_what_one_would_have_said(
    kafka: KafkaSettings, witness: Witness, tmp_path: Path
) -> None:
    """100,000 series; the second comes when half is read, and goes before the end.

    The short form of this is in test_columns_shell.py.
    """
    whole = Detect(DetectSettings(), {})
    ids = LONG.undisturbed(whole)
    LONG.put(kafka, 0, 60)
    first = Worker(kafka, LONG, tmp_path / "first", Fate())
    second = Worker(kafka, LONG, tmp_path / "second", Fate(leaves=60))
    asyncio.run(eventually(second.output.exists, 200))  # it has partitions
    LONG.put(kafka, 60)
    assert second.ends(400) == 0, second.told()
    assert first.ends(400) == 0, first.told()
    assert first.said()["digest"] == digest(whole)
    assert strong(witness) == ids
