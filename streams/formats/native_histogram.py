"""Prometheus' native histograms as series, as OTLP's exponential ones become them.

Schemas -4 to 8 are exponential buckets: their number i is of the values from base**(i - 1) up to
base**i, where OTLP's is of those up to base**(i + 1). Schema -53 has bounds of its own, and so is
a classic histogram in another dress. Observations that are no number are counted, but in no
bucket; they count as above every bound, as `histogram_quantile` has them.

A reset that the sender knows of has no quantiles, like one that shows in the counts. A gauge
histogram may fall without a reset, so it is no counter and has names of its own, OpenMetrics'
`_gcount` and `_gsum`; what it says is of now, and so are its quantiles. Its buckets would have
the name of counters and are left out.

Source: Prometheus, "Native Histograms"; prompb/types.proto; OpenMetrics, "GaugeHistogram".
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from streams.formats.columns import STALE
from streams.formats.histogram import (
    Buckets,
    Side,
    Told,
    classic,
    exponential,
    note,
    note_quantiles,
)
from streams.formats.limits import Refused
from streams.formats.record import Record
from streams.formats.verdict import too_many

CUSTOM = -53  # the schema of bounds of its own
RESET, GAUGE = 1, 3  # hints


def note_native(
    record: Record, key: Hashable, metric: str, labels: Mapping[str, str], given: Any
) -> bool:
    """Note one native histogram of remote write, of either version; False: its series is refused.

    Raises Refused for one that contradicts itself.
    """
    if np.float64(given.sum).view(np.uint64) == STALE:
        record.skip("stale")
        return True
    told, before = _told(record, given), len(record.rows.code)
    if given.reset_hint != GAUGE:
        note(record, key, metric, lambda: labels, told)
        return len(record.rows.code) > before
    for suffix, value in (("gcount", told.observed), ("gsum", given.sum)):
        record.sample((key, suffix), f"{metric}_{suffix}", labels, told.at, value)
    note_quantiles(record, key, metric, lambda: labels, told, told.fine)
    record.skip("gauge-histogram-buckets")
    return len(record.rows.code) > before


def _told(record: Record, given: Any) -> Told:
    sides = [
        _side(given.positive_spans, given.positive_deltas, given.positive_counts, given),
        _side(given.negative_spans, given.negative_deltas, given.negative_counts, given),
    ]
    buckets = sum(len(side.numbers) for side in sides) + len(given.custom_values)
    too_many(buckets, record.limits.elements)
    series, fine = (_custom if given.schema == CUSTOM else _exponential)(given, *sides)
    observed = _count(given, "count")
    if math.isnan(given.sum) and (unplaced := observed - sum(fine.counts)) > 0:
        series, fine = _above(series, unplaced), _above(fine, unplaced)
    return Told(
        at=given.timestamp,
        buckets=series,
        fine=fine,
        observed=observed,
        total=given.sum,
        delta=False,
        reset=given.reset_hint == RESET,
    )


def _count(given: Any, field: str) -> float:
    """A count that is an integer or a float, 0 when it is neither. Raises Refused."""
    kind = given.WhichOneof(field)
    found: float = getattr(given, kind) if kind else 0
    return _counted(found)


def _counted(count: float) -> float:
    if not 0 <= count < math.inf:
        raise Refused("bad-histogram", f"a count of {count:g}")
    return count


def _side(spans: Sequence[Any], deltas: Sequence[int], counts: Sequence[float], given: Any) -> Side:
    whole = given.WhichOneof("count") != "count_float"
    count = list(accumulate(deltas) if whole else counts)
    if (claimed := sum(span.length for span in spans)) != len(count):
        raise Refused("bad-histogram", f"{len(count)} counts in spans of {claimed} buckets")
    numbers: list[int] = []
    following = 0  # the number after the last bucket's
    for place, span in enumerate(spans):
        if place and span.offset < 0:
            raise Refused("bad-histogram", "spans that overlap")
        first = following + span.offset
        following = first + span.length
        numbers += range(first, following)
    return Side(numbers, [_counted(one) for one in count])


def _exponential(given: Any, positive: Side, negative: Side) -> tuple[Buckets, Buckets]:
    """Buckets for series and for quantiles. Raises Refused."""
    up, down = (Side([n - 1 for n in side.numbers], side.counts) for side in (positive, negative))
    zeros = _count(given, "zero_count")
    return exponential(given.schema, zeros, given.zero_threshold, up, down)


def _custom(given: Any, positive: Side, negative: Side) -> tuple[Buckets, Buckets]:
    """Buckets whose bounds are told, for both. Raises Refused."""
    bounds = list(given.custom_values)
    if negative.numbers or any(not 0 <= number <= len(bounds) for number in positive.numbers):
        raise Refused("bad-histogram", f"buckets beyond the {len(bounds)} custom bounds")
    counts = [0.0] * (len(bounds) + 1)
    for number, count in zip(positive.numbers, positive.counts, strict=True):
        counts[number] = count
    buckets = classic(bounds, counts)
    return buckets, buckets


def _above(buckets: Buckets, count: float) -> Buckets:
    """The buckets with so many more in the last one, which is unbounded."""
    return Buckets(buckets.bounds, [*buckets.counts[:-1], buckets.counts[-1] + count])
