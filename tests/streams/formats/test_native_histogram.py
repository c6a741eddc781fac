"""Native histograms of remote write: the series that the same histogram of OTLP becomes."""

import struct
from itertools import accumulate, islice, pairwise
from typing import Any

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.formats.columns import STALE, Native, Parsed, Reading
from streams.formats.proto import remote_write_v1_pb2 as v1
from streams.formats.proto import remote_write_v2_pb2 as v2
from tests.streams.formats import contract
from tests.streams.formats.goldens_otlp import POINT, _request
from tests.streams.formats.reading import NOW, parsed, reading, samples
from tests.streams.formats.test_remote_write import packed

LABELS = {"__name__": "rt", "job": "shop"}
VERSIONS = pytest.mark.parametrize("name", ["remote-write", "remote-write-2"])
OWN = '{job="shop",service="shop"}'
RESET, GAUGE = 1, 3
(ENDED,) = struct.unpack("<d", struct.pack("<Q", STALE))


def request(name: str, *histograms: Any, labels: dict[str, str] | None = None) -> bytes:
    """Histograms of one series; each a message of either version."""
    found = LABELS if labels is None else labels
    if name == "remote-write":
        pairs = [v1.Label(name=k, value=v).SerializeToString() for k, v in found.items()]
        given = [v1.Histogram.FromString(one.SerializeToString()) for one in histograms]
        one = v1.WriteRequest(timeseries=[v1.TimeSeries(labels=pairs, histograms=given)])
        return packed(one)
    texts = [text for pair in found.items() for text in pair]
    series = v2.TimeSeries(labels_refs=range(1, len(texts) + 1), histograms=histograms)
    return packed(v2.Request(symbols=["", *texts], timeseries=[series]))


def spans(numbers: list[int]) -> list[v2.BucketSpan]:
    """Where these buckets are, as few spans as it takes."""
    found: list[v2.BucketSpan] = []
    following = 0
    for number in numbers:
        if found and number == following:
            found[-1].length += 1
        else:
            found.append(v2.BucketSpan(offset=number - following, length=1))
        following = number + 1
    return found


def native(
    positive: dict[int, int], negative: dict[int, int] | None = None, *, zeros: int = 0,
    floats: bool = False, schema: int = 0, **told: Any,
) -> v2.Histogram:  # fmt: skip
    """A histogram as Prometheus sends it, of counts by buckets' numbers."""
    sides = [dict(sorted((side or {}).items())) for side in (positive, negative)]
    total = zeros + sum(sum(side.values()) for side in sides)
    one = v2.Histogram(**{"sum": 4.5, "schema": schema, "timestamp": NOW, **told})
    up, down = ([0, *side.values()] for side in sides)
    one.positive_spans.extend(spans(list(sides[0])))
    one.negative_spans.extend(spans(list(sides[1])))
    if floats:
        one.count_float, one.zero_count_float = told.get("count_float", total), zeros
        one.positive_counts.extend(up[1:])
        one.negative_counts.extend(down[1:])
    else:
        one.count_int, one.zero_count_int = told.get("count_int", total), zeros
        one.positive_deltas.extend(after - before for before, after in pairwise(up))
        one.negative_deltas.extend(after - before for before, after in pairwise(down))
    return one


def exported(
    positive: dict[int, int], negative: dict[int, int], zeros: int, scale: int, threshold: float
) -> bytes:
    """The same histogram as OTLP has it: a bucket's number is one less, none is left out."""
    sides = {}
    for side, counts in (("positive", positive), ("negative", negative)):
        if counts:
            each = range(min(counts), max(counts) + 1)
            told = [str(counts.get(number, 0)) for number in each]
            sides[side] = {"offset": min(counts) - 1, "bucketCounts": told}
    point = {
        **POINT, **sides, "scale": scale, "zeroCount": str(zeros), "zeroThreshold": threshold,
        "count": str(zeros + sum(positive.values()) + sum(negative.values())), "sum": 4.5,
        "timeUnixNano": str(NOW * 1_000_000), "attributes": [],
    }  # fmt: skip
    data = {"aggregationTemporality": 2, "dataPoints": [point]}
    metric: dict[str, object] = {"name": "rt", "exponentialHistogram": data}
    return _request(metric).SerializeToString()


