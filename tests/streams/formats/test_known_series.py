"""What compiled code reads of messages met before is what the formats' own readers find."""

from itertools import islice

import pytest
from cramjam import snappy

from streams.formats.columns import Parsed, Reading, Rows
from streams.formats.otlp_scan import KnownPoints, known_points
from streams.formats.proto import remote_write_v1_pb2 as v1
from streams.formats.proto import remote_write_v2_pb2 as v2
from streams.formats.write_scan import KnownSeries, Left, known_series
from tests.streams.formats import contract
from tests.streams.formats.goldens_otlp import GAUGE_PROTO, POINT, _request
from tests.streams.formats.reading import NOW, parsed, reading, samples
from tests.streams.formats.test_remote_write import packed

LABELS = (
    {"__name__": "m", "job": "a"},
    {"__name__": "m", "job": "b"},
    {"__name__": "n", "job": "a"},
)


def written(at: int, *values: float, known: int = 3) -> bytes:
    """One sample of each series."""
    series = [
        v1.TimeSeries(
            labels=[v1.Label(name=k, value=v).SerializeToString() for k, v in labels.items()],
            samples=[v1.Sample(value=value, timestamp=at)],
        )
        for labels, value in zip(LABELS[:known], values, strict=True)
    ]
    return packed(v1.WriteRequest(timeseries=series))


def written_2(at: int, *values: float, known: int = 3) -> bytes:
    """The same in version 2, with what Prometheus says of each series beside its sample."""
    request, symbols = v2.Request(), {"": 0}
    for labels, value in zip(LABELS[:known], values, strict=True):
        texts = [text for pair in labels.items() for text in pair]
        refs = [symbols.setdefault(text, len(symbols)) for text in texts]
        series = request.timeseries.add(labels_refs=refs)
        series.samples.add(value=value, timestamp=at, start_timestamp=NOW - 7)
        series.metadata.type = 1
        series.metadata.help_ref = symbols.setdefault("What it is.", len(symbols))
        series.created_timestamp = NOW - 9
    request.symbols.extend(symbols)
    return packed(request)


def exported(at: int, *values: float) -> bytes:
    """A gauge, an integer, a cumulative sum, of two points each."""
    numbers = ({"asDouble": values[0]}, {"asInt": str(int(values[1]))}, {"asDouble": values[2]})
    points = [[{**POINT, **number, "timeUnixNano": str(at * 1_000_000)}] * 2 for number in numbers]
    return _request(
        {"name": "g", "description": "d", "unit": "1", "gauge": {"dataPoints": points[0]}},
        {"name": "i", "gauge": {"dataPoints": points[1]}},
        {
            "name": "s",
            "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": points[2]},
        },
    ).SerializeToString()


MAKERS = {"remote-write": written, "remote-write-2": written_2, "otlp-proto": exported}
VERSIONS = {"remote-write": 1, "remote-write-2": 2}
makers = pytest.mark.parametrize("name", MAKERS)
writers = pytest.mark.parametrize("name", VERSIONS)


def warm(name: str, **limits: object) -> Reading:
    """A reading that has met the makers' series."""
    using = reading(late_s=0, future_s=0, **limits)
    for _ in range(2):
        parsed(name, MAKERS[name](NOW, 1.5, 2, 3.25), using=using)
    return using


def learned(using: Reading, name: str) -> KnownSeries | KnownPoints:
    """What a reading knows of a format's messages."""
    if name == "otlp-proto":
        return known_points(using.series, "")
    return known_series(using.series, VERSIONS[name], "")


def known(using: Reading, name: str, raw: bytes) -> bool:
    """Whether a message is read without its format's own reader."""
    found = learned(using, name)
    if isinstance(found, KnownPoints):
        return not list(found.through([raw], 50_000, using.series).stops())
    return not found.read([bytes(snappy.decompress_raw(raw))], 50_000)[1]


def same(found: Parsed, using: Reading, expected: Parsed, cold: Reading) -> None:
    """Samples, dead letters and what was left out are the same."""
    assert samples(found, using) == samples(expected, cold)
    assert found.rejects == expected.rejects
    assert found.skips == expected.skips
    assert found.faults == expected.faults


