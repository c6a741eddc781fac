"""Siblings: which other series of a service moved, and which are there at all."""

import numpy as np
import pytest

from agents.scorer.block import CAPACITY
from agents.siblings import MOVED, Moved, Siblings

AT = 1_767_323_045.0


def learn(siblings: Siblings, number: int, scores: dict[int, float], at: float = AT) -> None:
    """Score one sample of each row."""
    places = number * CAPACITY + np.array(list(scores), np.int64)
    raw = np.array(list(scores.values()))
    siblings.learn(places, np.full(len(places), at), raw)


def service(*, blocks: int = 1, size: int = 6) -> Siblings:
    """Series of checkout in the first rows of each block, one of queue after them, all quiet."""
    siblings = Siblings()
    for number in range(blocks):
        for row in range(size):
            siblings.add(number, row, "checkout")
        siblings.add(number, size, "queue")
        learn(siblings, number, dict.fromkeys(range(size + 1), 0.0))
    return siblings


def count(siblings: Siblings, at: float = AT, opened: tuple[tuple[int, int], ...] = ()) -> Moved:
    return siblings.count("checkout", at, (0, 0), opened)


def test_others_that_moved_are_counted_and_oneself_is_not() -> None:
    siblings = service()
    learn(siblings, 0, {0: 3.0, 1: MOVED, 2: 0.69, 3: 2.0})
    assert count(siblings) == Moved(5, 2)


def test_another_services_series_is_no_sibling() -> None:
    siblings = service()
    learn(siblings, 0, {6: 5.0})
    assert count(siblings) == Moved(5, 0)
    assert siblings.count("queue", AT, (0, 6), ()) == Moved(0, 0)
    assert siblings.count("nobody", AT, (0, 0), ()) == Moved(0, 0)


@pytest.mark.parametrize(("seconds", "moved"), [(-61, 0), (-60, 1), (0, 1), (60, 1), (61, 0)])
def test_within_a_minute_of_event_time_to_either_side(seconds: float, moved: int) -> None:
    siblings = service()
    learn(siblings, 0, {1: 1.0}, AT + seconds)
    learn(siblings, 0, {1: 0.0}, AT + 70)
    assert count(siblings) == Moved(5, moved)


def test_an_open_anomaly_counts_however_long_ago_it_began_and_once() -> None:
    siblings = service()
    learn(siblings, 0, {1: 1.0, 2: 1.0})
    assert count(siblings, AT, ((0, 2), (0, 3), (0, 0), (0, 6))) == Moved(5, 3)


def test_a_service_may_lie_in_several_blocks() -> None:
    siblings = service(blocks=3)
    learn(siblings, 2, {0: 1.0, 5: 1.0})
    assert count(siblings, opened=((1, 4),)) == Moved(17, 3)


def test_series_that_fell_silent_are_no_siblings_any_more() -> None:
    siblings = service()
    learn(siblings, 0, dict.fromkeys((0, 1, 2), 0.0), AT + 700)
    assert count(siblings, AT + 700) == Moved(2, 0)


def test_a_row_that_is_given_to_another_series_is_its_own_again() -> None:
    siblings = service()
    learn(siblings, 0, {1: 5.0})
    siblings.forget(0, 1)
    siblings.forget(0, 1)
    assert count(siblings) == Moved(4, 0)
    siblings.add(0, 1, "queue")
    learn(siblings, 0, {1: 5.0})
    assert count(siblings) == Moved(4, 0)
    assert siblings.count("queue", AT, (0, 6), ()) == Moved(1, 1)


def test_a_full_block_and_the_next() -> None:
    siblings = Siblings()
    for number in (0, 1):
        for row in range(CAPACITY):
            siblings.add(number, row, "checkout")
        learn(siblings, number, dict.fromkeys(range(CAPACITY), 1.0))
    assert count(siblings) == Moved(2 * CAPACITY - 1, 2 * CAPACITY - 1)
