"""When a record reached Kafka: what its producer says counts, unless no record can say so."""

import json

import pytest
from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
)

from streams.formats import FORMATS
from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.limits import Limits
from streams.formats.series import SeriesIndex
from streams.intake.intake import batch_of

NOW = 1_767_323_045_678  # ms
HOUR = 3_600_000
BOGUS = [-(2**62), -1, 0, NOW // 1000, NOW + 2 * HOUR, NOW * 1000, 2**62]


class Record:
    """What the client library gives us of one."""

    def __init__(self, at: int, value: bytes = b"", kind: int = TIMESTAMP_CREATE_TIME) -> None:
        self._kind, self._at, self._value = kind, at, value

    def timestamp(self) -> tuple[int, int]:
        """Its kind, and epoch ms."""
        return self._kind, self._at

    def value(self) -> bytes:
        """Its bytes."""
        return self._value


def parsed(name: str, batch: Batch) -> Parsed:
    limits = Limits()
    return FORMATS[name](batch, Reading(limits, SeriesIndex(limits)))


def test_what_no_record_can_say_is_our_clock() -> None:
    told = [NOW - 400 * 24 * HOUR, NOW - 7, NOW + 7, NOW + HOUR]
    batch = batch_of([Record(at) for at in (*told, *BOGUS)], "shop", NOW)
    assert batch.arrived.tolist() == told + [NOW] * len(BOGUS)
    assert set(batch.now.tolist()) == {NOW}


def test_a_brokers_time_is_both_clocks_and_none_at_all_is_ours() -> None:
    broker = batch_of([Record(NOW - 7, kind=TIMESTAMP_LOG_APPEND_TIME)], "shop", NOW)
    assert (broker.arrived.tolist(), broker.now.tolist()) == ([NOW - 7], [NOW - 7])
    none = batch_of([Record(-1, kind=TIMESTAMP_NOT_AVAILABLE)], "shop", NOW)
    assert (none.arrived.tolist(), none.now.tolist()) == ([NOW], [NOW])


@pytest.mark.parametrize("at", BOGUS)
def test_a_good_sample_of_a_bogus_record_is_kept(at: int) -> None:
    value = json.dumps({"service": "shop", "metric": "m", "at": NOW - 9, "value": 1}).encode()
    found = parsed("json", batch_of([Record(at, value)], "", NOW))
    assert (found.samples.at.tolist(), found.rejects) == ([NOW - 9], [])


@pytest.mark.parametrize("at", BOGUS)
@pytest.mark.parametrize("name", ["text", "syslog"])
def test_a_line_without_a_time_is_of_now_then(name: str, at: int) -> None:
    value = b"<13>1 - web1 shop - - - it broke" if name == "syslog" else b"it broke"
    found = parsed(name, batch_of([Record(at, value)], "shop", NOW))
    assert (found.lines.at.tolist(), found.rejects) == ([NOW], [])
