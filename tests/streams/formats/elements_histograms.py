"""How many samples a histogram makes: its buckets, sum and count, and quantiles where they can be.

Of a delta they can; of a cumulative one they need the one before, so that the first of a series has
none.
"""

import math

from tests.streams.formats.elements import Unit, Units, UntoldError

FINITE = 1e300
QUANTILES = 3
MOST_BUCKETS = 32  # of an exponential histogram, as series: finer ones are merged in pairs
SCALES = range(-11, 22)
LARGEST = 900  # power of two, of a float's 1023


def histogram(bounds: list[float], counts: list[float], *, delta: bool, total: bool) -> Unit:
    """A histogram with explicit bounds; whether it keeps a sum is `total`."""
    if any(count < 0 for count in counts):
        raise UntoldError
    buckets = len(bounds)
    if counts and (len(bounds) < len(counts) or bounds[-1] != math.inf):
        buckets += 1  # the unbounded one need not be said
    quantiles = QUANTILES if delta and sum(counts) > 0 and buckets > 1 else 0
    return Unit(buckets + total + 1 + quantiles)


def exponential(
    scale: int,
    zero: tuple[float, float],
    sides: list[tuple[int, list[float]]],
    *,
    delta: bool,
    total: bool,
) -> Unit:
    """The buckets of an exponential histogram, as series: of whole powers of two or wider ones.

    So many pairs are merged as leave no more than MOST_BUCKETS; to these come zero's bucket, of
    `zero`'s count and width, and the unbounded one. Not told where bounds are beyond what a float
    can hold, or may be the same as zero's.
    """
    spans = [(offset, offset + len(counts) - 1) for offset, counts in sides if counts]
    zeros, threshold = zero
    ends = [end * 2.0**-scale for span in spans for end in span] if scale in SCALES else [math.inf]
    if max(map(abs, ends), default=0) > LARGEST or not 0 <= threshold < FINITE:
        raise UntoldError
    if threshold and ends and min(ends) - 1 <= math.log2(threshold) <= max(ends) + 1:
        raise UntoldError
    counts = [zeros, *(count for _, counts in sides for count in counts)]
    if not all(0 <= count < math.inf for count in counts):
        raise UntoldError
    halvings = max(scale, 0)
    while (width := sum(_width(span, halvings) for span in spans)) > MOST_BUCKETS:
        halvings += 1
    return Unit(width + 2 + total + 1 + QUANTILES * (delta and sum(counts) > 0))


def _width(span: tuple[int, int], halvings: int) -> int:
    start, end = span
    return (end >> halvings) - (start >> halvings) + 1


def alone(found: list[tuple[Unit, bool]]) -> Units:
    """Units; not told where two are cumulative histograms, which may be of one series."""
    if sum(cumulative for _, cumulative in found) > 1:
        raise UntoldError
    return [unit for unit, _ in found]
