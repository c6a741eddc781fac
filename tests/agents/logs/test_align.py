"""The kernels say what a plain comparison says."""

import random

import numpy as np

from agents.logs.align import CORES, EQUAL, ONE, TWO, near
from agents.logs.match import Table, Tail, Template, identity
from agents.logs.tokens import ANY, MASK, blend, is_state, is_word, kind, words

Tokens = tuple[str, ...]


def alike(a: str, b: str) -> bool:
    return a == b or (a == ANY and kind(b) > 0) or (b == ANY and kind(a) > 0)


def is_value(token: str) -> bool:
    return token == MASK or (is_word(token) and not is_state(token))


def plainly(a: Tokens, b: Tokens) -> tuple[int, int, int] | None:
    """How, prefix and suffix, by the book; None where the two are too far apart."""
    if abs(len(a) - len(b)) > 3:
        return None
    least = min(len(a), len(b))
    i = 1
    while i < least and alike(a[i], b[i]):
        i += 1
    j = 0
    while j < least - i and alike(a[-1 - j], b[-1 - j]):
        j += 1
    x, y = a[i : len(a) - j], b[i : len(b) - j]
    if not x and not y:
        return EQUAL, i, j
    if len(x) == len(y) == 1:
        return ONE, i, j
    if len(x) == len(y):
        ends = (x[0], x[-1], y[0], y[-1])
        return (TWO, i, j) if x[1:-1] == y[1:-1] and all(map(is_word, ends)) else None
    return (CORES, i, j) if min(len(x), len(y)) < 2 and max(len(x), len(y)) < 5 else None


def labelled(core: Tokens) -> bool:
    return 3 <= len(core) <= 4 and is_word(core[0]) and core[1] in ":-([{@#" and core[2] == MASK


def at_first_sight(a: Tokens, b: Tokens, lies: tuple[int, int, int]) -> bool:
    """Whether one has a mask where the other has a value, by the book."""
    how, i, j = lies
    if how not in (ONE, CORES):
        return how == EQUAL
    x, y = sorted((a[i : len(a) - j], b[i : len(b) - j]), key=len)
    before, after = blend(a[:i], b[:i]), blend(a[len(a) - j :], b[len(b) - j :])
    rest = before + after
    if words(rest) < 2 + rest.count(ANY):
        return False
    if len(x) == len(y) == 1:
        return MASK in (x[0], y[0]) and is_value(y[0] if x[0] == MASK else x[0])
    if x == (MASK,):
        return labelled(y)
    return not x and after[:1] == (MASK,) and labelled((*y, MASK))


def some_tokens(draw: random.Random) -> Tokens:
    said = ("a", "b", "failed", ":", "(", ",", MASK, MASK, ANY)
    return ("go", *draw.choices(said, k=draw.randrange(8)))


def test_kernels_agree_with_a_plain_comparison() -> None:
    """Up to the first that is one with it at first sight: there they stop."""
    draw = random.Random(2)
    different = list(dict.fromkeys(some_tokens(draw) for _ in range(600)))
    templates = [Template(identity(t), t, (True,) * len(t), 0) for t in different]
    table = Table.of(templates)
    slots = table.bucket("go", 1000)
    seen = set()
    for mine in templates:
        pairs, at_once = near(table.codes, table.lengths, slots, mine.slot)
        found = {slot: tuple(lies) for slot, *lies in pairs.tolist()}
        expected, stopped = {}, False
        for other in templates:
            lies = plainly(mine.tokens, other.tokens) if other is not mine else None
            if lies is None:
                continue
            expected[other.slot] = lies
            stopped = at_first_sight(mine.tokens, other.tokens, lies)
            seen.add((lies[0], stopped))
            if stopped:
                break
        assert (found, at_once) == (expected, stopped)
    ways = {(EQUAL, True), (TWO, False)}
    assert seen == ways | {(how, one) for how in (ONE, CORES) for one in (True, False)}


def test_the_template_with_fewest_learned_places_takes_a_line_then_the_oldest() -> None:
    rows: list[Tokens] = [("a", ANY, ANY), ("a", "b", ANY), ("a", ANY, "c"), ("a", ":", ANY)]
    table = Table.of([Template(identity(t), t, (True,) * 3, 0) for t in rows])

    def taker(*tokens: str) -> Tokens | None:
        found = table.accepting(tokens)
        return found.tokens if found else None

    assert taker("a", "x", "y") == rows[0]
    assert taker("a", "b", MASK) == rows[1]
    assert taker("a", "b", "c") == rows[1]
    assert taker("a", "x", "c") == rows[2]
    assert taker("a", "(", "y") is None
    assert taker("a", "x") is None
    assert taker("b", "x", "y") is None


def test_a_table_keeps_its_indexes_over_thousands_of_changes() -> None:
    """Filed, let go and grown: what is found is what is there."""
    draw = random.Random(3)
    table = Table()
    live: dict[str, Template] = {}
    for _ in range(3000):
        tokens = some_tokens(draw)
        ident = identity(tokens)
        if ident in live:
            table.unfile(live.pop(ident))
        else:
            live[ident] = Template(ident, tokens, (True,) * len(tokens), 0)
            table.file(live[ident])
        assert len(table) == len(live)
    assert [t.id for t in table] == list(live)
    assert np.count_nonzero(table.lengths) >= len(live)
    for template in list(table):
        table.unfile(template)
    assert list(table) == []


def test_a_tail_counts_each_word_that_stands_first_once() -> None:
    """Two templates may begin alike; what is no word does not count."""
    tail, firsts = Tail(), ["up", "up", "ann", "bob", MASK, "started"]
    templates = [Template(str(i), (first, "x"), (True, True), 0) for i, first in enumerate(firsts)]
    for template in templates:
        tail.add(template)
    assert (tail.words, tail.states) == (4, 2)
    for template in templates[:2]:
        assert is_state(template.tokens[0])
        tail.remove(template)
    assert (tail.words, tail.states, len(tail.templates)) == (3, 1, 4)