def by_metric(result: Parsed, using: Reading) -> dict[str, float]:
    """Values by series, its labels left out where it has no bound."""
    return {name.replace(OWN, ""): value for name, _, value in samples(result, using)}


def shape(result: Parsed, using: Reading) -> list[tuple[str, str, float]]:
    """Metric, bound and value, whatever the other labels are."""
    found = []
    for name, at, value in samples(result, using):
        metric, _, labels = name.partition("{")
        bound = labels.partition('le="')[2].partition('"')[0]
        assert at == NOW
        found.append((metric, bound, value))
    return sorted(found)


counts = st.dictionaries(st.integers(-600, 600), st.integers(1, 9), max_size=12)


@settings(deadline=None, max_examples=60)
@given(
    counts, counts, counts, st.integers(0, 5), st.integers(-4, 8), st.sampled_from([0.0, 1e-128]),
    st.booleans(), st.sampled_from(["remote-write", "remote-write-2"]),
)  # fmt: skip
def test_it_becomes_what_the_same_histogram_of_otlp_does(
    positive: dict[int, int], negative: dict[int, int], more: dict[int, int], zeros: int,
    scale: int, threshold: float, floats: bool, name: str,  # noqa: FBT001 - drawn
) -> None:  # fmt: skip
    """Twice: buckets, count, sum, and then quantiles of what was observed between."""
    ours, theirs = reading(), reading()
    positive, negative, more = (
        {number >> max(-scale, 0): count for number, count in side.items()}
        for side in (positive, negative, more)
    )  # bounds that a float can hold
    for _ in range(2):
        one = native(
            positive, negative, zeros=zeros, floats=floats, schema=scale, zero_threshold=threshold
        )
        found = parsed(name, request(name, one), using=ours)
        raw = exported(positive, negative, zeros, scale, threshold)
        expected = parsed("otlp-proto", raw, using=theirs)
        assert not found.rejects
        assert not expected.rejects
        assert shape(found, ours) == shape(expected, theirs)
        positive = {key: positive.get(key, 0) + more.get(key, 0) for key in positive | more}


@VERSIONS
def test_buckets_count_and_sum_are_series(name: str) -> None:
    """At schema 0 bucket 1 ends at 2 and bucket 3 at 8; what is between them is empty."""
    using = reading()
    one = native({1: 3, 3: 1}, {0: 2}, zeros=4, zero_threshold=0.001)
    result = parsed(name, request(name, one), using=using)
    assert by_metric(result, using) == {
        'rt_bucket{job="shop",le="-0.5",service="shop"}': 2.0,
        'rt_bucket{job="shop",le="0.001",service="shop"}': 6.0,
        'rt_bucket{job="shop",le="2",service="shop"}': 9.0,
        'rt_bucket{job="shop",le="4",service="shop"}': 9.0,
        'rt_bucket{job="shop",le="8",service="shop"}': 10.0,
        'rt_bucket{job="shop",le="+Inf",service="shop"}': 10.0,
        "rt_sum": 4.5,
        "rt_count": 10.0,
    }
    assert (result.native, result.skips) == (Native(1, 8), {})


@VERSIONS
@pytest.mark.parametrize("floats", [False, True])
def test_quantiles_are_of_what_was_observed_since(name: str, floats: bool) -> None:  # noqa: FBT001 - a case
    using = reading()
    batch = [
        native({1: 10}, floats=floats),
        native({1: 10, 2: 4}, floats=floats, timestamp=NOW + 1),
    ]
    found = by_metric(parsed(name, *(request(name, one) for one in batch), using=using), using)
    assert (found["rt_p50"], found["rt_p95"]) == (3.0, 3.9)


@VERSIONS
@pytest.mark.parametrize("hint", [0, RESET, 2])
def test_a_reset_has_no_quantiles_even_where_no_count_has_fallen(name: str, hint: int) -> None:
    using = reading()
    batch = [native({1: 10}), native({1: 10, 2: 4}, timestamp=NOW + 1, reset_hint=hint)]
    found = by_metric(parsed(name, *(request(name, one) for one in batch), using=using), using)
    assert ("rt_p50" in found) == (hint != RESET)


