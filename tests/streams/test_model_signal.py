"""Models that fail are counted and told, each fault once, whatever partitions come and go."""

import pytest
from prometheus_client import CollectorRegistry

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from streams.model_signal import Modelling, ModelSignal


class Consumer:
    """Says what it was told to."""

    def __init__(self) -> None:
        self.failed: dict[str, int] = {}
        self.told: list[str] = []

    def models(self) -> dict[str, int]:
        """Two, of services."""
        return {"series": 0, "service": 2}

    def faults(self) -> dict[str, int]:
        """Those."""
        return self.failed

    def notes(self) -> list[str]:
        """Those, once."""
        notes, self.told = self.told, []
        return notes


def test_faults_are_counted_once_each(caplog: pytest.LogCaptureFixture) -> None:
    registry, consumer = CollectorRegistry(), Consumer()
    signal = ModelSignal("detect", consumer, registry)
    consumer.told = ["it crashed"]
    counts = []
    for failed in ({}, {"a": 2}, {"a": 2}, {"a": 5, "b": 1}, {"b": 1}, {"a": 1, "b": 1}):
        consumer.failed = failed
        signal.look()
        counts.append(
            registry.get_sample_value("sentinel_detect_model_faults_total", {"fault": "a"}) or 0
        )
    assert counts == [0, 2, 2, 5, 5, 6]
    assert registry.get_sample_value("sentinel_detect_models", {"of": "service"}) == 2
    assert [record.message for record in caplog.records] == ["detect: it crashed"]


def test_detect_has_what_is_told() -> None:
    detect = Detect(DetectSettings(), {})
    assert isinstance(detect, Modelling)
    assert (detect.models(), detect.faults(), detect.notes()) == (
        {"series": 0, "service": 0},
        {},
        [],
    )