@makers
@pytest.mark.parametrize("values", [(0.0, 0.0, 0.0), (1.5, -7.0, 1e300), (-0.0, 2**40, 5e-324)])
def test_known_series_are_read_alike(name: str, values: tuple[float, ...]) -> None:
    raw = MAKERS[name](NOW + 1000, *values)
    cold, using = reading(late_s=0, future_s=0), warm(name)
    assert known(using, name, raw)
    expected = samples(parsed(name, raw, using=cold), cold)
    assert samples(parsed(name, raw, using=using), using) == expected
    assert len(expected) == 3 * (1 + (name == "otlp-proto"))


@makers
def test_new_and_known_keep_their_order(name: str) -> None:
    using = warm(name)
    other = GAUGE_PROTO if name == "otlp-proto" else NEW[name]
    batch = [MAKERS[name](NOW, 1, 2, 3), other, MAKERS[name](NOW, 4, 5, 6)]
    cold = reading(late_s=0, future_s=0)
    one = [sample for raw in batch for sample in samples(parsed(name, raw, using=cold), cold)]
    assert samples(parsed(name, *batch, using=using), using) == one


@makers
def test_forgotten_series_are_learned_again(name: str) -> None:
    """A sweep gives series new numbers; none of the old may be used."""
    using = warm(name)
    later = NOW + int(using.limits.series_idle_s * 3000)
    using.series.sweep(NOW)
    assert using.series.sweep(later)
    raw = MAKERS[name](NOW, 1, 2, 3)
    cold = reading(late_s=0, future_s=0)
    assert samples(parsed(name, raw, using=using), using) == samples(
        parsed(name, raw, using=cold), cold
    )


@makers
def test_a_record_has_no_more_samples_for_being_known(name: str) -> None:
    using = warm(name)
    tight = Reading(using.limits.model_copy(update={"elements": 2}), using.series)
    result = parsed(name, MAKERS[name](NOW, 1, 2, 3), using=tight)
    assert [reject.rule for reject in result.rejects] == ["too-many-elements"]
    assert result.elements == 1


@makers
def test_dead_letters_name_the_same_element(name: str) -> None:
    """Too late is found after reading, of known series too."""
    raw = MAKERS[name](NOW - 2_000_000_000, 1, 2, 3)
    using, cold = warm(name), reading(late_s=3600, future_s=0)
    late = Reading(cold.limits, using.series)
    assert known(using, name, raw)
    expected = parsed(name, raw, using=cold)
    assert expected.faults[-1].element == len(expected.faults) - 1 >= 2
    same(parsed(name, raw, using=late), late, expected, cold)


def _agrees(name: str, count: int) -> None:
    """Mutants of what is known come out as they do for who knows nothing."""
    seeds = [MAKERS[name](NOW, 1.5, 2, 3.25)]
    if name in VERSIONS:
        seeds = [bytes(snappy.decompress_raw(raw)) for raw in (*seeds, mixed(name))]
    using = warm(name)
    met = 0
    for mutant in islice(contract.mutations(seeds, seeds, seed=count), count):
        raw = packed(mutant) if name in VERSIONS else mutant
        cold = reading(late_s=0, future_s=0)
        using.series.buckets.clear()  # of histograms: what nobody knows has no quantiles
        expected, found = parsed(name, raw, using=cold), parsed(name, raw, using=using)
        same(found, using, expected, cold)
        met += not found.rejects
    assert met, "no mutant was read at all"


@makers
def test_mutants_are_read_alike(name: str) -> None:
    _agrees(name, 300)


@pytest.mark.faults
@makers
def test_ten_thousand_mutants_are_read_alike(name: str) -> None:
    _agrees(name, 10_000)


@makers
def test_what_is_learned_of_a_message_is_as_large_as_its_series(name: str) -> None:
    """Not as its bytes: a record may unpack to very many that name nothing."""
    using = warm(name)
    found = learned(using, name)
    before = len(found._tree.nodes)
    message = {"remote-write-2": b"\x22\x00" + b"".join(b"\x22\x04%04d" % n for n in range(9999))}
    rows = Rows(code=[0], at=[NOW], value=[1.0], origin=[1 << 40])
    if isinstance(found, KnownPoints):
        found.learn(b"\x0a\x00" * 2**20, [NOW], rows, 0)
    else:
        found.learn(Left(message.get(name, b"\x0a\x00" * 2**20), None), rows, 0)
    assert len(found._tree.nodes) == before
    assert known(using, name, MAKERS[name](NOW + 1, 1, 2, 3))


