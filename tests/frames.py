"""Frames of log lines as tests write them."""

import numpy as np

from schemas.frames import Lines, LineWriter


def write_lines(lines: Lines) -> bytes:
    """A frame of all these lines."""
    return LineWriter(lines).write(np.arange(len(lines.text)))
