"""A worker that has all the series that it may have says so: in metrics, and once a minute."""

import logging

import pytest
from prometheus_client import CollectorRegistry

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from streams.series_signal import Limited, SeriesSignal


class Held:
    """A consumer as the signal sees it."""

    max_series = 250
    series = 250
    away = 0
    left_out = 0


def test_the_limit_is_told_once_a_minute_with_both_numbers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    held, registry = Held(), CollectorRegistry()
    signal = SeriesSignal("detect", held, registry)
    with caplog.at_level(logging.WARNING):
        for second in range(130):
            held.left_out += 10 if second > 5 else 0
            signal.look(1000.0 + second)
    assert [record.getMessage() for record in caplog.records] == [
        f"detect: {count} samples were left out: this worker holds 250 series and may hold 250;"
        " raise detect.max_series, exclude some, or start another worker"
        for count in (10, 600, 600)
    ]
    assert registry.get_sample_value("sentinel_detect_left_out_total") == 1240
    assert registry.get_sample_value("sentinel_detect_series_limit") == 250


def test_what_is_out_of_memory_is_a_metric() -> None:
    held, registry = Held(), CollectorRegistry()
    signal = SeriesSignal("detect", held, registry)
    held.away, held.series = 200, 249
    signal.look(0.0)
    assert registry.get_sample_value("sentinel_detect_series_away") == 200
    assert registry.get_sample_value("sentinel_detect_series") == 249


def test_detect_is_such_a_consumer() -> None:
    assert isinstance(Detect(DetectSettings(), {}), Limited)
