"""Lines of the demo's numbers for a terminal: a sparkline for the live view, charts for the end."""

from collections.abc import Mapping, Sequence

import plotext

from streams.demo.story import Point

BLOCKS = "▁▂▃▄▅▆▇█"
WIDEST, HEIGHT = 100, 12  # characters


def sparkline(points: Sequence[Point], width: int, *, top: float = 0.0) -> str:
    """The last `width` points as blocks, from 0 to the highest of them or `top`.

    >>> sparkline([Point(0, 0), Point(1, 1), Point(2, 2)], 8)
    '▁▅█'
    """
    last = [max(point.value, 0.0) for point in points[-width:]]
    highest = max([top, *last], default=0.0) or 1.0
    return "".join(BLOCKS[round(value / highest * (len(BLOCKS) - 1))] for value in last)


def chart(
    title: str,
    points: Sequence[Point],
    *,
    zero: float,
    marks: Mapping[str, float],
    width: int,
    colours: bool,
) -> str:
    """A line over seconds since `zero`; `marks` are moments by name, drawn upright. Epoch s.

    Text of at most `width` columns, without escape codes unless `colours`.
    """
    figure = plotext.figure
    figure.clear()
    figure.theme("dark" if colours else "colorless")
    figure.plot_size(min(width, WIDEST), HEIGHT)
    named = ", ".join(f"{name} {at - zero:.0f}" for name, at in marks.items())
    figure.title(f"{title}; seconds, {named}")
    times = [point.at - zero for point in points]
    drawn = figure.signal(times, [point.value for point in points], marker="braille")
    figure.draw(drawn.lines(True))  # noqa: FBT003 - plotext's own way to join the points
    for at in marks.values():
        figure.line(at - zero, orientation=1)
    text = str(figure.build())
    return text if colours else str(plotext.uncolorize(text))
