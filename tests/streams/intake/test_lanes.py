"""Whose records come next: order in a partition, shares among tenants, rates."""

import random
from collections import Counter

import pytest

from streams.intake.lanes import Lanes, Share

A, B = ("of-a", 0), ("of-b", 0)
TENANTS = {"of-a": "a", "of-b": "b"}


def records(name: str, count: int, first: int = 0, size: int = 100) -> list[bytes]:
    return [f"{name}-{number}".encode().ljust(size) for number in range(first, first + count)]


def lanes(**shares: Share) -> Lanes:
    return Lanes(TENANTS, shares)


def counts(taken: dict[tuple[str, int], list[bytes]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for (topic, _), held in taken.items():
        found[topic] += len(held)
    return found


def test_what_fits_into_a_batch_all_goes() -> None:
    line = lanes()
    line.put(A, records("a", 30))
    line.put(B, records("b", 5))
    taken = line.take(100, 0.0)
    assert taken == {A: records("a", 30), B: records("b", 5)}
    assert line.waiting() == 0
    assert line.take(100, 0.0) == {}


def test_a_tenant_with_a_thousand_in_line_does_not_keep_another_waiting() -> None:
    line = lanes()
    line.put(A, records("a", 1000))
    line.put(B, records("b", 50))
    assert counts(line.take(160, 0.0)) == {"of-a": 110, "of-b": 50}


@pytest.mark.parametrize(
    ("weight", "expected"), [(1.0, 0.5), (3.0, 0.75), (0.25, 0.2)], ids=["equal", "three", "fourth"]
)
def test_shares_are_as_the_weights(weight: float, expected: float) -> None:
    line = lanes(a=Share(weight=weight))
    line.put(A, records("a", 8000))
    line.put(B, records("b", 8000))
    found: Counter[str] = Counter()
    for _ in range(10):
        found += counts(line.take(640, 0.0))
    assert found["of-a"] / found.total() == pytest.approx(expected, abs=0.03)


def test_a_tenant_pays_in_time_for_records_that_are_costly() -> None:
    """All of A's are refused, at ten times the cost: it gets a tenth of B's records."""
    line = lanes()
    line.cost("of-a", 1000, 0.10)
    line.cost("of-b", 1000, 0.01)
    line.put(A, records("a", 8000))
    line.put(B, records("b", 8000))
    found: Counter[str] = Counter()
    for _ in range(10):
        found += counts(line.take(640, 0.0))
    assert found["of-b"] / found["of-a"] == pytest.approx(10, rel=0.15)


def test_who_was_away_has_not_saved_up_a_right_to_all() -> None:
    line = lanes()
    line.put(A, records("a", 5000))
    for _ in range(5):
        line.take(160, 0.0)
    line.put(B, records("b", 5000))
    assert counts(line.take(160, 0.0)) == {"of-a": 80, "of-b": 80}


def test_who_had_all_while_nobody_else_wanted_any_owes_nothing_for_it() -> None:
    line = lanes()
    line.put(B, records("b", 160))
    line.put(A, records("a", 5000))
    found: Counter[str] = Counter()
    for _ in range(5):
        found += counts(line.take(160, 0.0))
    assert found["of-b"] == 160
    line.put(B, records("b", 5000))
    assert counts(line.take(160, 0.0)) == {"of-a": 80, "of-b": 80}


def test_partitions_of_a_tenant_take_turns() -> None:
    line = lanes()
    for partition in range(4):
        line.put(("of-a", partition), records(f"a{partition}", 1000))
    taken = line.take(160, 0.0)
    assert {place[1]: len(held) for place, held in taken.items()} == dict.fromkeys(range(4), 40)


def test_the_order_in_a_partition_is_kept_whatever_is_put_and_taken() -> None:
    drawn = random.Random(7)
    line = lanes(a=Share(weight=3.0))
    places = [("of-a", 0), ("of-a", 1), ("of-b", 0), ("other", 0)]
    given: Counter[tuple[str, int]] = Counter()
    came: dict[tuple[str, int], list[bytes]] = {place: [] for place in places}
    for _ in range(400):
        for place in drawn.sample(places, 2):
            many = drawn.randrange(40)
            if many:
                line.put(place, records(str(place), many, given[place], size=drawn.choice([1, 90])))
            given[place] += many
        for place, held in line.take(drawn.choice([7, 50, 160]), 0.0).items():
            came[place] += held
    while line.waiting():
        for place, held in line.take(160, 0.0).items():
            came[place] += held
    for place in places:
        assert [r.strip() for r in came[place]] == records(str(place), given[place], size=0)


def test_a_rate_holds_a_tenant_and_nobody_else() -> None:
    line = lanes(a=Share(bytes_per_s=10_000))
    behind = {A: 100_000, B: 0}
    taken: Counter[str] = Counter()
    put = 0
    for tick in range(101):  # ten seconds
        if A not in line.crowding(behind, 160):
            line.put(A, records("a", 200, put))
            put += 200
        line.put(B, records("b", 20))
        taken += counts(line.take(160, tick / 10))
    assert taken["of-b"] == 2020
    assert taken["of-a"] * 100 / 10.0 == pytest.approx(10_000, rel=0.2)
    assert put - taken["of-a"] <= 400  # what stands in line is bounded: the rest is in Kafka
    assert line.held() == ["a"]


def test_whoever_is_held_is_waited_for_no_longer_than_needed() -> None:
    line = lanes(a=Share(bytes_per_s=1000))
    line.put(A, records("a", 20))
    line.take(160, 0.0)
    assert line.waiting() == 0  # what may not be taken does not count
    soon = line.free_in()
    assert soon is not None
    assert 0 < soon < 2.5
    line.take(160, soon + 0.01)
    assert counts(line.take(160, soon + 0.02)) or line.held()


@pytest.mark.parametrize(
    ("in_line", "in_kafka", "expected"),
    [
        ({A: 160, B: 0}, {A: 9999, B: 500}, {A}),  # B would come behind what is A's
        ({A: 160, B: 0}, {A: 9999, B: 3}, set()),  # not worth it: these are there in a moment
        ({A: 10, B: 0}, {A: 9999, B: 500}, set()),  # A does not stand in its way
        ({A: 160, B: 40}, {A: 9999, B: 500}, set()),  # B has its turn as it is
        ({A: 160, B: 160}, {A: 9999, B: 9999}, set()),  # both have enough
    ],
)
def test_who_would_only_stand_before_the_others_is_not_fetched(
    in_line: dict[tuple[str, int], int],
    in_kafka: dict[tuple[str, int], int],
    expected: set[tuple[str, int]],
) -> None:
    line = lanes()
    for place, count in in_line.items():
        if count:
            line.put(place, records(place[0], count))
    assert line.crowding(in_kafka, 160) == expected


def test_partitions_that_were_given_away_are_forgotten() -> None:
    line = lanes()
    line.put(A, records("a", 10))
    line.put(B, records("b", 10))
    line.drop([A])
    assert counts(line.take(100, 0.0)) == {"of-b": 10}
    line.put(B, records("b", 10))
    line.clear()
    assert line.take(100, 0.0) == {}
