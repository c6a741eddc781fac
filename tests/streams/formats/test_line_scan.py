"""Log lines that compiled code reads are the same as without it."""

import random
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from streams.formats import text
from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.json_scan import KnownLines
from streams.formats.limits import Limits
from streams.formats.otlp_line_scan import KnownLogRecords
from streams.formats.severity import stated
from streams.formats.text_scan import read
from tests.streams.formats import contract
from tests.streams.formats.reading import NOW, parsed, reading

PIECES = (
    "2026-01-02T03:04:05.678Z", "[2026-01-02 03:04:05,678+00:00]", "2026-13-02T03:04:05Z", " ",
    "2026-01-02T03:04:05", "-05:30", "+0530", ".", "Z", "2", "level=", "level=warn", "level=WARN-x",
    "level=odd", "[", "]", "error", "ERROR", "WARNING", "Warning", "[crit]", "[critical]", "INFO:",
    "x.FATAL", "-ERR", "ERR-", "NOTICE_", "\t", "\n", "\r\n", "é", "٣", "日本", "x" * 40, "a b c",
)  # fmt: skip


def lines(seed: int, count: int) -> Iterator[bytes]:
    """Lines of pieces that mean something here, some of them damaged."""
    draw = random.Random(seed)
    for _ in range(count):
        line = "".join(draw.choices(PIECES, k=draw.randrange(1, 7))).encode()
        if draw.random() < 0.2:
            at = draw.randrange(len(line))
            line = line[:at] + bytes([draw.randrange(256)]) + line[at + 1 :]
        yield line


def slowly(values: list[bytes], monkeypatch: pytest.MonkeyPatch) -> Parsed:
    """The batch without compiled code."""

    def nothing(batch: Batch, limits: Limits) -> object:
        found, plain = read(batch._replace(values=[b""] * len(batch.values)), limits)
        assert not plain.any()
        return found, plain

    with monkeypatch.context() as patched:
        patched.setattr(text, "read", nothing)
        return parsed("text", *values, using=reading(late_s=0, future_s=0), service="shop")


def test_lines_of_text_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    values = list(lines(1, 3000))
    expected = slowly(values, monkeypatch)
    found = parsed("text", *values, using=reading(late_s=0, future_s=0), service="shop")
    assert contract.lines(found) == contract.lines(expected)
    assert found.rejects == expected.rejects
    assert found.elements == expected.elements


def test_most_lines_are_plain() -> None:
    values = [
        f"2026-01-02T03:04:05.{n:03d}Z INFO [exec-1] café paid {n}\n".encode() for n in range(100)
    ]
    clock = np.full(len(values), NOW, np.int64)
    found, plain = read(Batch(values, clock, clock, "shop"), Limits())
    assert plain.all()
    assert found.text == [value.decode().rstrip() for value in values]
    assert found.at == [NOW - 678 + n for n in range(100)]


def test_levels_are_those_that_are_stated() -> None:
    """Python's own word for each line of ASCII, beyond its first 120 characters too."""
    values = [b"x" * (k % 130) + b" " + line for k, line in enumerate(lines(2, 3000))]
    values = [value for value in values if value.isascii() and not set(value) & {0, 10, 13}]
    clock = np.full(len(values), NOW, np.int64)
    found, plain = read(Batch(values, clock, clock, "shop"), Limits())
    assert plain.sum() > 1000
    assert found.severity == [stated(line) for line in found.text]
    assert len(set(found.severity)) > 5


FIELDS = (
    b'"service":"pay"', b'"service": "pay"', b'"service":null', b'"service":""', b'"app":"pay"',
    b'"app":{"a":[1,"}"]}', b'"app":7', b'"labels":{"pod":"p1","x":null}', b'"labels":{}', b'"labels":[1]',
    b'"at":1767323045678', b'"at":"2026-01-02T03:04:05.678Z"', b'"ts":1767323045', b'"time":1767323045.5',
    b'"timestamp":"2026-01-02T03:04:05+01:00"', b'"at":null', b'"severity":"WARN"', b'"level":" Error "',
    b'"level":3', b'"level":"\\u0065rror"', b'"severity":"odd"', b'"severity":"\xc3\xa9"', b'"message":"caf\xc3\xa9"',
    b'"message":"a \\"b\\"\\n\\tc\\\\"', b'"msg":"\\u00e9"', b'"msg":"plain words"', b'"msg":""', b'"message":null',
    b'"n":1.25', b'"n":-0', b'"n":01', b'"n":1e5', b'"n":true', b'"n":nul', b'"n":"\\q"', b'"n":{"a":[]}',
    b'"metric":"m"', b'"value":1', b'"n":1234567890123456789012', b'"\\u006e":1', b'"n":"\x01"', b'"":0',
)  # fmt: skip
USUAL = b'{"service":"pay","at":1767323045678,"message":"m","labels":{"pod":"p1","x":null}}'


def documents(seed: int, count: int) -> Iterator[bytes]:
    """Objects of fields that mean something here, some of them damaged."""
    draw = random.Random(seed)
    for _ in range(count):
        fields = draw.choices(FIELDS, k=draw.randrange(4))
        if draw.random() < 0.8:
            fields += [b'"service":"pay"', b'"at":1767323045678', b'"message":"m"'][
                draw.randrange(3) :
            ]
        draw.shuffle(fields)
        record = b"{" + draw.choice((b",", b" , ", b",\n")).join(fields) + b"}"
        if draw.random() < 0.2:
            at = draw.randrange(len(record))
            record = record[:at] + bytes([draw.randrange(256)]) + record[at + 1 :]
        yield record


