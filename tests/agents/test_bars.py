"""Bars in event time: the same sample is held against the same bar, however often it is read."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from agents.bars import Bars
from schemas.errors import Rejected
from schemas.verdicts import Bar, BarStep

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


def bar(*factors: float, service: str = "checkout") -> Bar:
    steps = tuple(
        BarStep(at=NOW + timedelta(seconds=n), factor=factor) for n, factor in enumerate(factors)
    )
    return Bar(
        at=NOW, group=service, service=service, incident="inc-1", factor=1.0, steps=steps,
        counted=(), reason="",
    )  # fmt: skip


def test_a_step_holds_from_its_time_until_the_next() -> None:
    bars = Bars()
    assert not bars
    assert bars.hear(bar(1.15, 1.3))
    at = NOW.timestamp() + np.array([-0.001, 0.0, 0.999, 1.0, 9.0])
    assert bars.factors("checkout", at).tolist() == [1.0, 1.15, 1.15, 1.3, 1.3]
    assert bars.factors("queue", at).tolist() == [1.0] * 5


def test_the_newest_bar_replaces_and_a_copy_is_no_news() -> None:
    bars = Bars()
    assert [bars.hear(each) for each in (bar(1.15), bar(1.15), bar(1.15, 1.0))] == [
        True, False, True,
    ]  # fmt: skip
    at = np.array([NOW.timestamp() + 5])
    assert bars.factors("checkout", at).tolist() == [1.0]


def test_a_bar_without_steps_is_none() -> None:
    bars = Bars()
    bars.hear(bar())
    assert bars.factors("checkout", np.array([0.0, 1e12])).tolist() == [1.0, 1.0]


def test_it_comes_back_from_the_changelog_exactly() -> None:
    bars = Bars()
    for service in ("checkout", "queue", "db"):
        bars.hear(bar(1.15, 1.3225, service=service))
    bars.hear(bar(service="cache"))
    again = Bars.load(bars.dump())
    assert again.dump() == bars.dump()
    assert not again.hear(bar(1.15, 1.3225))


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"a": 1}', b'{"a": [[1]]}', b'{"a": [["x", 1]]}'])
def test_what_is_damaged_is_refused(raw: bytes) -> None:
    with pytest.raises(Rejected, match="the bars of detect cannot be read"):
        Bars.load(raw)
