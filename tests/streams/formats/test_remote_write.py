"""Remote write: real requests byte for byte, and everything that is almost one."""

import struct

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.formats import format_of
from streams.formats.columns import STALE, Parsed
from streams.formats.proto import remote_write_v1_pb2 as v1
from streams.formats.proto import remote_write_v2_pb2 as v2
from tests.streams.formats.reading import NOW, parsed, reading, rules, samples

# up{instance="localhost:9090",job="prometheus"} 1 @1700000000123, as Prometheus sends it.
VERSION_1 = bytes.fromhex(
    "53f0520a510a0e0a085f5f6e616d655f5f120275700a1a0a08696e7374616e6365120e6c6f63616c686f73743a39"
    "3039300a110a036a6f62120a70726f6d657468657573121009000000000000f03f10fbd095ffbc31"
)
VERSION_2 = bytes.fromhex(
    "78f077220022085f5f6e616d655f5f220275702208696e7374616e6365220e6c6f63616c686f73743a3930393022"
    "036a6f62220a70726f6d6574686575732219312069662074686520736372617065207375636365656465642a200a"
    "06010203040506121009000000000000f03f10fbd095ffbc312a0408021807"
)
# One OTLP metrics export: parses as version 1 without an error, to a series with a garbage label.
OTLP = bytes.fromhex(
    "0a400a1c0a1a0a0c736572766963652e6e616d65120a0a08636865636b6f75741220121e0a036370751a01312a140a"
    "121900002a36fe9c971721000000000000e03f"
)
GOLDEN = {"remote-write": VERSION_1, "remote-write-2": VERSION_2}
UP = 'up{instance="localhost:9090",job="prometheus",service="prometheus"}'
AT = 1_700_000_000_123


def read(name: str, *values: bytes, **limits: object) -> Parsed:
    return parsed(name, *values, using=reading(late_s=0, **limits))


def packed(message: v1.WriteRequest | v2.Request | bytes) -> bytes:
    raw = message if isinstance(message, bytes) else message.SerializeToString()
    return bytes(cramjam.snappy.compress_raw(raw))


