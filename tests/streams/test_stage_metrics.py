"""What stages tell Prometheus."""

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas.topics import DEADLETTERS, REFUSALS
from streams.connection import KafkaSettings
from streams.stage_metrics import Reached, StageMetrics

PLACE = ("t", 1)


def message(offset: int) -> Any:
    return SimpleNamespace(topic="t", partition=1, offset=offset)


def told(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"sentinel_stage_{name}", {"stage": "count", **labels})


def test_messages_and_what_came_of_them_are_counted() -> None:
    registry = CollectorRegistry()
    signal = StageMetrics(registry).of("count")
    assert told(registry, "deadletters_total") == 0.0
    signal.handled([message(3), message(4)], 0.2)
    signal.wrote(KafkaSettings(), [(REFUSALS, "", b"", {}), (DEADLETTERS, "", b"", {})])
    assert told(registry, "messages_total", topic="t") == 2
    assert told(registry, "written_total", topic="refusals.v1") == 1
    assert told(registry, "deadletters_total") == 1
    assert told(registry, "handle_seconds_sum") == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("handled", "reached", "lag"),
    [
        ([], Reached(-1, 0, 50), 50),  # nothing fetched yet
        ([4], Reached(4, 6, 6), 0),  # the last one was a transaction's mark
        ([4], Reached(9, 10, 30), 25),  # five fetched and waiting, twenty more at the broker
        ([4], Reached(4, 5, 30), 25),
        ([], Reached(9, 10, 30, first=3), 27),  # seven fetched, and the first is under way yet
        ([], Reached(9, 12, 12, first=0), 12),  # all fetched, none handled, two are marks
        ([], Reached(9, 10, 10), 0),  # only what was fetched for a reading that was given up
        ([4], Reached(4, 5, 30, first=0), 25),
    ],
)
def test_lag_is_what_was_not_handled(handled: list[int], reached: Reached, lag: int) -> None:
    registry = CollectorRegistry()
    signal = StageMetrics(registry).of("count")
    if handled:
        signal.handled([message(offset) for offset in handled], 0.0)
    signal.look({PLACE: reached})
    assert told(registry, "lag_messages", topic="t", partition="1") == lag


def test_a_partition_that_has_gone_is_told_no_more() -> None:
    registry = CollectorRegistry()
    signal = StageMetrics(registry).of("count")
    signal.look({PLACE: Reached(0, 1, 2)})
    signal.look({})
    assert told(registry, "lag_messages", topic="t", partition="1") is None
