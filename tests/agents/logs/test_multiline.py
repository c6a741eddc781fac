"""Multiline: a trace is one entry, whatever language it is of, and its gist one line."""

import random
from collections.abc import Iterable

import pytest

from agents.logs.multiline import CHARACTERS, PARTS, Entry, Joiner, Part, entry_of, gist
from schemas.errors import Rejected

JAVA = """order 5 failed
java.lang.IllegalStateException: cannot pay
\tat com.shop.Pay.run(Pay.java:12)
\t... 7 more
Caused by: java.net.ConnectException: refused
\tat java.net.Socket.connect(Socket.java:1)
\tSuppressed: java.io.IOException: closed
"""
PYTHON = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
    pay()
KeyError: 'card'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 2, in pay
shop.errors.PaymentError: no card
"""
GO = """panic: runtime error: index out of range [5]
goroutine 1 [running]:
main.pay(0x1, 0x2)
\t/src/pay.go:12 +0x1d
created by main.main
\t/src/main.go:5 +0x5
exit status 2
"""
NET = """Unhandled exception. System.InvalidOperationException: no card
   at Shop.Pay.Run() in Pay.cs:line 12
--- End of inner exception stack trace ---
   at Shop.Main()
"""
JSON = """config is {
  "a": 1
}
"""
GISTS = [
    (JAVA, "order 5 failed | ConnectException: refused"),
    (PYTHON, "PaymentError: no card"),
    (GO, "panic: runtime error: index out of range [5]"),
    (NET, "Unhandled exception. System.InvalidOperationException: no card"),
    (JSON, "config is {"),
    ("pay failed\n" + PYTHON, "pay failed | PaymentError: no card"),
    ("one line\n", "one line"),
]


def parts(text: str, source: str = "shop", at: int = 0) -> list[Part]:
    return [Part(source, at + i, "error", line) for i, line in enumerate(text.splitlines())]


def added(joiner: Joiner, rows: Iterable[Part]) -> list[Entry]:
    """The entries that these lines end, in the order in which they end."""
    return [entry_of(ended) for row in rows if (ended := joiner.add(row))]


def joined(*rows: Part) -> list[Entry]:
    joiner = Joiner()
    return added(joiner, rows) + held(joiner)


def held(joiner: Joiner) -> list[Entry]:
    return [entry_of(entry) for entry in joiner.open.values()]


@pytest.mark.parametrize(("text", "_gist"), GISTS)
def test_a_trace_is_one_entry_between_lines_that_are_not_of_it(text: str, _gist: str) -> None:
    rows = [*parts("all is well"), *parts("still well"), *parts(text), *parts("well again")]
    if text.startswith("Traceback"):  # joins the line before it, which mostly announces it
        expected = ["all is well", "still well\n" + text.rstrip("\n"), "well again"]
    else:
        expected = ["all is well", "still well", text.rstrip("\n"), "well again"]
    assert [entry.text.rstrip("\n") for entry in joined(*rows)] == expected


@pytest.mark.parametrize(("text", "expected"), GISTS)
def test_the_gist_says_what_failed_without_the_way_there(text: str, expected: str) -> None:
    assert gist(text.rstrip("\n")) == expected


def test_sources_are_joined_apart() -> None:
    """Two pods that write at once do not get into each other's traces."""
    rows = [row for pair in zip(parts(JAVA, "a"), parts(JAVA, "b"), strict=True) for row in pair]
    assert [(entry.source, entry.text) for entry in joined(*rows)] == [
        ("a", JAVA.rstrip("\n")),
        ("b", JAVA.rstrip("\n")),
    ]


def test_an_indented_line_that_comes_later_begins_an_entry() -> None:
    rows = [Part("a", 0, "", "done"), Part("a", 60_000, "", "  indented")]
    assert [entry.text for entry in joined(*rows)] == ["done", "  indented"]


def test_batches_dumps_and_loads_change_nothing() -> None:
    draw = random.Random(9)
    rows = [row for i in range(60) for row in parts(draw.choice(GISTS)[0], draw.choice("abc"), i)]
    expected = joined(*rows)
    joiner, found = Joiner(), []
    while rows:
        cut = draw.randrange(1, 9)
        found += added(joiner, rows[:cut])
        rows = rows[cut:]
        joiner = Joiner.load(joiner.dump())
    assert found + held(joiner) == expected


def test_an_entry_is_bounded() -> None:
    trace = [Part("a", 0, "", "head"), *[Part("a", 0, "", "\tat x") for _ in range(2000)]]
    (entry,) = joined(*trace)
    assert entry.text.count("\n") == PARTS - 1
    (entry,) = joined(Part("a", 0, "", "head"), *[Part("a", 0, "", "\t" + "x" * 999)] * 50)
    assert len(entry.text) < 2 * CHARACTERS


def test_bytes_that_are_no_entries_are_refused() -> None:
    with pytest.raises(Rejected, match="no open entries"):
        Joiner.load(b"nothing")
