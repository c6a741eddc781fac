"""Log lines for the tests: frames by hand, as the wire gives them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from schemas.frames import CodedLines, Lines, read_coded_lines
from tests.frames import write_lines

T0 = 1_767_323_040_000  # epoch ms, a bucket's begin


class Line(NamedTuple):
    """A log line; `at` is in seconds after T0."""

    at: float
    text: str
    severity: str = "info"
    service: str = "shop"
    labels: str = ""


def frame(lines: Iterable[Line]) -> CodedLines:
    """The frame of these lines."""
    return read_coded_lines(written(lines))


def written(lines: Iterable[Line]) -> bytes:
    """The frame of these lines as bytes."""
    rows = list(lines)
    return write_lines(
        Lines(
            [row.service for row in rows],
            np.array([T0 + round(row.at * 1000) for row in rows], np.int64),
            [row.severity for row in rows],
            [row.text for row in rows],
            [row.labels for row in rows],
        )
    )