def request(*values: float, labels: dict[str, str] | None = None, at: int = NOW) -> bytes:
    names = {"__name__": "m", "job": "j"} if labels is None else labels
    return packed(
        v1.WriteRequest(
            timeseries=[
                v1.TimeSeries(
                    labels=[
                        v1.Label(name=k, value=v).SerializeToString() for k, v in names.items()
                    ],
                    samples=[v1.Sample(value=value, timestamp=at) for value in values],
                )
            ]
        )
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_what_prometheus_sends_is_read(name: str) -> None:
    using = reading(late_s=0)
    result = parsed(name, GOLDEN[name], using=using)
    assert samples(result, using) == [(UP, AT, 1.0)]
    assert result.elements == 1


@pytest.mark.parametrize("name", GOLDEN)
def test_a_request_cut_at_any_byte_is_refused_whole(name: str) -> None:
    whole = GOLDEN[name]
    result = read(name, *(whole[:end] for end in range(len(whole))))
    assert len(result.rejects) == result.elements == len(whole)
    assert not len(result.samples.code)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_protobuf_cut_at_any_byte_never_raises_nor_vanishes(name: str) -> None:
    """Inside an intact snappy block; a cut between fields leaves a smaller, valid message."""
    whole = bytes(cramjam.snappy.decompress_raw(GOLDEN[name]))
    for end in range(len(whole)):
        result = read(name, packed(whole[:end]))
        assert result.elements >= 1
        assert set(samples(result, reading())) == set() or end > 80


@pytest.mark.parametrize("name", GOLDEN)
def test_any_flipped_bit_is_accounted_for(name: str) -> None:
    whole = GOLDEN[name]
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        result = read(name, bytes(damaged), whole)
        assert result.elements >= 2
        assert result.samples.value.tolist()[-1] == 1.0


@pytest.mark.parametrize(
    ("name", "raw", "rule"),
    [
        ("remote-write", b"", "empty"),
        ("remote-write", VERSION_2, "empty"),
        ("remote-write-2", VERSION_1, "empty"),
        ("remote-write", packed(OTLP), "bad-metric"),
        ("remote-write-2", packed(OTLP), "empty"),
        ("remote-write", b'{"service":"a"}', "bad-snappy"),
        ("remote-write", packed(b'{"service":"a"}'), "bad-protobuf"),
        ("remote-write", b"\x80\x80\x80\x80\x04" + b"\0" * 20, "too-large-unpacked"),
        ("remote-write", b"\xff\xff\xff\xff\xff\xff", "bad-snappy"),
        ("remote-write", b"\0" * 2_000_000, "too-large"),
        ("remote-write", request(1.0, labels={"job": "j"}), "bad-metric"),
        ("remote-write", request(1.0, labels={"__name__": "m"}), "no-service"),
        ("remote-write", request(1.0, at=-1), "bad-time"),
        ("remote-write", request(1.0, at=-(2**63)), "bad-time"),
        ("remote-write", request(1.0, at=-(2**63) + 2**60), "bad-time"),
        ("remote-write", request(1.0, at=NOW + 10**9), "in-the-future"),
        ("remote-write", request(*[1.0] * 50_001), "too-many-elements"),
        ("remote-write-2", packed(v2.Request(symbols=["a"], timeseries=[v2.TimeSeries()])), "bad-symbols"),
    ],
)  # fmt: skip
def test_what_is_almost_a_request_is_refused_by_name(name: str, raw: bytes, rule: str) -> None:
    result = read(name, GOLDEN[name], raw, GOLDEN[name])
    assert rules(result) == [(1, rule)]
    assert result.samples.value.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", GOLDEN)
def test_a_request_with_nothing_in_it_is_left_out(name: str) -> None:
    """Telegraf writes one for each metric that is only text, as how long a machine has been up."""
    result = read(name, GOLDEN[name], packed(b""), GOLDEN[name])
    assert (rules(result), dict(result.skips)) == ([], {"empty": 1})
    assert result.samples.value.tolist() == [1.0, 1.0]


def test_a_bomb_is_refused_before_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 GiB claimed in five bytes: nothing is decompressed."""

    def decompress(_: bytes) -> bytes:
        raise AssertionError("decompressed")

    monkeypatch.setattr(cramjam.snappy, "decompress_raw", decompress)
    claims = b"\x80\x80\x80\x80\x04" + b"\0" * 20
    assert rules(read("remote-write", claims)) == [(0, "too-large-unpacked")]


@pytest.mark.parametrize("refs", [[1], [1, 99], [1, 2, 3]])
def test_labels_that_refer_to_nothing_cost_their_series_only(refs: list[int]) -> None:
    good = v2.TimeSeries(labels_refs=[1, 2, 3, 4], samples=[v2.Sample(value=5, timestamp=NOW)])
    bad = v2.TimeSeries(labels_refs=refs, samples=[v2.Sample(value=6, timestamp=NOW)] * 3)
    symbols = ["", "__name__", "m", "job", "j"]
    result = read("remote-write-2", packed(v2.Request(symbols=symbols, timeseries=[bad, good])))
    (reject,) = result.rejects
    assert (reject.rule, reject.elements) == ("bad-symbols", 3)
    assert result.samples.value.tolist() == [5]


def test_stale_markers_other_nan_and_infinities_are_counted_apart() -> None:
    (stale,) = struct.unpack("<d", struct.pack("<Q", STALE))
    result = read("remote-write", request(stale, float("nan"), float("inf"), 1.5))
    assert result.skips == {"stale": 1, "nan": 1, "inf": 1}
    assert result.samples.value.tolist() == [1.5]


def test_a_label_that_is_there_twice_is_refused() -> None:
    twice = [v1.Label(name="job", value=v).SerializeToString() for v in ("a", "b")]
    series = v1.TimeSeries(labels=twice, samples=[v1.Sample(value=1, timestamp=NOW)])
    assert rules(read("remote-write", packed(v1.WriteRequest(timeseries=[series])))) == [
        (0, "bad-label")
    ]


def test_exemplars_and_metadata_are_counted() -> None:
    labels = [
        v1.Label(name=k, value=v).SerializeToString() for k, v in (("__name__", "m"), ("job", "j"))
    ]
    series = [
        v1.TimeSeries(labels=labels, samples=[v1.Sample(value=1, timestamp=NOW)], exemplars=[b""]),
        v1.TimeSeries(labels=labels, exemplars=[b"", b""]),
    ]
    result = read("remote-write", packed(v1.WriteRequest(timeseries=series, metadata=[b"", b""])))
    assert result.samples.value.tolist() == [1.0]
    assert result.skips == {"exemplar": 3, "metadata": 2, "series-without-samples": 1}


def test_labels_in_any_order_are_one_series() -> None:
    using = reading()
    for labels in (
        {"__name__": "m", "job": "j", "a": "1"},
        {"a": "1", "job": "j", "__name__": "m"},
    ):
        parsed("remote-write", request(1.0, labels=labels), using=using)
    assert using.series.names == ['m{a="1",job="j",service="j"}']


@settings(deadline=None)  # the first call may import much
@given(st.lists(st.binary(max_size=80), max_size=5), st.sampled_from(sorted(GOLDEN)))
def test_every_record_has_a_fate(values: list[bytes], name: str) -> None:
    result = read(name, *values, *(packed(value) for value in values))
    assert result.elements >= 2 * len(values)


@settings(deadline=None)  # the first call may import much
@given(st.lists(st.floats(width=64), min_size=1, max_size=20))
def test_numbers_survive_bit_by_bit(values: list[float]) -> None:
    result = read("remote-write", request(*values))
    assert result.elements == len(values)
    finite = [v for v in values if abs(v) < float("inf")]
    assert result.samples.value.tolist() == finite


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({}, "json"),
        ({"content-type": "application/json"}, "json"),
        ({"content-type": "application/x-protobuf"}, "json"),
        ({"content-type": "application/x-protobuf; proto=prometheus.WriteRequest"}, "remote-write"),
        (
            {"content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"},
            "remote-write-2",
        ),
        ({"x-prometheus-remote-write-version": "0.1.0"}, "remote-write"),
        ({"x-prometheus-remote-write-version": "2.0.0"}, "remote-write-2"),
        ({"sentinel-format": "text", "content-type": "application/json"}, "text"),
    ],
)
def test_headers_name_the_format_only_when_they_name_one(
    headers: dict[str, str], name: str
) -> None:
    assert format_of(headers, "json") == name
