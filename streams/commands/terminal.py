"""What a person or another program sees: colours and tables on a terminal, plain lines elsewhere.

Data goes to standard output, everything else to standard error. Texts of events come from
outside, so characters that would steer the terminal are shown, not obeyed.
"""

import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cell = str | Text

MINUTE = 60.0
TENTHS = 10.0  # seconds below which tenths matter
UNITS = (((86400, "d"), (3600, "h")), ((3600, "h"), (60, "m")), ((60, "m"), (1, "s")))

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def console(*, stderr: bool = False) -> Console:
    """Standard output (or error) as it is now; rich honours NO_COLOR."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def show(*lines: Cell) -> None:
    """Print lines; only a terminal breaks the long ones."""
    out = console()
    for line in lines:
        out.print(safe(line), soft_wrap=not out.is_terminal)


def say(line: str) -> None:
    """Tell the person something that is not data."""
    sys.stderr.write(f"{plain(line)}\n")
    sys.stderr.flush()


def rows(head: Sequence[str], body: Sequence[Sequence[Cell]]) -> None:
    """A table on a terminal, else aligned columns without the head's decoration."""
    out = console()
    cells = [[safe(cell) for cell in row] for row in body]
    if out.is_terminal:
        table = Table(box=None, pad_edge=False, header_style="bold")
        longest = max(len(text) for text in (head[0], *(row[0].plain for row in cells)))
        table.add_column(head[0], min_width=longest, no_wrap=True)  # a name is copied: never cut
        for name in head[1:]:
            table.add_column(name, overflow="fold")
        for row in cells:
            table.add_row(*row)
        out.print(table)
        return
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    for line in (head, *(tuple(cell.plain for cell in row) for row in cells)):
        padded = (f"{text:<{width}}" for text, width in zip(line, widths, strict=True))
        out.print("  ".join(padded).rstrip(), soft_wrap=True)


def as_json(value: Any) -> None:
    """One JSON value on one line."""
    sys.stdout.write(orjson.dumps(value, default=_jsonable).decode() + "\n")
    sys.stdout.flush()


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    raise TypeError(f"{type(value).__name__} is not for JSON")


def plain(text: str) -> str:
    r"""The text with all that steers a terminal replaced; line ends stay.

    >>> plain("red \x1b[31m and\nback")
    'red �[31m and\nback'
    """
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def safe(cell: Cell) -> Text:
    """The cell as text that only has our own styles."""
    if isinstance(cell, str):
        return Text(plain(cell))
    cleaned = plain(cell.plain)  # as long as it was, so that the styles still fit
    return Text(cleaned, style=cell.style, spans=list(cell.spans))


def clock(at: datetime | None) -> str:
    """A time of day in UTC, with the date; a dash for none."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z" if at else "-"


def span(length: timedelta) -> str:
    """A length of time for a person.

    >>> [span(timedelta(seconds=s)) for s in (4.25, 300, 3725, 30 * 86400)]
    ['4.2s', '5m', '1h02m', '30d']
    """
    seconds = length.total_seconds()
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    if seconds < MINUTE:
        return f"{sign}{seconds:.1f}s" if seconds < TENTHS else f"{sign}{seconds:.0f}s"
    for (size, name), (lesser, rest) in UNITS:
        if seconds >= size * (2 if name == "d" else 1):  # 47h says more than 1d23h
            more = int(seconds % size // lesser)
            return f"{sign}{int(seconds // size)}{name}" + (f"{more:02}{rest}" if more else "")
    raise AssertionError(seconds)


def confirmed(question: str, *, yes: bool, ask: Callable[[str], bool] | None = None) -> None:
    """Go on only after a y; without a terminal only with --yes. Raises BadParameter or Exit."""
    if yes:
        return
    if ask is None and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on: add --yes")
    agreed = (ask or (lambda text: typer.confirm(text, err=True)))(question)
    if not agreed:
        say("nothing was sent")
        raise typer.Exit(1)
