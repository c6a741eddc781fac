"""A pulse is sent when all that was there is read, and a service that dies alone is missed."""

import asyncio
import json
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress

import pytest
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from schemas.frames import read_samples
from schemas.topics import ANOMALIES, RAW_METRICS, SAMPLES
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.extent import Extent
from streams.intake.lanes import Place
from streams.intake.pulse import MARKS, Pulse, unread
from streams.intake.settings import IntakeSettings
from streams.topics import create
from tests.streams.counting import Witness
from tests.streams.framing_world import detector, running
from tests.streams.intake.test_intake import ANY_TIME, count, working
from tests.streams.kafka_world import records, until, world

T0 = 1_767_323_040_000  # ms
STEP_MS = 20_000  # between two samples, and two pulses
LIVE = 22  # steps until the rhythm is known: 17 samples, five minutes
SILENT = 12  # of them, after which it is missed, and not yet taken as gone
SETTINGS = IntakeSettings.model_validate({"limits": ANY_TIME, "pulse_s": 0.001})

# ---- when there is something to say


class Ends:
    """Two partitions, of which the second is committed further each time it is asked for."""

    def __init__(self, *committed: int) -> None:
        self._committed = list(committed)
        self.asked = 0

    def partitions(self, _topics: Collection[str]) -> list[Place]:
        """Both."""
        return [("a", 0), ("b", 0)]

    def ends(self, _places: Collection[Place]) -> dict[Place, int]:
        """Where they end."""
        return {("a", 0): 5, ("b", 0): 9}

    def committed(self, places: Collection[Place]) -> dict[Place, int]:
        """All of the first, some of the second."""
        self.asked += 1
        return {("a", 0): 5, ("b", 0): self._committed.pop(0)} if places else {}

    def passed(self, _: Collection[Place], committed: Mapping[Place, int]) -> dict[Place, int]:
        """Marks of transactions, two of them."""
        return {("b", 0): committed["b", 0] + 2}


def pulse_of(*, ours: bool = True) -> Pulse:
    times = iter(range(T0, T0 + 100))
    return Pulse(
        KafkaSettings(brokers="unused:1"),
        group="intake",
        topics=["a", "b"],
        every_s=0.0,
        clock=lambda: next(times),
        holds=lambda place: ours and place == ("a", 0),
    )


def test_a_pulse_has_the_moment_before_it_was_asked_how_far_there_is_to_read() -> None:
    pulse, kafka = pulse_of(), Ends(9)
    pulse.look(kafka)  # type: ignore[arg-type] # a fake
    assert (pulse.take(), pulse.take()) == (T0, None)


def test_it_waits_until_the_group_has_read_all_there_was_then() -> None:
    """What comes meanwhile is none of its business."""
    pulse, kafka = pulse_of(), Ends(-1001, 7, 8, 12)
    pulse.look(kafka)  # type: ignore[arg-type] # a fake
    assert (kafka.asked, pulse.take()) == (4, T0)


@pytest.mark.parametrize(("committed", "said"), [(7, T0), (6, None)])
def test_what_nobody_can_read_is_not_waited_for(committed: int, said: int | None) -> None:
    pulse, kafka = pulse_of(), Ends(*[committed] * MARKS)
    with suppress(IndexError):  # it would wait on
        pulse.look(kafka)  # type: ignore[arg-type] # a fake
    assert pulse.take() == said


def test_only_who_has_the_first_partition_sends_any() -> None:
    pulse, kafka = pulse_of(ours=False), Ends(9)
    pulse.look(kafka)  # type: ignore[arg-type] # a fake
    assert (kafka.asked, pulse.take()) == (0, None)


def test_a_worker_that_stops_while_there_is_more_to_read_says_nothing() -> None:
    pulse, kafka = pulse_of(), Ends(*[3] * 1000)
    with pulse:
        pass
    pulse.look(kafka)  # type: ignore[arg-type] # a fake
    assert pulse.take() is None


# ---- the way to an anomaly


class Steps:
    """The clock of pulses, which goes on when it is told to."""

    def __init__(self, now: int = T0) -> None:
        self.now, self.taken = now, 0
        self._told, self._heard = threading.Semaphore(0), threading.Semaphore(0)
        self._over = False

    def __call__(self) -> int:
        """The time of the next step, once there is one."""
        self._told.acquire()
        if self._over:
            return self.now
        self.now += STEP_MS
        self.taken += 1
        self._heard.release()
        return self.now

    def go(self) -> None:
        """Let one come, once the pulse of the last one is found; returns when it has."""
        self._told.release()
        assert self._heard.acquire(timeout=120)

    def end(self) -> None:
        """Time stands still, and nobody waits for it."""
        self._over = True
        self._told.release(1000)


