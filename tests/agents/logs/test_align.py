"""The kernels say what a plain comparison says."""

import random

import numpy as np

from agents.logs.align import CORES, EQUAL, ONE, TWO, near
from agents.logs.match import Table, Template, identity
from agents.logs.tokens import ANY, MASK, is_word, kind

Tokens = tuple[str, ...]


def alike(a: str, b: str) -> bool:
    return a == b or (a == ANY and kind(b) > 0) or (b == ANY and kind(a) > 0)


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


def some_tokens(draw: random.Random) -> Tokens:
    return ("go", *draw.choices(("a", "b", ":", MASK, ANY), k=draw.randrange(6)))


def test_kernels_agree_with_a_plain_comparison() -> None:
    draw = random.Random(2)
    different = list(dict.fromkeys(some_tokens(draw) for _ in range(400)))
    templates = [Template(identity(t), t, (True,) * len(t), 0) for t in different]
    table = Table.of(templates)
    slots = table.bucket("go", 1000)
    seen = set()
    for mine in templates:
        found = {n.slot: n[1:] for n in near(table.codes, table.lengths, slots, mine.slot)}
        expected = {o.slot: plainly(mine.tokens, o.tokens) for o in templates if o is not mine}
        assert found == {slot: how for slot, how in expected.items() if how is not None}
        seen |= {how for how, _, _ in found.values()}
    assert seen == {EQUAL, ONE, TWO, CORES}


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
