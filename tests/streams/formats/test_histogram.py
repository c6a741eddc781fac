"""Histograms: buckets add up, merging loses nothing, quantiles are where the data are."""

import math
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.formats.histogram import (
    MOST_BUCKETS,
    Buckets,
    Side,
    classic,
    exponential,
    quantile,
)
from streams.formats.limits import Refused
from tests.streams.formats.goldens_otlp import POINT, _json, _request
from tests.streams.formats.reading import parsed, reading, samples


def side(offset: int, counts: list[int]) -> Side:
    """Buckets one behind the other."""
    return Side(range(offset, offset + len(counts)), counts)


sides = st.tuples(st.integers(-600, 600), st.lists(st.integers(0, 9), max_size=200))


@settings(deadline=None, max_examples=60)
@given(st.integers(-3, 8), sides, sides, st.integers(0, 5))
def test_merged_buckets_count_what_the_fine_ones_do(
    scale: int, positive: tuple[int, list[int]], negative: tuple[int, list[int]], zeros: int
) -> None:
    """At each merged bound, as many lie below as by the fine buckets: merging is exact."""
    coarse, fine = exponential(scale, zeros, 0.0, side(*positive), side(*negative))
    assert sum(coarse.counts) == sum(fine.counts) == zeros + sum(positive[1]) + sum(negative[1])
    assert list(coarse.bounds) == sorted(set(coarse.bounds))
    assert len(coarse.bounds) <= MOST_BUCKETS + 6
    below = dict(zip(fine.bounds, accumulate(fine.counts), strict=True))
    for bound, seen in zip(coarse.bounds, accumulate(coarse.counts), strict=True):
        if bound > 0 and bound in below:
            assert seen == below[bound]


@pytest.mark.parametrize("scale", [0, 3, 8])
def test_quantiles_of_a_fine_histogram_are_those_of_the_data(scale: int) -> None:
    data = np.random.default_rng(7).lognormal(size=4000)
    index = np.ceil(np.log2(data) * 2**scale).astype(int) - 1
    offset = int(index.min())
    counts = np.bincount(index - offset).tolist()
    _, fine = exponential(scale, 0, 0.0, side(offset, counts), side(0, []))
    for q in (0.5, 0.95, 0.99):
        found = quantile(q, fine)
        assert found is not None
        assert abs(math.log2(found / np.quantile(data, q))) < 1.01 * 2**-scale


@pytest.mark.parametrize(
    ("bounds", "counts"),
    [
        ([1, 2, 3], [1, 2]),
        ([1, 2], [1]),
        ([2, 1], [0, 0, 0]),
        ([1, 1], [0, 0, 0]),
        ([math.nan], [0, 0]),
    ],
)
def test_bounds_that_are_none_are_refused(bounds: list[float], counts: list[float]) -> None:
    with pytest.raises(Refused, match=r"counts for|ascend") as refusal:
        classic(bounds, counts)
    assert refusal.value.rule == "bad-histogram"


@pytest.mark.parametrize("scale", [-12, 22, 2**31 - 1])
def test_a_scale_beyond_reason_is_refused(scale: int) -> None:
    with pytest.raises(Refused, match="make sense"):
        exponential(scale, 0, 0.0, side(0, [1]), side(0, []))


def test_bounds_beyond_a_float_are_infinite() -> None:
    coarse, fine = exponential(-11, 0, 0.0, side(2**31 - 1, [1]), side(-(2**31), [1]))
    assert coarse.bounds[-1] == fine.bounds[-1] == math.inf
    assert sum(coarse.counts) == 2


def test_nothing_observed_has_no_quantile() -> None:
    assert quantile(0.5, Buckets([1.0, math.inf], [0, 0])) is None


def _cumulative(*counts: int) -> bytes:
    point = {
        **POINT,
        "count": str(sum(counts)),
        "bucketCounts": [str(count) for count in counts],
        "explicitBounds": [1, 2],
    }
    data = {"aggregationTemporality": 2, "dataPoints": [point]}
    return _json(_request({"name": "rt", "histogram": data}))


def test_a_cumulative_histogram_has_quantiles_of_what_was_observed_since() -> None:
    using = reading(late_s=0)
    batches = [_cumulative(100, 0, 0), _cumulative(100, 10, 0), _cumulative(1, 0, 0)]
    found = [
        {
            series.split("{")[0]: value
            for series, _, value in samples(parsed("otlp-json", raw, using=using), using)[-6:]
            if "_p" in series.split("{")[0]
        }
        for raw in batches
    ]
    assert found[0] == found[2] == {}, "the first, and one after a restart"
    assert found[1] == {"rt_p50": 1.5, "rt_p95": 1.95, "rt_p99": 1.99}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("histogram", {"bucketCounts": ["0"] * 5, "explicitBounds": [1, 2, 3, 4]}),
        ("exponentialHistogram", {"scale": 3, "positive": {"bucketCounts": ["0"] * 5}}),
        ("summary", {"quantileValues": [{"quantile": q / 10, "value": 1.0} for q in range(5)]}),
    ],
)
@pytest.mark.parametrize("name", ["otlp-json", "otlp-proto"])
def test_a_point_has_no_more_parts_than_a_record_may_have_elements(
    name: str, kind: str, told: dict[str, object]
) -> None:
    """A few bytes a bucket would otherwise cost much more than they are."""
    data: dict[str, object] = {"dataPoints": [{**POINT, "count": "0", "sum": 0.0, **told}]}
    if kind != "summary":
        data["aggregationTemporality"] = 2
    request = _request({"name": "rt", kind: data})
    raw = _json(request) if name == "otlp-json" else request.SerializeToString()
    using = reading(late_s=0, elements=5)
    assert not parsed(name, raw, using=using, service="shop").rejects
    tight = reading(late_s=0, elements=4)
    (reject,) = parsed(name, raw, using=tight, service="shop").rejects
    assert reject.rule == "too-many-elements"
