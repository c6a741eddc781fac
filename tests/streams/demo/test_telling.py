"""What a person is told of each event, and what they are spared."""

import pytest

from schemas.anomalies import Anomaly
from schemas.budgets import Budget
from schemas.incidents import Incident
from streams.demo.telling import LONGEST, told
from tests.streams.demo.play import fixed, rolled_back


def test_the_story_of_a_fix_in_a_persons_words() -> None:
    lines = [line for event in fixed().script.said if (line := told(event))]
    opened = f"{fixed().script.ident} opened: checkout: errors far above expected"
    steps = "scale-workers, throttle-batch, clear-queue"
    assert [(line.what, line.text) for line in lines][:5] == [
        ("anomaly", "checkout: errors at 42.5/s, expected 0.5 to 3.75 (level shift, high)"),
        ("incident", f"{opened} (first anomaly of its group)"),
        ("forecast", "budget gone in 41.5 min, between 18.5 and 95.0 (90 %)"),
        ("plan", f"relieve-queue v3 (low risk): {steps}; scale-out fits best, 0.82 of 1"),
        ("policy", "staging: allow by risk.low (risk low in production); step_timeout_s = 20"),
    ]
    assert lines[-1].what == "report"


@pytest.mark.parametrize("kind", [Anomaly, Budget, Incident])
def test_what_is_no_news_to_a_person_is_left_out(kind: type) -> None:
    event = next(event for event in fixed().script.said if isinstance(event, kind))
    update = {} if kind is Budget else {"change": "updated"}
    assert told(event.model_copy(update=update)) is None


def test_a_failure_and_its_undoing_are_loud() -> None:
    styles = {
        line.text.split(":")[0]: line.style
        for event in rolled_back().script.said
        if (line := told(event))
    }
    assert styles["clear-queue, do failed"] == "bold red"
    assert styles["rolled back"] == "bold red"
    assert styles["clear-queue, precheck succeeded"] == "dim"


def test_a_long_reason_is_cut_to_one_line() -> None:
    event = fixed().script.said[-1].model_copy(update={"headline": "so\n it goes " * 100})
    line = told(event)
    assert line is not None
    assert len(line.text) == LONGEST
    assert "\n" not in line.text
