"""The table of names says what a dictionary would, of names where they lie in a frame."""

import random

import numpy as np

from agents.name_table import LONGEST, NOWHERE, NameTable
from schemas.frames import Names


def put(table: NameTable, **numbers: int) -> None:
    table.put(Names.of(numbers), np.array(list(numbers.values()), np.int64))


def found(table: NameTable, *names: str) -> list[int]:
    numbers: list[int] = table.find(Names.of(names)).tolist()
    return numbers


def test_a_name_is_found_whatever_came_before_it() -> None:
    """In the order in which they came, in another, and again; what is not there is nowhere."""
    table = NameTable()
    put(table, cpu=0, memory=1, disk=2)
    assert found(table, "cpu", "memory", "disk") == [0, 1, 2]
    assert found(table, "disk", "cpu", "cpu", "net", "memory") == [2, 0, 0, NOWHERE, 1]
    assert found(table, "cpu", "memory", "disk") == [0, 1, 2]
    assert found(table) == []


def test_names_that_share_all_but_a_byte_or_their_end_are_others() -> None:
    table = NameTable()
    names = ["", "a", "aa", "ab", "ba", "a" * LONGEST, "é", "e\u0301", "\x00", "\x00\x00"]
    table.put(Names.of(names), np.arange(len(names)))
    assert found(table, *names) == list(range(len(names)))
    assert found(table, "b", "a" * (LONGEST - 1), "\x00\x00\x00") == [NOWHERE] * 3


def test_names_of_one_sum_are_told_apart_by_their_bytes() -> None:
    """As if somebody had guessed the factors."""
    table = NameTable()
    table._factors[:] = 1
    put(table, ab=0, ba=1)
    assert found(table, "ba", "ab", "ba") == [1, 0, 1]
    put(table, bac=2, cab=3, abc=4)
    assert found(table, "abc", "acb", "cab", "bac", "ab") == [4, NOWHERE, 3, 2, 0]


def test_a_name_that_is_longer_than_any_is_found_too() -> None:
    table = NameTable()
    long = "x" * (LONGEST + 1)
    put(table, cpu=0, **{long: 1})
    assert found(table, "cpu", long, long + "x") == [0, 1, NOWHERE]
    assert len(table) == 2
    table.remove(long)
    table.remove(long)
    assert (found(table, long), len(table)) == ([NOWHERE], 1)


def test_it_says_what_a_dictionary_would_while_names_come_and_go() -> None:
    """Thousands of them, put one by one and together, taken away and put again."""
    draw = random.Random(7)
    table, expected = NameTable(), dict[str, int]()
    every = [f'm{n}{{service="s{n % 7}"}}' for n in range(3000)]
    for turn in range(60):
        some = draw.sample(every, draw.choice((1, 5, 400)))
        if draw.random() < 0.4:
            for name in some:
                table.remove(name)
                expected.pop(name, None)
        else:
            numbers = [draw.randrange(1 << 40) for _ in some]
            table.put(Names.of(some), np.array(numbers))
            expected |= dict(zip(some, numbers, strict=True))
        assert len(table) == len(expected), turn
        asked = draw.sample(every, 500)
        assert found(table, *asked) == [expected.get(name, NOWHERE) for name in asked]
        assert table.get(every[0]) == expected.get(every[0], NOWHERE)


def test_what_has_gone_makes_room_again() -> None:
    """Pods come and go for years: the table is as large as what there is."""
    table = NameTable()
    for n in range(5000):
        table.put(Names.of([f"pod-{n}"]), np.array([n]))
        table.remove(f"pod-{n - 10}")
    assert len(table) == 10
    assert len(table._arena) <= 1 << 14
    assert len(table._slots) <= 1 << 9
    assert found(table, "pod-4989", "pod-4990") == [NOWHERE, 4990]
