"""Zeros that stand for what a producer does not know, among the samples of one record.

Telegraf writes a metric a record to Kafka, and a bucket of a histogram is a metric to it. Where
the record's format wants whole histograms (remote write, text exposition), it fills in the rest:
sum, count and the infinite bucket are 0, at the time at which other records have their values.
A summary's quantile gets a sum and a count so. As samples they would be resets of counters.

Told by what only they are: all there is in a record, and a contradiction (a bucket that holds
more than there is in all, a quantile of nothing) or, of an empty bucket, at least no loss.

Source: Telegraf 1.37, plugins/serializers/prometheusremotewrite and plugins/serializers/prometheus.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

FEWEST, MOST = 3, 4  # samples of a record that has such zeros
INFINITE = "+Inf"


class Given(NamedTuple):
    """A sample of a record."""

    metric: str
    labels: Mapping[str, str]
    at: object
    value: float


def placeholders(given: Sequence[Given]) -> list[int]:
    """Which of a record's samples stand for nothing.

    >>> at = {"at": 1, "value": 0.0}
    >>> rest = [Given("s_sum", {}, **at), Given("s_count", {}, **at)]
    >>> placeholders([Given("s_bucket", {"le": "+Inf"}, 1, 7.0), *rest])
    [1, 2]
    """
    by = {_part(one): place for place, one in enumerate(given)}
    total, count = by.get("sum"), by.get("count")
    if not FEWEST <= len(given) == len(by) <= MOST or total is None or count is None:
        return []
    if given[total].value or given[count].value or not _alike(given):
        return []
    infinite, bucket, quantile = by.get("infinite"), by.get("bucket"), by.get("quantile")
    match len(given), infinite, bucket, quantile:
        case 4, int(), int(), None if not given[infinite].value:
            return sorted((total, count, infinite))
        case 3, int(), None, None if given[infinite].value:
            return sorted((total, count))
        case 3, None, None, int() if not math.isnan(given[quantile].value):
            return sorted((total, count))
    return []


def _part(one: Given) -> str:
    """What a sample is of a histogram or a summary; its own name for one that is neither."""
    if one.metric.endswith("_bucket") and "le" in one.labels:
        return "infinite" if one.labels["le"] == INFINITE else "bucket"
    if "quantile" in one.labels:
        return "quantile"
    for part in ("sum", "count"):
        if one.metric.endswith(f"_{part}"):
            return part
    return f"={one.metric}"


def _alike(given: Sequence[Given]) -> bool:
    """Whether samples are of one histogram or summary, and of one time."""
    parts = ("_bucket", "_sum", "_count")
    of = set()
    for one in given:
        suffix = next((part for part in parts if one.metric.endswith(part)), "")
        own = frozenset(pair for pair in one.labels.items() if pair[0] not in {"le", "quantile"})
        of.add((one.metric.removesuffix(suffix) if suffix else one.metric, own, one.at))
    return len(of) == 1
