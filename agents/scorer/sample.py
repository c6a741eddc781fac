"""One sample as the later steps see it: placed in time, in both domains, with its floors."""

from typing import NamedTuple


class Sample(NamedTuple):
    """A sample of one series, or the mean of a bin of them.

    `number` counts the samples before it; `at` is epoch seconds; `x` the value and `y` its robust
    logarithm; `dt` seconds between samples; `floor` and `floor_y` the least distance in x and y
    that is worth noticing.
    """

    number: float
    at: float
    x: float
    y: float
    dt: float
    floor: float
    floor_y: float
