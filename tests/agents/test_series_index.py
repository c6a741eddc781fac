"""Blocks leave memory, rows change hands, workers crash: the scores are as if nothing had."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from agents.name_table import NOWHERE
from agents.series_block import Block
from agents.series_index import Place, Places, SeriesIndex
from schemas.errors import Rejected
from schemas.frames import Samples, canonical

T0 = 1_767_323_045
NAMES = [canonical("m", {"service": "s", "n": str(n)}) for n in range(700)]
IDLE_S, FORGET_S = 600.0, 6000.0


class Frame(NamedTuple):
    """Some samples of some series, so long after the frame before (s)."""

    gap: float
    first: int
    series: int
    samples: int


class Save(NamedTuple):
    """Every block of which this is the remainder by three has its turn."""

    which: int


class Crash(NamedTuple):
    """What was not saved is lost."""


GAPS = st.sampled_from([10.0, 30.0, IDLE_S + 50, FORGET_S / 2, FORGET_S + 200])
STEPS = st.one_of(
    st.builds(Frame, GAPS, st.integers(0, 650), st.integers(1, 300), st.integers(1, 3)),
    st.builds(Save, st.integers(0, 2)),
    st.just(Crash()),
)


def detector(idle_s: float) -> Detect:
    return Detect(DetectSettings(idle_s=idle_s, forget_s=FORGET_S), {})


def frame(step: Frame, number: int, now: float) -> Samples:
    names = NAMES[step.first : step.first + step.series]
    draw = np.random.default_rng(number)
    code = np.tile(np.arange(len(names), dtype=np.int32), step.samples)
    at = np.repeat(1000 * (T0 + now) + 1000 * np.arange(step.samples), len(names)).astype(np.int64)
    return Samples(names, code, at, draw.normal(100, 3, len(code)))


class World:
    """A detector with what a shell does for it."""

    def __init__(self) -> None:
        self.detect = detector(IDLE_S)
        self.kept: dict[int, bytes] = {}
        self.detect.load(0, self.kept)
        self.frames: list[Samples] = []
        self.acknowledged = 0
        self.said: set[str] = set()
        self.away = 0

    def read(self, samples: Samples) -> None:
        """One more frame."""
        self.frames.append(samples)
        self._feed(len(self.frames) - 1)

    def _feed(self, offset: int) -> None:
        self.said |= {a.id for a in self.detect.feed(self.frames[offset], 0, offset)}
        self.away = max(self.away, sum(block.away for block in self.detect.blocks(0)))

    def save(self, which: int) -> None:
        """Save every block whose turn it is."""
        blocks = self.detect.blocks(0)
        for number, block in enumerate(blocks):
            if block.changed and number % 3 == which:
                self.kept[number] = block.dump()
                block.saved, block.changed = block.included, False
        held_up = [block.saved for block in blocks if block.changed]
        self.acknowledged = max(self.acknowledged, min([*held_up, len(self.frames) - 1]) + 1)

    def crash(self) -> None:
        """Begin again with what was saved, and the frames since."""
        self.detect = detector(IDLE_S)
        self.detect.load(0, self.kept)
        for offset in range(self.acknowledged, len(self.frames)):
            self._feed(offset)


def dumps(detect: Detect) -> list[bytes]:
    index = detect.index(0)
    return [index.in_memory(number).dump() for number in range(len(index.blocks))]


@settings(max_examples=12)
@given(st.lists(STEPS, min_size=5, max_size=40))
def test_whatever_is_put_away_and_whoever_crashes_the_scores_are_the_same(
    steps: list[Frame | Save | Crash],
) -> None:
    follow(steps)


def follow(steps: Iterable[Frame | Save | Crash]) -> World:
    """The same frames for a worker that evicts and crashes, and one that does neither.

    All is saved before days pass: in a leap between two saves, a row may be left behind with a
    series that was gone by then.
    """
    world, plain, now, saved_at = World(), detector(1e12), 0.0, 0.0
    said: set[str] = set()
    for step in steps:
        match step:
            case Frame():
                now += step.gap
                if now - saved_at > FORGET_S / 2:
                    for which in range(3):
                        world.save(which)
                    saved_at = now
                samples = frame(step, len(world.frames), now)
                said |= {a.id for a in plain.feed(samples, 0, len(world.frames))}
                world.read(samples)
            case Save():
                world.save(step.which)
            case Crash():
                world.crash()
    assert dumps(world.detect) == dumps(plain)
    assert world.said == said
    return world


def test_blocks_that_are_idle_leave_memory_and_come_back() -> None:
    """The one above would be true of a detector that never evicts."""
    every: list[Frame | Save | Crash]
    every = [Frame(10.0, 0, 300, 2), Save(0), Save(1), Frame(IDLE_S + 50, 600, 50, 2)]
    world = follow([*every, Frame(20.0, 0, 300, 2), Save(0), Save(1), Crash(), *every])
    assert world.away >= 1


def test_a_new_series_has_the_row_of_one_that_is_gone() -> None:
    index, gone = SeriesIndex(idle_s=IDLE_S, forget_s=FORGET_S), FORGET_S * 1.1
    places = [new(index, name, n, 0.0) for n, name in enumerate(NAMES[:300])]
    assert places == [(n // 256, n % 256) for n in range(300)]
    index.blocks[0].hear(np.array([0, 2], np.int32), T0 + gone, 0.0)  # two are still heard
    assert new(index, NAMES[300], 400, gone) == (0, 1)
    assert new(index, NAMES[301], 401, gone, room=False) == (0, 3)
    assert (index.find(NAMES[1]), len(index), len(index.blocks)) == (None, 300, 2)
    assert index.blocks[0].names[1] == NAMES[300]


def new(
    index: SeriesIndex, name: str, offset: int, now: float, *, room: bool = True
) -> Place | None:
    return index.place(name, offset, T0 + now, spoken=spoken(), room=room)


def spoken(*places: Place | None) -> Places:
    """What a frame speaks of, as far as it is known."""
    return np.array([NOWHERE if place is None else place.number for place in places], np.int64)


def test_no_row_is_taken_from_a_series_that_speaks_in_the_same_frame() -> None:
    index = SeriesIndex(idle_s=IDLE_S, forget_s=FORGET_S)
    first = new(index, NAMES[0], 0, 0.0)
    late = T0 + 2 * FORGET_S
    assert index.place(NAMES[1], 1, late, spoken=spoken(first), room=True) == (0, 1)
    assert index.place(NAMES[2], 1, late, spoken=spoken(None, Place(0, 1)), room=True) == (0, 0)


def test_without_room_and_without_one_that_is_gone_there_is_no_place() -> None:
    index = SeriesIndex(idle_s=IDLE_S, forget_s=FORGET_S)
    new(index, NAMES[0], 0, 0.0)
    assert new(index, NAMES[1], 1, 60.0, room=False) is None
    assert index.find(NAMES[1]) is None


def test_a_series_that_comes_back_after_it_was_gone_begins_anew() -> None:
    detect = detector(IDLE_S)
    detect.feed(frame(Frame(0, 0, 2, 3), 0, 0.0), 0, 0)
    detect.feed(frame(Frame(0, 0, 1, 3), 1, FORGET_S + 100), 0, 1)
    block = detect.blocks(0)[0]
    assert block.written[:2].tolist() == [3, 3]
    detect.feed(frame(Frame(0, 1, 1, 1), 2, FORGET_S + 101), 0, 2)
    assert block.written[:2].tolist() == [3, 1]


def test_the_limit_counts_what_has_a_row_and_the_gone_make_way() -> None:
    settings = DetectSettings(max_series=10, forget_s=FORGET_S)
    detect = Detect(settings, {})
    detect.feed(frame(Frame(0, 0, 15, 2), 0, 0.0), 0, 0)
    assert (detect.series, detect.left_out) == (10, 10)
    detect.feed(frame(Frame(0, 100, 4, 2), 1, FORGET_S * 1.1), 0, 1)
    assert (detect.series, detect.left_out) == (10, 10)


@pytest.mark.parametrize("reset", [False, True])
def test_a_damaged_block_is_named_and_may_be_begun_anew(*, reset: bool) -> None:
    first = detector(IDLE_S)
    first.feed(frame(Frame(0, 0, 300, 2), 0, 0.0), 0, 0)
    saved = {number: block.dump() for number, block in enumerate(first.blocks(0))}
    saved[0] = saved[0][:-1] + bytes([saved[0][-1] ^ 1])
    second = Detect(DetectSettings(reset_damaged=reset), {})
    if not reset:
        with pytest.raises(Rejected, match=r"partition 0, block 0 is damaged.*reset_damaged"):
            second.load(0, saved)
        return
    assert second.load(0, saved) == ["block 0 is damaged: its checksum does not match"]
    assert [len(block.names) for block in second.blocks(0)] == [0, 44]


def test_a_block_that_is_away_is_only_brought_back_from_what_was_saved_of_it() -> None:
    block = Block()
    block.add(NAMES[0])
    raw = block.dump()
    block.changed, block.saved = False, block.included
    block.put_away()
    other = Block()
    other.add(NAMES[1])
    with pytest.raises(Rejected, match="holds"):
        block.bring_back(other.dump())
    block.bring_back(raw)
    assert block.dump() == raw
