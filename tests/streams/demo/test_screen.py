"""What is printed where there is no terminal, and what the closing tables hold."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from streams.demo.charts import chart
from streams.demo.closing import close
from streams.demo.mode import Mode
from streams.demo.screen import Screen
from streams.demo.story import P95, Point
from streams.demo.summary import summarise
from streams.demo.telling import Line
from tests.story import START
from tests.streams.demo.play import Play, fixed, quiet, rolled_back


def console() -> Console:
    return Console(file=io.StringIO(), width=110, highlight=False, markup=False)


def printed(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_a_line_has_the_time_and_cannot_steer_the_terminal() -> None:
    out = console()
    with Screen(out, clock=lambda: START) as screen:
        screen.say(Line("anomaly", "red \x1b[31m and [bold]loud[/bold]", "red"))
    stamp = f"{START.astimezone():%H:%M:%S}.0"
    assert (
        printed(out)
        == f"{stamp} anomaly  red \N{REPLACEMENT CHARACTER}[31m and [bold]loud[/bold]\n"
    )


def test_progress_without_a_terminal_is_a_line_every_tenth() -> None:
    out = console()
    with Screen(out, clock=lambda: START) as screen:
        screen.phase("Learning")
        for percent in range(101):
            screen.progress(percent / 100)
    lines = printed(out).splitlines()
    assert len(lines) == 11
    assert lines[1].endswith("Learning: 10 %")


def test_a_terminal_gets_the_numbers_of_the_story() -> None:
    out = Console(file=io.StringIO(), width=110, force_terminal=True, color_system=None)
    story = fixed().seen.story
    story.lines[P95] = [Point(0.0, 0.1), Point(1.0, 0.9)]
    with Screen(out, clock=lambda: START) as screen:
        screen.phase("Watching")
        screen.follow(story)
        screen.draw()
        assert "0.90 s" in printed(out)
        assert "61.0%" in printed(out)  # of the budget
        screen.settle()
        before = printed(out)
        screen.draw()
        assert printed(out) == before


@pytest.mark.parametrize(
    ("mode", "play", "words"),
    [
        (Mode.fix, fixed, ["incident opened", "scale-workers", "staging", "production",
                           "Cost avoided: 120.50 EUR (10.00 to 900.00) = a * b",
                           "Forecast: budget gone in 41.5 min", "Outcome: resolved",
                           "Everything that fix promises was seen."]),
        (Mode.break_fix, rolled_back, ["undone", "do failed", "Outcome: escalated"]),
        (Mode.no_fault, quiet, ["Outcome: quiet"]),
        (Mode.no_fault, fixed, ["Not as it should be: the outcome is resolved, not quiet"]),
    ],
)  # fmt: skip
def test_the_end_tells_it_all_once_more(
    mode: Mode, play: Callable[[], Play], words: list[str]
) -> None:
    out, seen = console(), play().seen
    seen.story.lines[P95] = [Point(START.timestamp() + n, n / 10) for n in range(20)]
    close(out, seen, summarise(mode, seen), [])
    assert [word for word in words if word not in printed(out)] == []


def test_a_chart_without_colours_is_plain_text_with_its_marks() -> None:
    points = [Point(100.0 + n, n % 7) for n in range(50)]
    text = chart("p95", points, zero=110, marks={"fault": 110}, width=80, colours=False)
    assert "\x1b" not in text
    assert "fault 0" in text
    assert max(map(len, text.splitlines())) <= 80
    coloured = chart("p95", points, zero=110, marks={"fault": 110}, width=80, colours=True)
    assert "\x1b" in coloured