@VERSIONS
def test_a_gauge_histogram_is_no_counter(name: str) -> None:
    """It tells of now: quantiles at once, and names that nobody makes rates of."""
    using = reading()
    result = parsed(name, request(name, native({1: 10}, reset_hint=GAUGE)), using=using)
    found = by_metric(result, using)
    assert found == {
        "rt_gcount": 10.0, "rt_gsum": 4.5, "rt_p50": 1.0, "rt_p95": 1.9, "rt_p99": 1.98
    }  # fmt: skip
    assert result.skips == {"gauge-histogram-buckets": 1}
    assert result.native == Native(1, 5)


@VERSIONS
@pytest.mark.parametrize("floats", [False, True])
def test_custom_buckets_are_those_of_a_classic_histogram(name: str, floats: bool) -> None:  # noqa: FBT001 - a case
    using = reading()
    one = native({0: 3, 2: 1}, floats=floats, schema=-53, custom_values=[0.1, 0.5])
    found = by_metric(parsed(name, request(name, one), using=using), using)
    assert found == {
        'rt_bucket{job="shop",le="0.1",service="shop"}': 3.0,
        'rt_bucket{job="shop",le="0.5",service="shop"}': 3.0,
        'rt_bucket{job="shop",le="+Inf",service="shop"}': 4.0,
        "rt_sum": 4.5,
        "rt_count": 4.0,
    }


@VERSIONS
def test_a_stale_marker_ends_a_histogram(name: str) -> None:
    """Prometheus marks the end in the sum; the count beside it is 0, which is no reset."""
    using = reading()
    result = parsed(name, request(name, native({}, sum=ENDED)), using=using)
    assert samples(result, using) == []
    assert (result.skips, result.native) == ({"stale": 1}, Native(1, 1))


@VERSIONS
def test_observations_that_are_no_number_lie_above_every_bound(name: str) -> None:
    using = reading()
    one = native({1: 3}, sum=float("nan"), count_int=5)
    result = parsed(name, request(name, one), using=using)
    found = by_metric(result, using)
    assert found['rt_bucket{job="shop",le="2",service="shop"}'] == 3
    assert found['rt_bucket{job="shop",le="+Inf",service="shop"}'] == found["rt_count"] == 5
    assert result.skips == {"nan": 1}
    assert result.native.elements == result.elements


def broken(**told: Any) -> v2.Histogram:
    """A good histogram with something else in it."""
    one = native({1: 3, 3: 1})
    one.MergeFrom(v2.Histogram(**told))
    return one


@VERSIONS
@pytest.mark.parametrize(
    ("one", "said"),
    [
        (broken(positive_deltas=[1]), "3 counts in spans of 2 buckets"),
        (broken(negative_spans=[v2.BucketSpan(offset=1, length=2**31)]), "0 counts in spans"),
        (broken(positive_spans=[v2.BucketSpan(offset=-1, length=0)]), "spans that overlap"),
        (broken(count_int=5), "4 in buckets, 5 in all"),
        (native({1: -1}, count_int=0), "a count of -1"),
        (native({1: 1}, floats=True, count_float=float("nan")), "a count of nan"),
        (broken(schema=100), "scale 100"),
        (broken(schema=-20), "scale -20"),
        (broken(zero_threshold=float("nan")), "within nan"),
        (native({0: 1, 2: 1}, schema=-53, custom_values=[1.0]), "beyond the 1 custom bounds"),
        (native({-1: 1}, schema=-53, custom_values=[1.0]), "beyond the 1 custom bounds"),
        (native({0: 1}, {0: 1}, schema=-53, custom_values=[1.0]), "beyond the 1 custom bounds"),
        (native({0: 1}, schema=-53, custom_values=[2.0, 1.0]), "bounds that do not ascend"),
    ],
)
def test_one_that_contradicts_itself_costs_itself(name: str, one: v2.Histogram, said: str) -> None:
    good = native({1: 3}, timestamp=NOW + 1)
    using = reading()
    result = parsed(name, request(name, one, good), using=using)
    (reject,) = result.rejects
    assert (reject.rule, reject.elements) == ("bad-histogram", 1)
    assert said in reject.reason
    assert by_metric(result, using)["rt_count"] == 3


