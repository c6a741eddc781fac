"""Known records: whatever is read the short way is what the long way reads, to the last bit."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.json import parse
from streams.formats.known import KnownRecords
from streams.formats.limits import Limits
from streams.formats.series import SeriesIndex

LIMITS = Limits(late_s=0, future_s=0)
EVENT = '{"service":"a","metric":"m","at":%s,"value":%s,"labels":{"x":"1"}}'


def reading() -> Reading:
    return Reading(LIMITS, SeriesIndex(LIMITS))


def batch(records: list[bytes]) -> Batch:
    now = np.full(len(records), 1_767_225_600_000, np.int64)
    return Batch(records, now, now)


def told(parsed: Parsed, known: Reading) -> Any:
    """All of it, comparable; a sample's value by its bits."""
    names = [known.series.names[code] for code in parsed.samples.code.tolist()]
    bits = parsed.samples.value.view(np.int64).tolist()
    samples = list(zip(names, parsed.samples.at.tolist(), bits, strict=True))
    return samples, parsed.rejects, parsed.skips


def both(records: list[bytes]) -> tuple[Any, Any, int]:
    """What a reader that has met these records says, what one that has not; how many it met."""
    fresh, old = reading(), reading()
    for _ in range(2):  # once for the series, once for its bytes
        parse(batch(records), old)
    met = int((old.series.known("json", KnownRecords).read(records, 1 << 20).code >= 0).sum())
    return told(parse(batch(records), old), old), told(parse(batch(records), fresh), fresh), met


TIMES = [
    "1767225600", "1767225600000", "1767225600000000", "1767225600000000001", "9223372036854775807",
    "9223372036854775808", "99999999999999999999", "0", "00", "-5", "1767225600.5", "1e12", "null",
    '"2026-01-02T03:04:05Z"', '"2026-01-02T03:04:05.678Z"', '"2026-01-02T03:04:05.678901234Z"',
    '"2026-02-29T00:00:00Z"', '"2024-02-29T23:59:59.9Z"', '"2026-01-02T03:04:60Z"', '"2026-13-01T00:00:00Z"',
    '"2026-01-02T03:04:05+01:00"', '"2026-01-02T03:04:05"', '"2026-01-02T24:00:00Z"', '"2026-01-02T03:04:05.Z"',
    '"1969-12-31T23:59:59Z"', '"2300-01-01T00:00:00Z"', '"2026-01-02T03:04:05.1234567890Z"', '"soon"',
]  # fmt: skip
VALUES = [
    "0", "-0", "0.0", "-0.0", "1", "-1", "12.5", "0.1", "123456789012345", "1234567890123456", "12345678.9012345",
    "0.123456789012345", "9007199254740993", "1e5", "1E-5", "01", "1.", ".5", "-", "+1", "NaN", "Infinity", "null",
    '"12.5"', "true", "179769313486231570000000000000000000000", "0.000000000000001", "{}",
]  # fmt: skip


@pytest.mark.parametrize("time", TIMES)
def test_every_time_is_as_the_long_way_reads_it(time: str) -> None:
    """Among records of the same bytes that are known."""
    plain = (EVENT % ("1767225600000", "1")).encode()
    text = (EVENT % ('"2026-01-02T03:04:05Z"', "1")).encode()
    short, long, _ = both([plain, text, (EVENT % (time, "2")).encode()])
    assert short == long


@pytest.mark.parametrize("value", VALUES)
def test_every_value_is_as_the_long_way_reads_it(value: str) -> None:
    plain = (EVENT % ("1767225600000", "1")).encode()
    short, long, _ = both([plain, (EVENT % ("1767225600001", value)).encode()])
    assert short == long


@pytest.mark.parametrize(
    "event",
    [
        EVENT,
        '{"at": %s, "value": %s, "service": "a", "metric": "m"}',
        '{"value":%s,"timestamp":%s,"service":"a","metric":"m"}',
        '{"ts":%s,"service":"a","metric":"m","value":%s}\n',
        '{"service":"\u00e4","metric":"m","time":%s,"value":%s,"more":[1,{"x":3}]}',
    ],
)
def test_a_record_that_comes_again_is_met(event: str) -> None:
    """Also with its fields in another order, spaces, and what is not ours."""
    pairs = [(f"{1767225600000 + n}", f"{n}.25") for n in range(5)]
    records = [
        (event % (pair[::-1] if '%s,"timestamp' in event else pair)).encode() for pair in pairs
    ]
    short, long, met = both(records)
    assert short == long
    assert met == len(records)