@makers
def test_a_request_of_many_series_is_known_when_it_comes_again(name: str) -> None:
    """More than there was room for at first."""
    if name in VERSIONS:
        raw = request(name, *({"__name__": f"m{n}", "job": "a"} for n in range(5000)))
    else:
        gauges: list[dict[str, object]] = [
            {"name": f"m{n}", "gauge": {"dataPoints": [{**POINT, "asDouble": float(n)}]}}
            for n in range(5000)
        ]
        raw = _request(*gauges).SerializeToString()
    using = reading(late_s=0, future_s=0)
    first = samples(parsed(name, raw, using=using), using)
    assert known(using, name, raw)
    assert samples(parsed(name, raw, using=using), using) == first
    assert len(first) == 5000


def request(name: str, *series: dict[str, str]) -> bytes:
    """A request of remote write, the series numbered by their values."""
    return packed(message(name, *series))


def message(name: str, *series: dict[str, str]) -> v1.WriteRequest | v2.Request:
    """The same, not packed yet."""
    if name == "remote-write":
        one = v1.WriteRequest()
        for n, labels in enumerate(series):
            pairs = [v1.Label(name=k, value=v).SerializeToString() for k, v in labels.items()]
            one.timeseries.add(labels=pairs).samples.add(value=n, timestamp=NOW)
        return one
    two, symbols = v2.Request(), {"": 0}
    for n, labels in enumerate(series):
        refs = [symbols.setdefault(text, len(symbols)) for pair in labels.items() for text in pair]
        two.timeseries.add(labels_refs=refs).samples.add(value=n, timestamp=NOW)
    two.symbols.extend(symbols)
    return two


OTHERS = (
    {"__name__": "h", "job": "a"},
    {"__name__": "e", "job": "a"},
    {"__name__": "new", "job": "c"},
)


def mixed(name: str) -> bytes:
    """Known series, and between them a histogram, exemplars alone, and a series nobody met."""
    one = message(name, LABELS[0], OTHERS[0], LABELS[1], OTHERS[1], LABELS[2], OTHERS[2])
    histogram = one.timeseries[1].histograms.add(count_int=3, sum=4.5, timestamp=NOW)
    histogram.positive_spans.add(offset=1, length=2)
    histogram.positive_deltas.extend([1, 1])
    for place in (1, 3):
        del one.timeseries[place].samples[:]
    one.timeseries[3].exemplars.append(b"")
    return packed(one)


NEW = {name: mixed(name) for name in VERSIONS}


@writers
def test_only_what_is_not_plain_or_new_is_left_of_a_request(name: str) -> None:
    using, cold = warm(name), reading(late_s=0, future_s=0)
    found = learned(using, name)
    assert isinstance(found, KnownSeries)
    raw = bytes(snappy.decompress_raw(mixed(name)))
    scanned, left = found.read([raw], 50_000)
    assert scanned.value.tolist() == [0, 2, 4]
    assert (left[0].elements.tolist(), left[0].read) == ([1, 3, 5], 3)  # type: ignore[union-attr]
    same(parsed(name, mixed(name), using=using), using, parsed(name, mixed(name), using=cold), cold)
    assert found.read([raw], 50_000)[0].value.tolist() == [0, 2, 4, 5], "the new one is known now"


@writers
@pytest.mark.parametrize("elements", [6, 5, 4, 3])
def test_a_request_has_as_many_samples_however_they_are_read(name: str, elements: int) -> None:
    """Five, of which three are known and two are not."""
    using, cold = warm(name), reading(late_s=0, future_s=0, elements=elements)
    tight = Reading(cold.limits, using.series)
    expected = parsed(name, mixed(name), using=cold)
    assert bool(expected.rejects) == (elements < 5)
    same(parsed(name, mixed(name), using=tight), tight, expected, cold)


