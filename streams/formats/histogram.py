"""Histograms of every make as series: buckets as Prometheus names them, count, sum, quantiles.

Buckets are counted cumulatively under `le`, as detect's counters expect them. An exponential
histogram's fine buckets are used for its quantiles; as series they are merged to powers of
two (or of 4, 16, ...: each a subset of the one before), because a series for each of up to
some hundred bounds that move with the data would be a new series with every sample.

Quantiles are of what was observed since the histogram last spoke: of the counts themselves
when they are deltas, else of what the counts have grown by. The first of a cumulative
histogram has none, and nor has one whose buckets changed or whose counts fell (a restart).

Source: OpenTelemetry metrics data model, "Histogram" and "ExponentialHistogram"; Prometheus,
`histogram_quantile`.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from streams.formats.limits import Refused
from streams.formats.record import Record

QUANTILES = (("_p50", 0.50), ("_p95", 0.95), ("_p99", 0.99))
MOST_BUCKETS = 32  # series of an exponential histogram's buckets
SCALES = range(-11, 22)  # what the data model calls reasonable; beyond, a bound is no number
FINEST = SCALES[-1]  # its fractions of a power of two are products of one of HIGH and one of LOW
HIGH = [2.0 ** (i / 2**10) for i in range(2**10)]
LOW = [2.0 ** (i / 2**FINEST) for i in range(2**11)]


class Buckets(NamedTuple):
    """Upper bounds, ascending, the last one infinite; and how many were observed in each."""

    bounds: Sequence[float]
    counts: Sequence[float]


class Side(NamedTuple):
    """Exponential buckets above zero, or below it: the others of them are empty."""

    numbers: Sequence[int]  # ascending
    counts: Sequence[float]

    def width(self, halvings: int) -> int:
        """How many buckets there are from the first to the last, merged in pairs so often."""
        if not self.numbers:
            return 0
        return (self.numbers[-1] >> halvings) - (self.numbers[0] >> halvings) + 1

    def merged(self, halvings: int) -> "Side":
        """The same counts in larger buckets, from the first to the last one."""
        counts = [0.0] * self.width(halvings)
        first = self.numbers[0] >> halvings if counts else 0
        for number, count in zip(self.numbers, self.counts, strict=True):
            counts[(number >> halvings) - first] += count
        return Side(range(first, first + len(counts)), counts)


class Told(NamedTuple):
    """One data point of a histogram."""

    at: object
    buckets: Buckets  # as series
    fine: Buckets  # for quantiles; often the same
    observed: float  # how many in all
    total: float | None  # the sum, where the producer keeps one
    delta: bool
    low: float = -math.inf  # the smallest and largest observed, where the producer knows
    high: float = math.inf
    reset: bool = False  # the counts began again since it last spoke, as the producer knows


def classic(bounds: Sequence[float], counts: Sequence[float]) -> Buckets:
    """Buckets with explicit bounds; the infinite one may be left out of them. Raises Refused."""
    limits = list(bounds)
    if not counts and not limits:
        return Buckets((), ())  # a histogram without buckets: count and sum only
    if len(limits) == len(counts) - 1:
        limits.append(math.inf)
    if len(limits) != len(counts):
        raise Refused("bad-histogram", f"{len(counts)} counts for {len(bounds)} bounds")
    if any(not low < high for low, high in pairwise(limits)) or math.isnan(limits[0]):
        raise Refused("bad-histogram", "bounds that do not ascend")
    if limits[-1] != math.inf:
        return Buckets([*limits, math.inf], [*counts, 0])
    return Buckets(limits, counts)


def exponential(
    scale: int, zeros: float, threshold: float, positive: Side, negative: Side
) -> tuple[Buckets, Buckets]:
    """An exponential histogram's buckets, merged for series and as they are.

    Bucket i of a side is of the values from base**i up to base**(i + 1), where base is
    2**(2**-scale). Raises Refused.
    """
    if scale not in SCALES:
        raise Refused("bad-histogram", f"scale {scale}: {SCALES[0]} to {SCALES[-1]} make sense")
    if not 0 <= threshold < math.inf:
        raise Refused("bad-histogram", f"zero is what is within {threshold:g}")
    halvings = max(scale, 0)
    while positive.width(halvings) + negative.width(halvings) > MOST_BUCKETS:
        halvings += 1
    merged = (positive.merged(halvings), negative.merged(halvings))
    return (
        _laid_out(scale - halvings, zeros, threshold, *merged),
        _laid_out(scale, zeros, threshold, positive, negative),
    )


def _laid_out(
    scale: int, zeros: float, threshold: float, positive: Side, negative: Side
) -> Buckets:
    # The upper bound of a negative bucket is the one that is nearer to zero
    counted = [(-edge(scale, i), count) for i, count in zip(*negative, strict=True)]
    counted += [(edge(scale, i + 1), count) for i, count in zip(*positive, strict=True)]
    counted += [
        (-edge(scale, i + 1), 0.0) for i, after in pairwise(negative.numbers) if after > i + 1
    ]
    counted += [(edge(scale, i), 0.0) for before, i in pairwise(positive.numbers) if i > before + 1]
    merged: dict[float, float] = {}
    for bound, count in [*counted, (threshold, zeros), (math.inf, 0.0)]:
        merged[bound] = merged.get(bound, 0.0) + count
    ordered = sorted(merged)
    return Buckets(ordered, [merged[bound] for bound in ordered])


def edge(scale: int, index: int) -> float:
    """2**(index * 2**-scale), by tables and products that compiled code has the same bits of.

    >>> edge(0, 3), edge(-2, 1), edge(1, 3) == 2**1.5
    (8.0, 16.0, True)
    """
    power, part = divmod(index << max(-scale, 0), 1 << max(scale, 0))
    part <<= FINEST - max(scale, 0)
    try:
        return math.ldexp(HIGH[part >> 11] * LOW[part & 2047], power)
    except OverflowError:
        return math.inf


def quantile(
    q: float, buckets: Buckets, low: float = -math.inf, high: float = math.inf
) -> float | None:
    """The value below which the share `q` lies, linear within its bucket; None of nothing.

    In the last, unbounded bucket it is that bucket's lower bound, as Prometheus has it.

    >>> quantile(0.5, Buckets([1.0, 2.0, math.inf], [5, 10, 0]))
    1.25
    """
    total = sum(buckets.counts)
    if not total > 0 or len(buckets.bounds) < 2:  # noqa: PLR2004 - one bucket tells nothing
        return None
    rank, seen, lower = q * total, 0.0, -math.inf
    for upper, count in zip(buckets.bounds, buckets.counts, strict=True):
        if count and seen + count >= rank:
            break
        seen, lower = seen + count, upper
    if upper == math.inf:
        found = lower
    else:
        if lower == -math.inf:
            lower = min(0.0, upper)
        found = lower + (upper - lower) * (rank - seen) / count
    return min(max(found, low), high)


Namer = Callable[[], Mapping[str, str]]


def note(record: Record, key: Hashable, metric: str, labels: Namer, told: Told) -> None:
    """Note one data point: a sample a bucket, the count, the sum, and quantiles."""
    cumulated = list(accumulate(told.buckets.counts))
    if cumulated and abs(cumulated[-1] - told.observed) > 1e-9 * told.observed:
        raise Refused("bad-histogram", f"{cumulated[-1]:g} in buckets, {told.observed:g} in all")
    for bound, count in zip(told.buckets.bounds, cumulated, strict=True):
        le = "+Inf" if bound == math.inf else repr(float(bound)).removesuffix(".0")
        record.sample(
            (key, le),
            f"{metric}_bucket",
            lambda le=le: {**labels(), "le": le},  # type: ignore[misc] # its own of each round
            told.at,
            count,
            increment=told.delta,
        )
    if told.total is not None:
        record.sample(
            (key, "sum"), f"{metric}_sum", labels, told.at, told.total, increment=told.delta
        )
    code = record.sample(
        (key, "count"), f"{metric}_count", labels, told.at, told.observed, increment=told.delta
    )
    lately = told.fine if told.delta else _since(record, code, told)
    if lately is not None:
        note_quantiles(record, key, metric, labels, told, lately)


def note_quantiles(
    record: Record, key: Hashable, metric: str, labels: Namer, told: Told, lately: Buckets
) -> None:
    """Note the quantiles of what was observed."""
    for suffix, q in QUANTILES:
        value = quantile(q, lately, told.low, told.high)
        if value is not None and math.isfinite(value):
            record.sample((key, suffix), metric + suffix, labels, told.at, value)


def _since(record: Record, code: int, told: Told) -> Buckets | None:
    """What a cumulative histogram observed since it last spoke, None when that is not known."""
    if code < 0:
        return None
    known, (bounds, counts) = record.reading.series.buckets, told.fine
    now = {upper for upper, count in zip(bounds, counts, strict=True) if count}
    before = known.get(code)
    known.put(code, bounds, counts)
    if before is None or told.reset or not before.keys() <= now:
        return None
    grown = [count - before.get(upper, 0.0) for upper, count in zip(bounds, counts, strict=True)]
    return Buckets(bounds, grown) if min(grown, default=0) >= 0 else None
