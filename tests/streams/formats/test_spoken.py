"""Histograms are remembered as they last spoke, in as little room as what they hold."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.formats import spoken
from streams.formats.spoken import MOST, Spoken

told = st.tuples(st.integers(0, 3000), st.lists(st.integers(0, 3), max_size=300))


@settings(deadline=None, max_examples=50)
@given(st.lists(told, max_size=60))
def test_each_is_remembered_as_it_last_spoke(stream: list[tuple[int, list[int]]]) -> None:
    """Whatever is moved meanwhile: it is a mapping."""
    found, expected = Spoken(), {}
    for code, counts in stream:
        bounds = [float(k) for k in range(len(counts))]
        found.put(code, bounds, counts)
        expected[code] = {b: c for b, c in zip(bounds, counts, strict=True) if c}
    assert {code: found.get(code) for code in expected} == expected
    assert len(found) == len(expected)
    assert found.get(5000) is None


def test_room_that_was_left_behind_is_used_again() -> None:
    """A thousand times more buckets, of ten histograms: no more room than ten need."""
    found = Spoken()
    for size in range(1, 500):
        for code in range(10):
            found.put(code, range(size), [1] * size)
    assert len(found.pairs) <= 4 * 10 * 500


def test_too_many_buckets_are_forgotten() -> None:
    found = Spoken()
    found.put(1, [1.0, math.inf], [3, 4])
    found.room(0, MOST)
    assert found.get(1) is None
    assert len(found) == 0


def test_there_is_an_end_to_larger_room() -> None:
    found = Spoken()
    while found.enlarge():
        assert len(found.pairs) <= 2 * spoken.MOST
    assert len(found.pairs) > spoken.MOST
