"""Each place has its turn, whatever the others do."""

from streams.turns import Place, Turns

PLACES: list[Place] = [(0, 0), *((3, number) for number in range(40))]


def test_each_place_has_its_turn_in_time() -> None:
    """Partition 0 has one block and comes first each time: it has no more turns than the rest."""
    turns = Turns(30.0)
    had: dict[Place, int] = dict.fromkeys(PLACES, 0)
    for _ in range(300):
        for place in turns.next(PLACES):
            had[place] += 1
    assert min(had.values()) >= 300 // 30
    assert max(had.values()) - min(had.values()) <= 1


def test_a_place_that_is_new_has_its_turn_first() -> None:
    turns = Turns(30.0)
    for _ in range(60):
        turns.next(PLACES)
    assert (1, 7) in turns.next([*PLACES, (1, 7)])


def test_no_place_no_turn() -> None:
    turns = Turns(30.0)
    assert turns.next([]) == []
    turns.next(PLACES)
    turns.forget()
    assert turns.next(PLACES)[0] == PLACES[0]
