"""What goes to a terminal, and what does not."""

import io
import json
import sys
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
import typer
from rich.text import Text

from streams.commands.terminal import as_json, confirmed, console, rows, safe, show

ATTACK = "done \x1b]0;title\x07\x1b[2J\u202eevil\r"


class Terminal(io.StringIO):
    """Standard output that says that it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


class Pair(NamedTuple):
    """A tuple with names."""

    one: int
    two: str


def test_text_from_outside_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show(ATTACK, Text.assemble((ATTACK, "red")))
    said = capsys.readouterr().out
    assert not set(said) & {"\x1b", "\x07", "\r", "\u202e"}
    assert said.count("title") == 2


def test_styles_stay_where_they_were_on_cleaned_text() -> None:
    cleaned = safe(Text.assemble("a\x1bb", ("red\x1b", "red")))
    assert cleaned.plain[cleaned.spans[-1].start :] == "red\N{REPLACEMENT CHARACTER}"


def test_a_terminal_gets_colours_unless_it_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", coloured)
    show(Text("hot", "red"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", plain)
    show(Text("hot", "red"))
    assert coloured.getvalue() == "\x1b[31mhot\x1b[0m\n"
    assert plain.getvalue() == "hot\n"


def test_a_pipe_gets_columns_that_are_never_broken(capsys: pytest.CaptureFixture[str]) -> None:
    rows(("A", "LONG"), [("1", "x" * 300), ("22", Text("y", "red"))])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["A   LONG", "1   " + "x" * 300, "22  y"]
    assert not console().is_terminal


def test_a_narrow_terminal_cuts_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are copied into the next command."""
    out = Terminal()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", out)
    rows(("NAME", "SECOND", "LAST"), [("inc-27c35e6e9373", "x " * 20, "y " * 20)])
    assert "inc-27c35e6e9373" in out.getvalue()


def test_json_takes_what_events_hold(capsys: pytest.CaptureFixture[str]) -> None:
    as_json({"at": datetime(2026, 1, 1, tzinfo=UTC), "raw": b"\xff{", "pair": Pair(1, "b")})
    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-01-01T00:00:00+00:00",
        "raw": "\\xff{",
        "pair": {"one": 1, "two": "b"},
    }


def test_only_a_yes_goes_on() -> None:
    confirmed("Sure?", yes=False, ask=lambda _: True)
    confirmed("Sure?", yes=True, ask=lambda _: False)
    with pytest.raises(typer.Exit):
        confirmed("Sure?", yes=False, ask=lambda _: False)


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(typer.BadParameter, match="add --yes"):
        confirmed("Sure?", yes=False)
