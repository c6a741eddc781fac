"""A frame's samples by block: all of them, each once, in their order."""

import numpy as np

from agents.scorer.block import CAPACITY
from agents.share import by_block


def test_samples_keep_their_order_within_their_block() -> None:
    """Blocks without samples have none, and what has no place is left out."""
    places = np.array([CAPACITY + 1, 0, -2, CAPACITY, 0, 3 * CAPACITY + 7, -3, 5], np.int64)
    rows, place, ends = by_block(places, 5)
    assert ends.tolist() == [3, 5, 5, 6, 6]
    assert rows.tolist() == [0, 0, 5, 1, 0, 7]
    assert place.tolist() == [1, 4, 7, 0, 3, 5]


def test_any_frame_is_put_together_as_sorting_would() -> None:
    draw = np.random.default_rng(5)
    places = draw.integers(-3, 9 * CAPACITY, 4000)
    rows, place, ends = by_block(places, 9)
    kept = np.flatnonzero(places >= 0)
    expected = kept[np.argsort(places[kept] // CAPACITY, kind="stable")]
    assert place.tolist() == expected.tolist()
    assert rows.tolist() == (places[expected] % CAPACITY).tolist()
    assert np.diff(ends, prepend=0).tolist() == np.bincount(places[kept] // CAPACITY).tolist()


def test_a_frame_of_which_nothing_has_a_place_is_nobodys() -> None:
    rows, place, ends = by_block(np.full(4, -2, np.int64), 2)
    assert (len(rows), len(place), ends.tolist()) == (0, 0, [0, 0])