@writers
def test_what_breaks_a_request_breaks_what_is_known_in_it(name: str) -> None:
    """One of its series cannot be decoded: nothing of the request is taken."""
    one = message(name, *LABELS)
    raw = one.SerializeToString()
    tag = b"\x0a" if name == "remote-write" else b"\x2a"
    using, cold = warm(name), reading(late_s=0, future_s=0)
    batch = [packed(raw), packed(raw + tag + b"\x02\x12\x7f"), packed(raw)]
    expected = parsed(name, *batch, using=cold)
    assert [reject.rule for reject in expected.rejects] == ["bad-protobuf"]
    same(parsed(name, *batch, using=using), using, expected, cold)


@writers
def test_histograms_that_come_again_take_no_room(name: str) -> None:
    """They are left each time, each as some dozen samples; what is known must not go for them."""
    using = warm(name)
    found = learned(using, name)
    one = message(name, *({"__name__": f"h{n}", "job": "a"} for n in range(400)))
    for series in one.timeseries:
        del series.samples[:]
        histogram = series.histograms.add(count_int=20, sum=4.5, timestamp=NOW)
        histogram.positive_spans.add(offset=1, length=20)
        histogram.positive_deltas.extend([1, *[0] * 19])
    for _ in range(3):
        result = parsed(name, packed(one), using=using)
        assert len(result.samples.code) > 20 * 400
    assert len(found._tree.nodes) <= 2048, "as many as at first"
    assert known(using, name, MAKERS[name](NOW + 1, 1, 2, 3))


def test_a_symbol_that_is_no_text_costs_its_request_whoever_refers_to_it() -> None:
    using, cold = warm("remote-write-2"), reading(late_s=0, future_s=0)
    raw = message("remote-write-2", *LABELS).SerializeToString()
    symbols = raw.index(b"\x2a")
    bad = packed(raw[:symbols] + b"\x22\x01\xff" + raw[symbols:])
    expected = parsed("remote-write-2", bad, using=cold)
    assert [reject.rule for reject in expected.rejects] == ["bad-protobuf"]
    for _ in range(2):
        same(parsed("remote-write-2", bad, using=using), using, expected, cold)


def test_symbols_may_stand_in_any_order() -> None:
    """Prometheus numbers them anew in every request."""
    using = warm("remote-write-2")
    one = message("remote-write-2", *reversed(LABELS))
    assert known(using, "remote-write-2", packed(one))
    cold = reading(late_s=0, future_s=0)
    expected = parsed("remote-write-2", packed(one), using=cold)
    same(parsed("remote-write-2", packed(one), using=using), using, expected, cold)


def test_a_series_that_is_refused_is_not_learned_with_the_others() -> None:
    """It is refused each time, and the others of its request are known all the same."""
    for name in VERSIONS:
        using, cold = reading(late_s=0, future_s=0), reading(late_s=0, future_s=0)
        raw = request(name, LABELS[0], {"__name__": "nobody's"}, LABELS[1])
        for _ in range(3):
            same(parsed(name, raw, using=using), using, parsed(name, raw, using=cold), cold)
        found = learned(using, name)
        assert isinstance(found, KnownSeries)
        scanned, left = found.read([bytes(snappy.decompress_raw(raw))], 50_000)
        assert scanned.value.tolist() == [0, 2]
        assert list(left) == [0]


@writers
def test_a_batch_is_read_alike_however_much_of_it_is_unpacked_at_once(name: str) -> None:
    """Known, new and broken records among each other, one or two of them at a time."""
    make = {"remote-write": written, "remote-write-2": written_2}[name]
    batch = [
        make(NOW, 1, 2, 3), b"broken", make(NOW + 1, 9, known=1), make(NOW + 2, 4, 5, 6),
        b"", make(NOW + 3, 7, 8, 9),
    ]  # fmt: skip
    whole = reading(late_s=0, future_s=0)
    expected = parsed(name, *batch, using=whole)
    largest = max(len(snappy.decompress_raw(raw)) for raw in batch if len(raw) > len(b"broken"))
    using = reading(late_s=0, future_s=0, decoded_bytes=largest)
    for _ in range(2):
        found = parsed(name, *batch, using=using)
        assert samples(found, using) == samples(expected, whole)
        assert found.rejects == expected.rejects
    assert len(expected.samples.code) == 10
