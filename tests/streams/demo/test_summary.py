"""summary.json and the other files: what a program reads of a demo."""

import json
from pathlib import Path

from streams.demo.mode import Mode
from streams.demo.story import P95, Point
from streams.demo.summary import FILES, clear, summarise, write
from tests.streams.demo.play import fixed, quiet, rolled_back

PROMISED = {
    "outcome", "fault_at", "detected_at", "planned_at", "executed_at", "recovered_at",
    "rolled_back", "steps", "incidents", "anomalies", "budget_minutes_left", "cost_avoided",
}  # fmt: skip


def test_a_fix_in_numbers(tmp_path: Path) -> None:
    seen = fixed().seen
    seen.story.lines[P95] = [Point(1.0, 0.25)]
    paths = write(tmp_path, summarise(Mode.fix, seen), seen.story)
    assert [path.name for path in paths] == list(FILES)
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told.keys() >= PROMISED
    assert told["outcome"] == "resolved"
    assert (told["incidents"], told["anomalies"]) == (1, 1)
    assert told["budget_minutes_left"] == 41.5
    assert told["cost_avoided"] == 120.5
    assert told["steps"][0] == {"name": "scale-workers", "status": "succeeded"}
    assert told["fault_at"] < told["detected_at"] < told["planned_at"] < told["recovered_at"]
    assert told["fault_at"].endswith("Z")
    assert told["p95_seconds"] == [[1.0, 0.25]]
    assert json.loads((tmp_path / "bundle.json").read_text()) == {"events": []}
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_what_did_not_happen_is_null(tmp_path: Path) -> None:
    seen = quiet().seen
    assert write(tmp_path, summarise(Mode.no_fault, seen), seen.story) == [
        tmp_path / "summary.json"
    ]
    told = json.loads((tmp_path / "summary.json").read_text())
    for name in ("fault_at", "detected_at", "recovered_at", "cost_avoided", "budget_minutes_left"):
        assert told[name] is None


def test_an_escalation_has_not_recovered() -> None:
    summary = summarise(Mode.break_fix, rolled_back().seen)
    assert (summary.outcome, summary.rolled_back) == ("escalated", True)
    assert summary.recovered_at is None
    assert summary.executed_at is not None


def test_what_an_earlier_demo_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (*FILES, "notes.txt"):
        (tmp_path / name).write_text("old")
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