@pytest.mark.parametrize(
    "record",
    [
        '{"labels":{"at":"5","value":"6"},"service":"a","metric":"m","at":1767225600000,"value":1}',
        '{"service":"a","metric":"m","at":1767225600000,"at":1767225600001,"value":1,"value":2}',
        '{"service":"a","metric":"m","x":{"at":1767225600000,"value":1},"ts":1767225600000,"value":1}',
        '{"service":"a","metric":"m","ts":1767225600000,"at":1767225600001,"value":1}',
        '{"service":"\\"at\\":1,","metric":"m","at":1767225600000,"value":1}',
        '{"service":"a","metric":"\\"value\\":3","at":1767225600000,"value":1}',
        '{"x":"\\"at\\":1767225600000","service":"a","metric":"m","at":1767225600000,"value":1}',
        '{"metric":"m","at":1767225600000,"value":1,"labels":{"service":"b"}}',
        '[{"service":"a","metric":"m","at":1767225600000,"value":1}]',
        '{"service":"a","metric":"m","at":1767225600000,"value":1}\n{"service":"a","metric":"m","at":1767225600001,"value":2}',
    ],
)
def test_names_in_odd_places_mislead_nobody(record: str) -> None:
    """What looks like the time or the value and is not is found out when it is learned."""
    raw = record.encode()
    others = [raw.replace(b":1767225600000", b":1767225600%03d" % n) for n in range(3)]
    others += [raw.replace(b'"value":1', b'"value":%d' % n) for n in range(3)]
    short, long, _ = both([raw, *others])
    assert short == long


@given(st.data())
def test_one_changed_byte_changes_what_is_read_as_it_should(data: st.DataObject) -> None:
    """No mutation of a known record is taken for it."""
    records = [(EVENT % (1767225600000 + n, n + 0.5)).encode() for n in range(3)]
    raw = bytearray(data.draw(st.sampled_from(records)))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] = data.draw(
            st.one_of(st.sampled_from(list(b'0123456789"\\{}[],:.-eE ')), st.integers(0, 255))
        )
    short, long, _ = both([*records, bytes(raw)])
    assert short == long


def test_new_and_known_records_keep_their_order() -> None:
    known = reading()
    old = [(EVENT % (1767225600000 + n, n)).encode() for n in range(0, 10, 2)]
    for _ in range(2):
        parse(batch(old), known)
    new = [
        json.dumps({"service": "b", "metric": "m", "at": 1767225600000 + n, "value": n}).encode()
        for n in range(1, 10, 2)
    ]
    mixed = [record for pair in zip(old, new, strict=True) for record in pair]
    parsed = parse(batch(mixed), known)
    assert parsed.samples.value.tolist() == list(range(10))


def test_series_that_are_forgotten_take_their_records_with_them() -> None:
    """A number that means another series now must not be met."""
    known = reading()
    records = [(EVENT % (1767225600000, 1)).encode()]
    for _ in range(3):
        parse(batch(records), known)
    assert len(known.series.known("json", KnownRecords)) == 1
    later = 1_767_225_600_000 + 10 * 3_600_000
    known.series.sweep(1_767_225_600_000)
    assert known.series.sweep(later)
    assert len(known.series.known("json", KnownRecords)) == 0
    assert (known.series.known("json", KnownRecords).read(records, 1 << 20).code == -1).all()


def test_records_that_never_repeat_are_not_learned_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A field that is another in each record must not fill the memory."""
    monkeypatch.setattr("streams.formats.known.CREDIT", 100)
    known = reading()
    for turn in range(5):
        records = [
            b'{"service":"a","metric":"m","at":1767225600000,"value":1,"id":"%d-%d"}' % (turn, n)
            for n in range(100)
        ]
        parse(batch(records), known)
    assert len(known.series.known("json", KnownRecords)) == 100


def test_when_full_all_is_forgotten_and_learned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.formats.known.ENTRIES", 50)
    records = [
        b'{"service":"a","metric":"m","at":1767225600000,"value":%d,"labels":{"x":"%d"}}' % (n, n)
        for n in range(120)
    ]
    short, long, met = both(records)
    assert short == long
    assert 0 < met <= 50
