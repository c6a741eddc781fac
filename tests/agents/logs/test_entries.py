"""Entries: joined as arrays they are what they are joined line by line."""

import random

import pytest

from agents.logs.entries import HELD, SOURCES, Entries, FrameJoiner, source_of
from agents.logs.multiline import FEW, Joiner, Part, continuing
from schemas.errors import Rejected
from tests.agents.logs.lines import T0, Line, frame
from tests.agents.logs.test_multiline import GISTS, added, held

ALL = 10**15


def traces(draw: random.Random, count: int) -> list[Line]:
    """Lines of several pods at once, one in three of them a trace."""
    rows: list[Line] = []
    for n in range(count):
        pod = draw.choice("abcdef")
        text = draw.choice([*GISTS, *[(f"order {n} paid", "")] * 20])[0]
        rows += [Line(n / 10, line, "error", f"s{pod}", pod) for line in text.splitlines()]
    return rows


def line_by_line(rows: list[Line]) -> list[tuple[str, int, str]]:
    joiner = Joiner()
    ended = added(
        joiner,
        (
            Part(
                source_of(row.service, row.labels),
                T0 + round(row.at * 1000),
                row.severity,
                row.text,
            )
            for row in rows
        ),
    )
    return [(e.source[16:], e.at, e.text) for e in (*ended, *held(joiner))]


@pytest.mark.parametrize("seed", range(3))
def test_arrays_join_as_lines_do_however_they_are_cut(seed: int) -> None:
    draw = random.Random(seed)
    rows = traces(draw, 300)
    expected = line_by_line(rows)
    joiner, found, left = FrameJoiner(), [], rows
    while left:
        cut = draw.choice((1, 7, 40, 400))
        entries = joiner.feed(frame(left[:cut]), 0)
        found += rows_of(entries)
        left = left[cut:]
        joiner = FrameJoiner.load(joiner.dump())
    found += rows_of(joiner.feed(frame([]), ALL))
    assert sorted(found) == sorted(expected)
    assert [e for e in found if e[0] == "sa"] == [e for e in expected if e[0] == "sa"]


def rows_of(entries: Entries) -> list[tuple[str, int, str]]:
    columns = zip(entries.service.tolist(), entries.at.tolist(), entries.text, strict=True)
    return [(entries.services[code], at, text) for code, at, text in columns]


def test_entries_end_in_the_order_of_the_lines_that_end_them() -> None:
    rows = [Line(0, "a1", labels="a"), Line(1, "b1", labels="b"), Line(2, "b2", labels="b"), Line(3, "a2", labels="a")]  # fmt: skip
    assert FrameJoiner().feed(frame(rows), 0).text == ["b1", "a1"]


def test_what_nothing_was_added_to_for_a_while_is_given_out() -> None:
    joiner = FrameJoiner()
    assert joiner.feed(frame([Line(0, "alone")]), T0).text == []
    assert joiner.feed(frame([Line(9, "other", service="cart")]), T0 + 7000).text == ["alone"]
    assert joiner.feed(frame([]), T0 + 9000).text == []
    assert joiner.feed(frame([]), T0 + 9001).text == ["other"]
    assert joiner.feed(frame([]), ALL).text == []


def test_what_is_held_back_is_bounded() -> None:
    joiner = FrameJoiner()
    given = joiner.feed(frame([Line(0, f"l{i}", labels=str(i)) for i in range(SOURCES + 3)]), 0)
    assert given.text == ["l0", "l1", "l2"]
    long = joiner.feed(frame([Line(1, "x" * 16_000, labels=f"long {i}") for i in range(300)]), 0)
    assert len(long) > 300


def test_a_few_sources_with_long_lines_are_bounded_too() -> None:
    rows = [Line(0, "x" * 60_000, labels=f"long {i}") for i in range(HELD // 60_000 + 5)]
    assert len(FrameJoiner().feed(frame(rows), 0)) == 5


def test_labels_and_secrets_are_not_in_what_is_stored() -> None:
    joiner = FrameJoiner()
    joiner.feed(frame([Line(0, "mail ann@example.com", labels='{user="ann@example.com"}')]), 0)
    assert b"ann" not in joiner.dump()
    assert b"<email>" in joiner.dump()


def test_the_look_at_a_column_misses_no_line_that_continues() -> None:
    texts = [line for text, _ in GISTS for line in (*text.splitlines(), "plain", "")]
    texts += ["\u00a0", "\u3000x", "a.b.C$DError: x", "Ünexpected: y", "}", "];", "at x"]
    each = [n for n, text in enumerate(texts) if continuing([text])]
    many = texts * FEW
    assert continuing(many)[: len(each)] == each
    assert len(continuing(many)) == FEW * len(each)
    assert {"\u00a0", "a.b.C$DError: x", "}", "];", "at x"} <= {texts[n] for n in each}


def test_bytes_that_are_no_entries_are_refused() -> None:
    with pytest.raises(Rejected, match="no open entries"):
        FrameJoiner.load(b"nothing")