def test_lines_of_json_are_read_alike() -> None:
    """By whoever has met the like before, and by whoever meets nothing twice."""
    values = list(documents(3, 1500))
    using = reading(late_s=0, future_s=0)
    for _ in range(2):
        found = parsed("json", *values, using=using)
    alone = [parsed("json", value, using=reading(late_s=0, future_s=0)) for value in values]
    assert contract.lines(found) == [line for one in alone for line in contract.lines(one)]
    assert [(r.record, r.rule) for r in found.rejects] == [
        (k, r.rule) for k, one in enumerate(alone) for r in one.rejects
    ]
    learned = using.series.known(("json lines", ""), lambda: KnownLines({}))
    plain = learned.read(values, np.ones(len(values), np.bool_), Limits())
    assert len(plain.record) > 100


def test_an_origin_is_learned_from_one_line() -> None:
    using = reading(late_s=0, future_s=0)
    values = [USUAL.replace(b'"m"', b'"%d"' % k) for k in range(50)]
    parsed("json", values[0], using=using)
    learned = using.series.known(("json lines", ""), lambda: KnownLines({}))
    found = learned.read(values, np.ones(50, np.bool_), Limits())
    assert found.text == [str(k) for k in range(50)]
    assert set(found.labels) == {'{pod="p1"}'}


def test_whoever_never_repeats_is_not_learned_for_long() -> None:
    using = reading(late_s=0, future_s=0)
    learned = None
    for batch in range(25):
        values = [
            USUAL.replace(b"p1", b"p%d" % k) for k in range(1000 * batch, 1000 * batch + 1000)
        ]
        parsed("json", *values, using=using)
        learned = using.series.known(("json lines", ""), lambda: KnownLines({}))
    assert learned is not None
    assert not learned.learning


def exported(*bodies: str, **fields: object) -> bytes:
    """A request of two services that say these texts each."""
    request = ExportLogsServiceRequest()
    for service in ("pay", "shop"):
        held = request.resource_logs.add(schema_url="https://example.com/1")
        name = KeyValue(key="service.name", value=AnyValue(string_value=service))
        held.resource.attributes.append(name)
        scoped = held.scope_logs.add()
        scoped.scope.name = "lib"
        for k, body in enumerate(bodies):
            thread = KeyValue(key="thread", value=AnyValue(int_value=k % 2))
            scoped.log_records.add(
                **{
                    "time_unix_nano": NOW * 1_000_000 + k, "observed_time_unix_nano": NOW * 1_000_000,
                    "severity_number": 13, "severity_text": "WARN", "body": AnyValue(string_value=body),
                    "attributes": [thread], "trace_id": b"t" * 16, "flags": 1, **fields,
                }
            )  # fmt: skip
    return request.SerializeToString()


def log_records(*messages: bytes) -> tuple[KnownLogRecords, Reading]:
    """What is learned of requests."""
    using = reading(late_s=0, future_s=0)
    for message in messages:
        parsed("otlp-proto", message, using=using)
    learned = using.series.known(("otlp lines", ""), KnownLogRecords)
    return learned, using


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"time_unix_nano": 0}, {"severity_text": ""}, {"severity_text": "odd"}, {"severity_number": 0},
        {"trace_id": b"", "flags": 0}, {"dropped_attributes_count": 300}, {"attributes": []},
    ],
)  # fmt: skip
def test_records_of_known_origin_are_read_alike(fields: dict[str, object]) -> None:
    learned, using = log_records(exported("café", "b", **fields))
    raw = exported("another one", "x", **fields)
    assert learned.read([raw], Limits())[1].all()
    expected = parsed("otlp-proto", raw, using=reading(late_s=0, future_s=0))
    found = parsed("otlp-proto", b"", raw, using=using)
    assert contract.lines(found) == contract.lines(expected)
    assert len(found.lines.text) == 4


@pytest.mark.parametrize("body", ["", " \n", "a\x00b"])
def test_what_is_not_plain_is_left_to_the_formats_own_reader(body: str) -> None:
    learned, _ = log_records(exported("a", "b"))
    assert not learned.read([exported(body, "b")], Limits())[1].any()
    assert not learned.read([exported("a", "b")], Limits(elements=3))[1].any()
    assert not learned.read([exported("a" * 50, "b")], Limits(text_bytes=49))[1].any()


def test_mutants_of_requests_are_read_alike() -> None:
    seeds = [exported("one", "two"), exported("three")]
    _, using = log_records(*seeds)
    for mutant in islice(contract.mutations(seeds, seeds, seed=5), 400):
        expected = parsed("otlp-proto", mutant, using=reading(late_s=0, future_s=0))
        found = parsed("otlp-proto", seeds[0], mutant, using=using)
        assert contract.lines(found)[4:] == contract.lines(expected)
        assert [r.rule for r in found.rejects] == [r.rule for r in expected.rejects]
        assert found.skips == expected.skips
