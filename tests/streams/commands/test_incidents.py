"""An incident's whole life on one screen."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.outcomes import Cost, Report
from schemas.results import Rollback
from sinks.history import Lifecycle, causal
from sinks.store import Store
from streams.commands.story import told
from tests.story import START, Script, fixed
from tests.streams.commands.conftest import Kept, Sentinel, one_line


def screen(script: Script, now: datetime) -> str:
    """What is shown of a story at `now`."""
    events = causal(script.said)
    incident = next(e for e in reversed(script.said) if e.SUBJECT == "incident")
    life = Lifecycle(incident, events)  # type: ignore[arg-type] # its subject says what it is
    return "\n".join(line.plain for line in told(life, now))


def test_no_database_yet_says_what_to_do(sentinel: Sentinel) -> None:
    said = sentinel("incidents", "list")
    assert said.status == 1
    assert one_line(said).endswith("run `sentinel up` first")


def test_the_list_is_newest_first_and_can_be_narrowed(kept: Kept, sentinel: Sentinel) -> None:
    everything = sentinel("incidents", "list").out
    assert kept.fixed.ident in everything
    assert kept.open.ident in everything
    found = json.loads(sentinel("incidents", "list", "--status", "open", "--json").out)
    assert [each["incident"] for each in found] == [kept.open.ident]
    assert (
        sentinel("incidents", "list", "--status", "escalated").err == "no incident is escalated\n"
    )


def test_an_unknown_incident_is_answered_with_near_ones(kept: Kept, sentinel: Sentinel) -> None:
    said = sentinel("incidents", "show", "inc-nothing")
    assert said.status == 1
    assert kept.open.ident in one_line(said)


def test_the_start_of_an_id_will_do(kept: Kept, sentinel: Sentinel) -> None:
    said = sentinel("incidents", "show", kept.fixed.ident.removeprefix("inc-")[:6])
    assert said.out.startswith(f"{kept.fixed.ident}  resolved  high")


def test_the_whole_life_is_there() -> None:
    """Every part of the story, in its order."""
    said = screen(fixed(), START + timedelta(days=1))
    parts = (
        "Signals", 'http_errors_per_s{service="checkout",n="1"}', "cleared 10:01:30Z",
        "Forecast", "gone in 42 min (18 to 95)", "120.5 (96.25 to 151)",
        "Plan", "scale-out 3  risk low", "1. scale: run 6 replicas in place of 4 (can be undone",
        '{"kind":"scale","replicas":6}', "not restart (0.31): no leak seen",
        "Policy", "risk.low: risk low in production", "step_timeout_s = 20",
        "Answers", "by policy", "Steps", "scale do succeeded in 1.75 s",
        "Outcome", "resolved, verified: quiet for 60 s", "Timeline", "+0.0s", "+2m31s",
    )  # fmt: skip
    places = [said.index(part) for part in parts]
    assert places == sorted(places)


def test_a_waiting_plan_comes_with_the_command_that_answers_it(
    kept: Kept, sentinel: Sentinel
) -> None:
    said = sentinel("incidents", "show", kept.open.ident)
    assert f"  sentinel approve {kept.open.ident}\n" in said.out
    assert f"  sentinel reject {kept.open.ident}\n" in said.out


def test_an_answered_or_late_plan_asks_for_nothing() -> None:
    script = Script()
    until = START + timedelta(hours=1)
    decision = script.decision(4, script.proposed(), "approve", expires_at=until)
    assert "sentinel approve" in screen(script, START)
    assert "sentinel approve" not in screen(script, until)
    script.approved(20, decision, script.approval(10, decision.plan))
    assert "sentinel approve" not in screen(script, START)


def test_a_run_comes_with_the_command_that_takes_it_back() -> None:
    """Until its token expires or is used."""
    until = START + timedelta(hours=1)
    script: Any = Script()
    approved = script.approved(20, script.decision(4, script.proposed()))
    script.result(26, approved, "run", "succeeded", rollback_until=until)
    assert "sentinel rollback rb-token" in screen(script, START)
    assert "sentinel rollback" not in screen(script, until)
    script.say(
        Rollback(
            at=START, group=script.group, incident=script.ident, by="oncall", signature="",
            token=script.said[-1].rollback_token,
        )
    )  # fmt: skip
    assert "sentinel rollback" not in screen(script, START)


def test_a_long_timeline_keeps_its_beginning_and_its_end() -> None:
    script = Script()
    anomaly = script.anomaly(0)
    for second in range(1, 101):
        script.incident(second, anomaly, change="updated", reason=f"number {second}")
    said = screen(script, START)
    assert "number 1\n" in said
    assert "... 61 more ..." in said
    assert said.count("number ") < 50
    assert "number 100" in said


def test_json_has_every_event(kept: Kept, sentinel: Sentinel) -> None:
    said = json.loads(sentinel("incidents", "show", kept.fixed.ident, "--json").out)
    assert said["incident"]["status"] == "resolved"
    assert {event["id"] for event in said["events"]} == {e.id for e in kept.fixed.said}


def test_a_report_that_is_not_there_yet_is_not_written(kept: Kept, sentinel: Sentinel) -> None:
    said = sentinel("incidents", "show", kept.open.ident, "--html", "report.html")
    assert said.status == 1
    assert one_line(said).startswith(f"sentinel: no report on {kept.open.ident} yet")


@pytest.mark.parametrize(
    ("path", "status", "line"),
    [("report.html", 0, "the report is in"), ("no/folder.html", 1, "sentinel: cannot write")],
)
def test_the_report_is_one_page(
    kept: Kept, sentinel: Sentinel, path: str, status: int, line: str
) -> None:
    script = kept.fixed
    cost = Cost(amount=12.5, low=6, high=25, currency="EUR", formula="a * b", reason="")
    report = script.say(
        Report(
            at=datetime.now(UTC), group=script.group, incident=script.ident, outcome="resolved",
            headline="fixed in two minutes", story="It is fixed.", facts=(), cost=cost, records=(),
            bundle="{}", bundle_sha256="",
        )
    )  # fmt: skip
    with Store("sqlite:///sentinel.db") as store:
        store.keep(script.positions()[-1:])
    said = sentinel("incidents", "show", script.ident, "--html", path)
    assert said.status == status
    assert one_line(said).startswith(line)
    assert status or report.headline in Path(path).read_text()
    assert (
        "cost avoided 12.50 EUR (6.00 to 25.00): a * b"
        in sentinel("incidents", "show", script.ident).out
    )
