"""Rhythm: how long the pauses of what is said again and again are, and whether it stopped.

Time is counted in buckets. A silence counts as long when it is several times the longest pause
so far; the gaps of a process without memory exceed three times the longest of n with a
probability of about 1/n³. A template must also have been left out of several times as many
lines of its service as ever before: where all say less, nothing has stopped.
"""

import msgspec

SPOKEN = 60  # buckets in which it was said, before its rhythm is known
SPAN = 180  # buckets since it began: half an hour
FACTOR = 3.0  # times the longest pause
LEAST = 6  # buckets beyond it: a minute
LEAST_LINES = 20
WEEK = 60_480  # buckets in which an old pause counts half: nights and weekends are remembered
FADED = tuple(0.5 ** (since / WEEK) for since in range(60))  # nearly all are as short as this


class Rhythm(msgspec.Struct, array_like=True):
    """When something was said, as far as its pauses need it."""

    began: int  # bucket
    last: int  # bucket
    spoke: int = 0  # buckets
    pause: float = 0.0  # buckets, longest, faded
    others: float = 0.0  # lines of the service in a pause, most, faded
    at_line: int = 0  # lines of the service when it was last said

    def heard(self, bucket: int, before: int, after: int) -> None:
        """It was said in a bucket; `before` and `after` it the service had said so many lines."""
        if self.spoke:
            since = bucket - self.last
            fading = FADED[since] if since < len(FADED) else 0.5 ** (since / WEEK)
            pause, others = self.pause * fading, self.others * fading
            self.pause = pause if pause > since - 1 else since - 1.0
            self.others = others if others > before - self.at_line else float(before - self.at_line)
        self.spoke += 1
        self.last, self.at_line = bucket, after


def silence(rhythm: Rhythm, bucket: int) -> float:
    """How long it has been silent by the end of a bucket, 1 or more for too long.

    >>> silence(Rhythm(began=0, last=300, spoke=200, pause=1), 318)
    2.0
    """
    if rhythm.spoke < SPOKEN or rhythm.last - rhythm.began < SPAN:
        return 0.0
    return (bucket - rhythm.last) / (FACTOR * rhythm.pause + LEAST)


def left_out(rhythm: Rhythm, lines: int) -> float:
    """The same in lines of its service."""
    return (lines - rhythm.at_line) / (FACTOR * rhythm.others + LEAST_LINES)
