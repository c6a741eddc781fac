"""Skeletons: values leave, what is said stays."""

import random
import string

import pytest

from agents.logs.signature import LENGTH, signature
from agents.logs.skeleton import TOKENS, skeleton
from agents.logs.tokens import ANY, MASK

SAME = [
    ("took 5 ms", "took 17 ms"),
    ("GET http://a/b?c=d done", "GET https://host.example/x/y done"),
    ("from 10.0.0.1 port 22", "from 192.168.100.200 port 60222"),
    ("at aa:bb:cc:dd:ee:ff now", "at 11:22:33:44:55:66 now"),
    ("at fe80:abcd::dead:beef now", "at fe80:aaaa::dead:cafe now"),
    ("open /etc/passwd failed", "open ./run/x.sock failed"),
    (r"open C:\Windows\x.dll failed", r"open D:\a\b\c.dll failed"),
    ("on Mon Jan 5 12:00:01 2026 said", "on Tue Feb 17 01:02:03 UTC 2026 said"),
    ("read 5 bytes ok", "read 12.5 KB (12800 B) ok"),
    ("done <1 sec ago", "done 5ms ago"),
    ("to a.very.long.Name now", "to some.other.Class$Inner now"),
    ("mail ann@example.com sent", "mail bob+x@example.org sent"),
    ("ids 1, 2, 3 gone", "ids 4 gone"),
    ("tags [north, south] set", "tags [west, north, east] set"),
    ("args () given", "args (5) given"),
    ("threshold.........5", "threshold.............17"),
    ("token=hunter sent", "token=other sent"),
    ('{"password": "two words", "a": 1}', '{"password": "x", "a": 2}'),
    ("deadbeef found", "cafebabe found"),
    ("took 5 ms\r\n", "took 5 ms"),
]
DIFFERENT = [
    ("link up", "link down"),
    ("IPv4 only", "IPv6 only"),
    ("took 5 ms", "took 5 s"),
    ("threshold....5", "depth....5"),
    ("a [x]", "a (x)"),
    ("service [started, checked]", "service [started]"),
    ("password changed", "password expired"),
]


def tokens(line: str) -> tuple[str, ...]:
    return skeleton(signature(line)).tokens


@pytest.mark.parametrize(("one", "other"), SAME)
def test_values_make_no_difference(one: str, other: str) -> None:
    assert tokens(one) == tokens(other)
    assert MASK in tokens(one) or one.strip() == other.strip()


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_is_said_does(one: str, other: str) -> None:
    assert tokens(one) != tokens(other)


def test_a_word_labelled_secret_is_in_no_skeleton() -> None:
    assert "hunter" not in " ".join(tokens("connect --password hunter to db://ann:hunter@db/x"))


def test_a_line_without_tokens_has_one_empty_token() -> None:
    assert tokens("") == tokens(" \t ") == ("",)


def test_no_line_can_forge_a_mark() -> None:
    found = tokens("a <+> b <*> c")
    assert ANY not in found
    assert "+" in found


@pytest.mark.parametrize("id_of", ["ab" * 7, "ab" * 9 + "c", "ab" * 12, "a1" * 40])
def test_where_a_long_line_is_cut_makes_no_word_of_a_half(id_of: str) -> None:
    """Values of any width push the cut to and fro; the list after them stays one value."""
    assert tokens("read " + f"{id_of} " * 100 + "!") == tokens("read " + "abababab " * 100 + "!")


def test_every_line_gives_bounded_tokens_each_with_its_gap() -> None:
    """Whatever the line: random punctuation, nesting, no blanks, a megabyte."""
    draw = random.Random(1)
    alphabet = string.punctuation + string.ascii_letters + string.digits + " \t\né0"
    lines = ["".join(draw.choices(alphabet, k=draw.randrange(1500))) for _ in range(300)]
    for line in (*lines, "x" * 1_000_000, "(" * 5000, "a " * 5000, "[a," * 900, "1," * 900):
        found = skeleton(signature(line))
        assert 1 <= len(found.tokens) == len(found.gaps) <= TOKENS
        assert len(signature(line)) <= LENGTH
        assert "0" not in "".join(found.tokens)
