"""What compiled code reads of messages met before is what the formats' own readers find."""

from itertools import islice

import pytest
from cramjam import snappy

from streams.formats.columns import Reading
from streams.formats.proto import remote_write_v1_pb2 as v1
from streams.formats.wire import METRICS, WRITE, KnownSeries, known_series
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


MAKERS = {"remote-write": written, "otlp-proto": exported}
makers = pytest.mark.parametrize("name", MAKERS)


def warm(name: str, **limits: object) -> Reading:
    """A reading that has met the makers' series."""
    using = reading(late_s=0, future_s=0, **limits)
    for _ in range(2):
        parsed(name, MAKERS[name](NOW, 1.5, 2, 3.25), using=using)
    return using


def learned(using: Reading, name: str) -> KnownSeries:
    """What a reading knows of a format's messages."""
    return known_series(using.series, {"remote-write": WRITE, "otlp-proto": METRICS}[name], "")


def known(using: Reading, name: str, raw: bytes) -> bool:
    """Whether a message is read without its format's own reader."""
    message = bytes(snappy.decompress_raw(raw)) if name == "remote-write" else raw
    return bool(learned(using, name).read([message], 50_000)[1][0])


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
    other = {"remote-write": written(NOW, 9, known=1), "otlp-proto": GAUGE_PROTO}[name]
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


def _agrees(name: str, count: int) -> None:
    """Mutants of what is known come out as they do for who knows nothing."""
    seeds = [MAKERS[name](NOW, 1.5, 2, 3.25)]
    if name == "remote-write":
        seeds = [bytes(snappy.decompress_raw(seeds[0]))]
    using = warm(name)
    met = 0
    for mutant in islice(contract.mutations(seeds, seeds, seed=count), count):
        raw = packed(mutant) if name == "remote-write" else mutant
        cold = reading(late_s=0, future_s=0)
        expected, found = parsed(name, raw, using=cold), parsed(name, raw, using=using)
        assert samples(found, using) == samples(expected, cold)
        assert [r.rule for r in found.rejects] == [r.rule for r in expected.rejects]
        assert found.skips == expected.skips
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
    series = learned(using, name)
    before = len(series._tree.nodes)
    series.learn(b"\x0a\x00" * 2**20, [0], [NOW], [1.0])
    assert len(series._tree.nodes) == before
    assert known(using, name, MAKERS[name](NOW + 1, 1, 2, 3))


@makers
def test_a_request_of_many_series_is_known_when_it_comes_again(name: str) -> None:
    """More than there was room for at first."""
    gauges: list[dict[str, object]] = [
        {"name": f"m{n}", "gauge": {"dataPoints": [{**POINT, "asDouble": float(n)}]}}
        for n in range(5000)
    ]
    raw = {
        "remote-write": packed(
            v1.WriteRequest(
                timeseries=[
                    v1.TimeSeries(
                        labels=[
                            v1.Label(name=key, value=value).SerializeToString()
                            for key, value in {"__name__": f"m{n}", "job": "a"}.items()
                        ],
                        samples=[v1.Sample(value=n, timestamp=NOW)],
                    )
                    for n in range(5000)
                ]
            )
        ),
        "otlp-proto": _request(*gauges).SerializeToString(),
    }[name]
    using = reading(late_s=0, future_s=0)
    first = samples(parsed(name, raw, using=using), using)
    assert known(using, name, raw)
    assert samples(parsed(name, raw, using=using), using) == first
    assert len(first) == 5000


def test_a_batch_is_read_alike_however_much_of_it_is_unpacked_at_once() -> None:
    """Known, new and broken records among each other, one or two of them at a time."""
    batch = [
        written(NOW, 1, 2, 3), b"broken", written(NOW + 1, 9, known=1), written(NOW + 2, 4, 5, 6),
        b"", written(NOW + 3, 7, 8, 9),
    ]  # fmt: skip
    whole = reading(late_s=0, future_s=0)
    expected = parsed("remote-write", *batch, using=whole)
    largest = max(len(snappy.decompress_raw(raw)) for raw in batch if len(raw) > len(b"broken"))
    using = reading(late_s=0, future_s=0, decoded_bytes=largest)
    for _ in range(2):
        found = parsed("remote-write", *batch, using=using)
        assert samples(found, using) == samples(expected, whole)
        assert found.rejects == expected.rejects
    assert len(expected.samples.code) == 10
