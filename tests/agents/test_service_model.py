"""The second opinion on a service: which series it looks at, when, and what it says."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from agents.model_settings import ServiceModel
from agents.river_models import GuardedVector
from agents.scorer.block import CAPACITY
from agents.series_block import Block
from agents.service_model import Candidate, Opinion, ServiceModels, main_series
from agents.siblings import Siblings
from schemas.frames import canonical

T0 = 1_767_323_040.0  # a bucket begins here
EVERY = 15.0


class World:
    """Blocks of series as detect has them, fed scrape by scrape."""

    def __init__(self, names: list[str], **settings: Any) -> None:
        self.names = names
        self.siblings = Siblings()
        self.models = ServiceModels(ServiceModel.model_validate(settings), self.siblings)
        self.blocks = [Block()]
        for row, name in enumerate(names):
            assert self.blocks[0].add(name) == row
            self.siblings.add(0, row, name.partition('service="')[2].partition('"')[0])

    def scrape(self, at: float, values: Any) -> None:
        """One sample of each series at one time, NaN for none."""
        rows = np.arange(len(self.names), dtype=np.int32)
        times, value = np.full(len(rows), at), np.asarray(values, float)
        self.models.collect(rows.astype(np.int64), times, value)
        self.blocks[0].remember(rows, times, value)
        self.models.turn(self.blocks)


def names(count: int, service: str = "checkout") -> list[str]:
    return [canonical(f"m{n}", {"service": service}) for n in range(count)]


def quiet(count: int, length: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(100, 3, (length, count))


def fed(world: World, values: Any, first: int = 0) -> World:
    for n, row in enumerate(values, first):
        world.scrape(T0 + n * EVERY, row)
    return world


def test_main_series_are_of_many_metrics_the_longest_known_first() -> None:
    def candidate(metric: str, pod: int, points: int) -> Candidate:
        name = canonical(metric, {"service": "checkout", "pod": str(pod)})
        return Candidate(pod, name, points)

    many = [candidate("cpu", pod, 100 - pod) for pod in range(20)]
    few = [candidate("latency", 30, 50), candidate("errors", 40, 60), candidate("errors", 41, 60)]
    chosen = main_series([*many, *few], 5)
    assert [c.place for c in chosen] == [0, 40, 30, 1, 41]
    assert main_series([*reversed(few), *many], 5) == chosen


def test_a_service_that_is_as_ever_ranks_anywhere_and_one_that_moves_ranks_high() -> None:
    values = quiet(8, 260)
    world = fed(World(names(8)), values[:240])
    ranks = []
    for n, row in enumerate(values[240:250], 240):
        world.scrape(T0 + n * EVERY, row)
        ranks.append(world.models.rank("checkout"))
    assert all(rank is not None and 0 < rank < 1 for rank in ranks)
    assert min(r for r in ranks if r is not None) < 0.9
    moved = values[250].copy()
    moved[:5] += 30
    world.scrape(T0 + 250 * EVERY, moved)
    rank = world.models.rank("checkout")
    assert rank is not None
    assert rank > 0.98


def test_there_is_no_opinion_until_there_is_a_past_and_none_on_others() -> None:
    world = fed(World(names(8)), quiet(8, 60))
    assert len(world.models) == 1
    assert world.models.rank("checkout") is None, "half-space trees have no full window yet"
    assert world.models.rank("queue") is None


def test_it_learns_once_a_bucket_however_many_samples_come() -> None:
    learned: list[Any] = []

    class Model:
        def score_one(self, x: Any) -> float:
            return float(sum(x.values()))

        def learn_one(self, x: Any) -> None:
            learned.append(x)

    opinion = Opinion(GuardedVector(Model()), names(2))
    for _ in range(3):
        opinion.put(np.array([0, 1]), np.array([T0, T0]), np.array([1.0, 2.0]))
    assert learned == []
    opinion.close()
    assert learned == [{"0": 0.5, "1": 0.5}]


@pytest.mark.parametrize("size", [1, 7, 200])
def test_however_frames_are_cut_the_same_is_learned(size: int) -> None:
    """Frames of many buckets, series after series or time by time."""
    values = quiet(4, 200)
    world = World(names(4))
    fed(world, values[:30])
    for first in range(30, 200, size):
        part = values[first : first + size]
        times = T0 + EVERY * np.arange(first, first + len(part), dtype=np.float64)
        for row in range(4):  # a block's share at a time, as detect gives them
            world.models.collect(np.full(len(part), row, np.int64), times, part[:, row])
        world.models.turn(world.blocks)
    whole = fed(World(names(4)), values)
    assert world.models.rank("checkout") == whole.models.rank("checkout")
    assert whole.models.rank("checkout") is not None


def test_after_a_restart_it_is_learned_from_the_last_points_of_the_blocks() -> None:
    world = fed(World(names(8)), quiet(8, 300))
    again = World(names(8))
    again.blocks = world.blocks
    values = quiet(8, 60, seed=2)
    fed(again, values[:40], 300)
    moved = values[40].copy()
    moved[:5] += 30
    fed(again, [moved], 340)
    rank = again.models.rank("checkout")
    assert rank is not None
    assert rank > 0.95


def test_only_so_many_services_have_a_model() -> None:
    every = [name for n in range(5) for name in names(2, f"s{n}")]
    world = fed(World(every, services=3), quiet(10, 40))
    assert len(world.models) == 3
    assert len(fed(World(every, services=0), quiet(10, 40)).models) == 0


def test_a_service_of_one_series_has_none() -> None:
    assert len(fed(World(names(1)), quiet(1, 40)).models) == 0


def test_when_half_of_its_series_are_gone_others_are_chosen() -> None:
    """Pods of the old version, pods of the new one."""
    world = World([*names(4), *(canonical(f"n{n}", {"service": "checkout"}) for n in range(4))])
    values = quiet(8, 400)
    old, new = values.copy(), values.copy()
    old[:, 4:], new[:, :4] = np.nan, np.nan
    fed(world, old[:60])
    before = world.models._opinions[0]
    fed(world, new[60:250], 60)
    assert world.models._opinions[0] is before, "the old ones are silent, and that is all there is"
    fed(world, values[250:400], 250)
    assert world.models.rank("checkout") is not None


def test_a_model_that_crashes_is_counted_and_gives_no_opinion() -> None:
    class Broken:
        def score_one(self, x: Any) -> float:
            raise ZeroDivisionError(str(x))

        def learn_one(self, x: Any) -> None:
            raise IndexError(str(x))

    world = fed(World(names(4)), quiet(4, 30))
    world.models._opinions[0].model = GuardedVector(Broken())
    fed(world, quiet(4, 60)[30:], 30)
    assert world.models.faults.total() == 30
    assert world.models.rank("checkout") is None


def test_a_row_of_a_block_that_was_put_away_is_no_candidate() -> None:
    world = World(names(4))
    world.blocks[0].put_away()
    world.models.turn(world.blocks)
    assert len(world.models) == 0
    assert CAPACITY > 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "anomaly.Nothing"}, "river has no anomaly.Nothing"),
        ({"name": "anomaly.GaussianScorer", "params": {}}, "a vector has none apart"),
        ({"params": {"trees": 3}}, "cannot be built"),
        ({"bucket_s": 5}, "greater than or equal to 10"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        ServiceModel.model_validate(settings)