@VERSIONS
def test_one_of_nobody_is_refused_with_all_that_it_would_be(name: str) -> None:
    using = reading()
    raw = request(name, native({1: 3}), labels={"__name__": "rt"})
    result = parsed(name, raw, using=using)
    (reject,) = result.rejects
    assert reject.rule == "no-service"
    assert result.native == Native()


@VERSIONS
def test_buckets_far_apart_cost_no_more_than_others(name: str) -> None:
    """Two numbers may claim a range of two thousand million."""
    using = reading()
    one = native({-(2**30): 1, 2**30 - 1: 1}, schema=8)
    result = parsed(name, request(name, one), using=using)
    assert not result.rejects
    assert len(result.samples.code) < 40
    (code,) = (code for code, name in enumerate(using.series.names) if "_count" in name)
    held = using.series.buckets.get(code)
    assert held is not None
    assert len(held) == len(using.series.buckets.pairs[: using.series.buckets.used[0]]) == 2


@VERSIONS
def test_a_request_has_no_more_buckets_than_it_may(name: str) -> None:
    using = reading(elements=3)
    many = request(name, *[native(dict.fromkeys(range(3), 1))] * 3)
    assert not parsed(name, many, using=using).rejects
    more = [native(dict.fromkeys(range(60), 1)), native({1: 1})]
    (reject,) = parsed(name, request(name, *more), using=using).rejects
    assert reject.rule == "too-many-elements"


def test_quantiles_are_those_of_the_data() -> None:
    data = np.random.default_rng(7).lognormal(size=4000)
    number, count = np.unique(np.ceil(np.log2(data) * 8).astype(int), return_counts=True)
    one = native(dict(zip(number.tolist(), count.tolist(), strict=True)), schema=3)
    using = reading()
    empty = native({}, timestamp=NOW - 1, schema=3)
    raw = [request("remote-write-2", each) for each in (empty, one)]
    found = by_metric(parsed("remote-write-2", *raw, using=using), using)
    for q in (50, 95, 99):
        off = np.log2(found[f"rt_p{q}"] / np.quantile(data, q / 100))
        assert abs(off) < 1.01 * 2**-3
    assert list(accumulate(count))[-1] == found["rt_count"]


def _accounts_for(name: str, count: int) -> None:
    """Whatever becomes of mutants, each has a fate, and what stands beside it the same one."""
    good = request(name, native({1: 3}, reset_hint=GAUGE, timestamp=NOW - 1))
    seeds = [
        bytes(cramjam.snappy.decompress_raw(request(name, *histograms)))
        for histograms in (
            (native({1: 3, 4: 1}, {2: 5}, zeros=2), native({1: 9}, floats=True)),
            (native({0: 3, 2: 1}, schema=-53, custom_values=[0.1, 0.5]), native({}, sum=ENDED)),
            (native({-9: 1, 700: 2}, schema=8, reset_hint=GAUGE), native({3: 1}, reset_hint=RESET)),
        )
    ]
    using, read = reading(late_s=0, future_s=0, series_per_service=10**6), 0
    for mutant in islice(contract.mutations(seeds, seeds, seed=count), count):
        result = parsed(name, good, packed(mutant), good, using=using)
        assert result.samples.code.tolist().count(result.samples.code[0]) >= 2
        assert result.elements >= 2 * 6 + 1
        assert all(reject.record == 1 for reject in result.rejects)
        read += not result.rejects
    assert read, "no mutant was read at all"


@VERSIONS
def test_mutants_are_accounted_for(name: str) -> None:
    _accounts_for(name, 300)


@pytest.mark.faults
@VERSIONS
def test_ten_thousand_mutants_are_accounted_for(name: str) -> None:
    _accounts_for(name, 10_000)
