"""What the person sees while it runs: a live view on a terminal, plain lines anywhere else.

Both say the same. The live view redraws its lower part and lets lines scroll above it, so
that the whole story is in the terminal's history afterwards.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streams.commands.terminal import safe
from streams.demo.charts import sparkline
from streams.demo.story import DEPTH, ERRORS, P95, Story
from streams.demo.telling import Line

SPARK = 40  # characters of a sparkline
WIDTH = 110  # of tables and charts where there is no terminal to ask


class Screen:
    """Phases, progress and lines; `clock` stamps them."""

    def __init__(self, console: Console, *, clock: Callable[[], datetime]) -> None:
        self.console = console
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._phase, self._done, self._said = "", 0.0, 0
        self._story: Story | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()

    def settle(self) -> None:
        """Take the live view away: from here on the screen only grows."""
        if self._live:
            self._live.update("", refresh=True)
            self._live.stop()
            self._live = None

    def phase(self, name: str) -> None:
        """A new part of the demo begins."""
        self._phase, self._done, self._said = name, 0.0, 0
        self.say(Line("demo", name, "bold"))

    def progress(self, done: float) -> None:
        """How much of the phase is over, ratio."""
        self._done = min(done, 1.0)
        tenths = round(self._done * 1000) // 100
        if self._live is None and tenths > self._said:
            self._said = tenths
            self.say(Line("demo", f"{self._phase}: {tenths * 10} %", "dim"))
        self.draw()

    def say(self, line: Line) -> None:
        """One line of the story, with the time."""
        now = self._clock().astimezone()
        stamp = f"{now:%H:%M:%S}.{now.microsecond // 100_000} {line.what:<9}"
        text = Text.assemble((stamp, "dim"), safe(Text(line.text, line.style)))
        self.console.print(text, soft_wrap=True)

    def follow(self, story: Story) -> None:
        """Show this story's numbers from now on."""
        self._story = story

    def draw(self) -> None:
        """Bring the live view up to date; nothing on other screens."""
        if self._live:
            self._live.update(self._view(), refresh=True)

    def _view(self) -> Panel:
        parts: list[Table | ProgressBar] = []
        if self._story is not None:
            parts.append(_numbers(self._story))
        if 0 < self._done < 1:
            parts.append(ProgressBar(total=1.0, completed=self._done))
        return Panel(Group(*parts), title=self._phase, title_align="left", border_style="blue")


def _numbers(story: Story) -> Table:
    table = Table.grid(padding=(0, 2))
    rows = (
        ("checkout p95", story.lines[P95], 1.0, "{:.2f} s"),
        ("checkout errors", story.lines[ERRORS], 1.0, "{:.0%}"),
        ("jobs waiting", story.lines[DEPTH], 0.0, "{:.0f}"),
        ("budget left", story.budget_left, 1.0, "{:.1%}"),
    )
    for name, points, top, form in rows:
        value = form.format(points[-1].value) if points else "-"
        table.add_row(name, Text(value, "bold"), sparkline(points, SPARK, top=top))
    return table


def console_for(*, json: bool) -> Console:
    """Standard output; standard error when standard output is kept for JSON."""
    chosen = Console(stderr=json, highlight=False, markup=False, emoji=False)
    if not chosen.is_terminal:
        chosen.width = WIDTH
    return chosen
