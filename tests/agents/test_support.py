"""What stands behind a signal, as a table."""

from datetime import UTC, datetime
from typing import Any

import pytest

from agents.support import SupportSettings, support, weigh
from schemas.event import Severity
from schemas.incidents import Signal

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


def signal(moved: int, siblings: int, score: float | None, service: str = "checkout") -> Signal:
    fields: dict[str, Any] = {
        "anomaly": "a", "source": "metric", "kind": "spike", "service": service, "series": "s",
        "direction": "up", "severity": Severity.high, "score": 2.0, "value": 1.0, "low": 0.0,
        "high": 0.5, "since": NOW, "reason": "", "record": "r",
    }  # fmt: skip
    return Signal(**fields, siblings_moved=moved, siblings=siblings, service_score=score)


@pytest.mark.parametrize(
    ("moved", "siblings", "score", "weak", "stands"),
    [
        (3, 12, 0.97, 0, "backed"),
        (3, 12, None, 0, "backed"),
        (3, 12, 0.96, 0, ""),
        (2, 12, 0.99, 0, ""),
        (1, 1, 0.99, 0, ""),
        (0, 12, 0.5, 0, "alone"),
        (0, 12, None, 0, "alone"),
        (0, 12, 0.5, 1, ""),
        (0, 12, 0.96, 0, "alone"),
        (0, 12, 0.97, 0, ""),
        (1, 12, 0.5, 0, ""),
        (0, 2, 0.5, 0, ""),
        (0, 0, None, 0, ""),
    ],
)
def test_what_stands_behind_a_signal(
    moved: int, siblings: int, score: float | None, weak: int, stands: str
) -> None:
    weight = weigh(signal(moved, siblings, score), SupportSettings(), weak)
    assert (weight.backed, weight.alone) == (stands == "backed", stands == "alone")
    assert bool(weight.reason) == (moved > 0 or stands == "alone")


def test_support_names_each_service_once_with_the_most_that_moved() -> None:
    signals = [
        signal(2, 12, None),
        signal(7, 12, 0.995),
        signal(1, 4, None, "queue"),
        signal(0, 9, None, "db"),
    ]
    assert support(signals, ["cache", "cache", "db"]) == (
        "7 of 12 other series of checkout moved, the service more unusual than 99.5% of its past;"
        " 1 of 4 other series of queue moved; 2 weak signs in cache; 1 weak sign in db"
    )
    assert support([signal(0, 9, 0.99)]) == ""
