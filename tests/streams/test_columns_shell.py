"""Frames on a real broker: each is learned once, whoever dies or joins, to the last bit."""

import asyncio
import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.detect import Detect
from schemas.topics import ANOMALIES, DEADLETTERS, SAMPLES
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from tests.streams.counting import Witness, eventually
from tests.streams.framing_world import (
    FRAMES,
    SERVICES,
    detector,
    made,
    put_frames,
    running,
    serve,
    strong,
    undisturbed,
)
from tests.streams.kafka_world import committed, put

pytestmark = pytest.mark.broker


@pytest.fixture
def kafka(broker: EmbeddedBroker, topic_prefix: str) -> KafkaSettings:
    return made(broker.bootstrap, topic_prefix)


@pytest.fixture
def witness(kafka: KafkaSettings) -> Iterator[Witness]:
    with Witness(kafka, ANOMALIES) as reading:
        yield reading


def learned(detect: Detect) -> list[int]:
    """The last frame that each partition's block includes."""
    return [max((b.included for b in detect.blocks(p)), default=-1) for p in range(SERVICES)]


def all_learned(*detectors: Detect, up_to: int = FRAMES - 1) -> bool:
    """Whether one or the other has learned each partition's frames."""
    return all(max(at) == up_to for at in zip(*map(learned, detectors), strict=True))


def test_after_a_kill_the_state_is_bitwise_as_if_nothing_had_happened(
    kafka: KafkaSettings, witness: Witness, tmp_path: Path
) -> None:
    """SIGKILL in the middle of an anomaly, one partition saved half way, the others not."""
    whole, ids = undisturbed()
    put_frames(kafka, 0, 27)
    context = multiprocessing.get_context("forkserver")
    life = context.Process(target=serve, args=(kafka, 27 * SERVICES, str(tmp_path / "said")))
    life.start()
    life.join(240)
    assert life.exitcode == -signal.SIGKILL, (tmp_path / "said").read_text()
    second = detector()

    async def scene() -> None:
        async with running(kafka, second):
            put_frames(kafka, 27)
            await eventually(lambda: all_learned(second))
            assert state(second) == state(whole)

    asyncio.run(scene())
    assert strong(witness) == ids
    assert len(ids) >= 2 * SERVICES


def state(detect: Detect) -> list[bytes]:
    return [block.dump() for p in range(SERVICES) for block in detect.blocks(p)]


def test_offsets_follow_what_has_been_saved_and_a_stop_saves_all(kafka: KafkaSettings) -> None:
    first, second = detector(), detector()

    async def scene() -> None:
        async with running(kafka, first, save_s=1000.0) as shell:
            shell._save_share = nothing  # type: ignore[method-assign] # its turn never comes
            put_frames(kafka, 0, 10)
            await eventually(lambda: learned(first) == [9] * SERVICES)
            put_frames(kafka, 10, 20)
            await eventually(lambda: learned(first) == [19] * SERVICES)
            assert committed(kafka, "detect", SAMPLES) == [0] * SERVICES
            assert [len(shell._waiting[p]) for p in range(SERVICES)] == [20] * SERVICES
            async with shell.member.lock:
                await shell._save(1, 0)
            await eventually(lambda: committed(kafka, "detect", SAMPLES) == [0, 20, 0, 0])
        assert committed(kafka, "detect", SAMPLES) == [20] * SERVICES
        async with running(kafka, second):
            assert learned(second) == [19] * SERVICES

    async def nothing() -> None:
        return

    asyncio.run(scene())


def test_workers_join_and_leave_and_say_what_one_would_have_said(
    kafka: KafkaSettings, witness: Witness
) -> None:
    whole, ids = undisturbed()
    first, second = detector(), detector()

    async def scene() -> None:
        async with running(kafka, first):
            put_frames(kafka, 0, 10)
            await eventually(lambda: learned(first) == [9] * SERVICES)
            async with running(kafka, second):
                put_frames(kafka, 10, 26)
                await eventually(lambda: all_learned(first, second, up_to=25))
                assert sorted(learned(first) + learned(second)) == [-1] * 4 + [25] * 4
            put_frames(kafka, 26)
            await eventually(lambda: all_learned(first))
            assert state(first) == state(whole)

    asyncio.run(scene())
    assert strong(witness) == ids


def test_what_is_no_frame_is_a_dead_letter_and_holds_nothing_up(kafka: KafkaSettings) -> None:
    detect, records = detector(), FRAMES * SERVICES + 1
    put(kafka, SAMPLES, [b"junk"])
    with Witness(kafka, DEADLETTERS) as letters:

        async def scene() -> None:
            async with running(kafka, detect):
                await eventually(lambda: len(letters.events()) == 1)
                put_frames(kafka)
                await eventually(lambda: sum(at + 1 for at in learned(detect)) == records)

        asyncio.run(scene())
        assert letters.events()[0].original == b"junk"
        assert "not a frame" in letters.events()[0].reason
    assert sum(committed(kafka, "detect", SAMPLES)) == records