class Scene:
    """One service that speaks at each step, and an intake with a step a pulse."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.kafka, self.steps, self.number = kafka, Steps(), 0
        self.read = 0  # by intakes that have ended
        self._producer = Producer(kafka.confluent())

    @contextmanager
    def intake(self) -> Iterator[None]:
        """It has read all that was said so far, and works until the end."""
        registry = CollectorRegistry()
        self.word()
        with working(self.kafka, SETTINGS, registry, self.steps):
            try:
                until(lambda: count(registry, "records") >= self.number - self.read)
                yield
            finally:
                self.steps.end()
        self.read = self.number

    def word(self) -> None:
        """A sample of the step that comes next."""
        self.number += 1
        at = T0 + self.number * STEP_MS
        sample = {"service": "checkout", "metric": "cpu", "at": at, "value": 5.0}
        self._producer.produce(self.kafka.topic(RAW_METRICS), json.dumps(sample), "checkout")
        assert self._producer.flush(60) == 0

    def lives(self, steps: int) -> None:
        """Speak so often."""
        for _ in range(steps):
            self.steps.go()
            self.word()


@pytest.fixture
def scene(broker: EmbeddedBroker, topic_prefix: str) -> Scene:
    kafka = world(broker.bootstrap, topic_prefix)
    create(kafka, (ANOMALIES,))
    return Scene(kafka)


@pytest.fixture
def witness(scene: Scene) -> Iterator[Witness]:
    with Witness(scene.kafka, ANOMALIES) as reading:
        yield reading


def pulses(kafka: KafkaSettings) -> list[list[int]]:
    """The moments of the pulses in each partition of the frames."""
    found: list[list[int]] = [[] for _ in range(SAMPLES.partitions)]
    for message in records(kafka, SAMPLES):
        frame = read_samples(message.value())
        if frame.as_of:
            assert len(frame) == 0
            found[message.partition()].append(frame.as_of)
    return found


@pytest.mark.broker
def test_a_service_alone_in_its_partition_that_dies_is_missed_and_found_again(
    scene: Scene, witness: Witness
) -> None:
    steps = scene.steps

    def dies() -> None:
        scene.lives(LIVE)
        for _ in range(SILENT):
            steps.go()
        until(lambda: len(witness.events()) > 0)
        scene.number = steps.taken
        scene.word()
        until(lambda: len(witness.events()) > 1)

    async def play() -> None:
        async with running(scene.kafka, detector()):
            with scene.intake():
                await asyncio.to_thread(dies)

    asyncio.run(play())
    assert [(e.kind, e.change, e.service, e.at.timestamp() * 1000) for e in witness.events()] == [
        ("missing", "opened", "checkout", T0 + (LIVE + 5) * STEP_MS),
        ("missing", "cleared", "checkout", T0 + scene.number * STEP_MS),
    ]
    of_each = pulses(scene.kafka)
    assert all(moments == of_each[0] for moments in of_each)


@pytest.mark.broker
def test_an_intake_that_is_away_while_its_service_speaks_makes_nobody_silent(
    scene: Scene,
) -> None:
    """For ten times as long as the service may be silent; nothing is sent meanwhile."""
    with scene.intake():
        scene.lives(LIVE)
    before = pulses(scene.kafka)
    scene.steps = Steps(T0 + (LIVE + 41) * STEP_MS)
    for _ in range(40):
        scene.word()
    assert pulses(scene.kafka) == before
    with scene.intake():
        scene.lives(3)
        scene.steps.go()
        scene.steps.go()
    assert len(pulses(scene.kafka)[0]) > len(before[0])
    detect = detector()
    for message in records(scene.kafka, SAMPLES):
        place = message.partition(), message.offset()
        assert detect.feed(read_samples(message.value()), *place) == []
    assert [len(detect.blocks(p)) for p in range(4)].count(1) == 1


@pytest.mark.broker
def test_an_open_transaction_of_a_producer_holds_pulses_back_and_its_mark_does_not(
    scene: Scene,
) -> None:
    producer = Producer(scene.kafka.confluent() | {"transactional.id": scene.kafka.prefix})
    producer.init_transactions(60)
    raw = [scene.kafka.topic(RAW_METRICS)]
    with closing(Extent(scene.kafka, f"{scene.kafka.prefix}intake")) as extent, scene.intake():
        producer.begin_transaction()
        producer.produce(raw[0], b"no event", "checkout")
        assert producer.flush(60) == 0
        left = extent.ends(extent.partitions(raw))
        held = unread(left, extent.passed(left, extent.committed(left)))
        assert list(held.values()) == [2]
        producer.commit_transaction(60)
        left = extent.ends(extent.partitions(raw))
        assert list(left.values()) == [3]
        until(lambda: list(extent.committed(left).values()) == [2])
        assert extent.passed(left, extent.committed(left)) == left
        scene.steps.go()
        scene.steps.go()  # so the first one was found
        until(lambda: T0 + STEP_MS in pulses(scene.kafka)[0])
