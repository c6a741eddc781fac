"""Every guard of intake in one run: what it refuses is counted, in the dead letters, and reported."""

import contextlib
import io
import json
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from schemas.avro import HEADER
from schemas.operations import DeadLetter
from schemas.topics import INTAKE_REPORTS, RAW_LOGS, RAW_METRICS, RAW_REMOTE_WRITE
from streams.broker.embedded import EmbeddedBroker
from streams.cli import main
from streams.commands import intake as commands
from streams.intake.intake import KEPT_BYTES
from streams.intake.settings import IntakeSettings
from tests.streams.intake.test_intake import count, working
from tests.streams.kafka_world import letters, put, until, world
from tests.streams.kafka_world import records as committed

pytestmark = pytest.mark.broker
SETTINGS = {
    "topics": {RAW_METRICS.name: "json", RAW_LOGS.name: "json", RAW_REMOTE_WRITE.name: "remote-write"},
    "limits": {"series_per_service": 3, "series": 40},
    "tenant_label": "team",
    "tenants": {
        "small": {"topics": [RAW_LOGS.name], "limits": {"series": 2}},
        "labelled": {"limits": {"series": 4, "series_per_service": 10}},
        "told": {"limits": {"label_value_bytes": 20}},
    },
}  # fmt: skip
MINUTE = 60_000


class Case(NamedTuple):
    """A guard, and what it must have kept out."""

    rule: str
    topic: str
    tenant: str
    service: str
    elements: int = 1
    letters: int = 1  # 0: left out on purpose


CASES = (
    Case("too-many-series-of-service", "raw.metrics", "default", "wide", 2, 2),
    Case("too-many-series-of-tenant", "raw.logs", "small", "c"),
    Case("too-many-series-of-tenant", "raw.metrics", "default", "l", 2, 2),  # by its label
    Case("label-too-long", "raw.metrics", "default", "long"),
    Case("label-too-long", "raw.metrics", "told", "strict"),  # by its header, under its own limit
    Case("in-the-future", "raw.metrics", "default", "early"),
    Case("too-late", "raw.metrics", "default", "late"),
    Case("too-late", "raw.metrics", "default", "chatty"),  # a log line
    Case("too-large-unpacked", "raw.remote-write", "default", ""),
    Case("no-service", "raw.metrics", "default", ""),
    Case("nan", "raw.metrics", "default", "holes", 2, 0),
)


class Ran(NamedTuple):
    """What a run left behind."""

    registry: CollectorRegistry
    letters: list[DeadLetter]
    report: dict[str, Any]
    text: str
    only: str  # about one service
    prefix: str


def event(service: str, at: int, **changes: Any) -> bytes:
    fields = {"service": service, "metric": "m", "at": at, "value": 1.0}
    return json.dumps(fields | changes).encode()


def records(now: int) -> Iterator[bytes]:
    """What breaks the guards on the topic of metrics, and good ones among it."""
    for number in range(5):
        yield event("wide", now, labels={"n": str(number)})
    for number in range(6):
        yield event("l", now, labels={"n": str(number), "team": "labelled"})
    yield event("long", now, labels={"path": "/x" * 4000})
    yield event("early", now + 60 * MINUTE)
    yield event("late", now - 120 * MINUTE)
    yield json.dumps({"service": "chatty", "at": now - 120 * MINUTE, "message": "m"}).encode()
    yield b'{"metric":"m","at":%d,"value":1}' % now
    yield event("holes", now, value=None)
    yield event("holes", now, value=None)
    yield event("good", now)


@pytest.fixture(scope="module")
def ran(broker: EmbeddedBroker) -> Iterator[Ran]:
    prefix = f"guards-{secrets.token_hex(4)}"
    kafka = world(broker.bootstrap, prefix)
    now = time.time_ns() // 1_000_000
    given = list(records(now))
    put(kafka, RAW_METRICS, given)
    strict = event("strict", now, labels={"path": "/a/path/of/some/length"})
    put(kafka, RAW_METRICS, [strict], headers={"tenant": "told"})
    put(kafka, RAW_LOGS, [event(name, now) for name in "abc"], keys=[b"k"] * 3)
    put(kafka, RAW_REMOTE_WRITE, [b"\x80\x80\x80\x80\x04" + b"\0" * 20])  # claims 1 GiB
    registry = CollectorRegistry()
    with working(kafka, IntakeSettings.model_validate(SETTINGS), registry):
        until(lambda: count(registry, "records") == len(given) + 1 + 3 + 1)
    for told in committed(kafka, INTAKE_REPORTS):  # a producer that did not hear its answer
        put(kafka, INTAKE_REPORTS, [told.value()], headers={HEADER: dict(told.headers())[HEADER]})
    put(kafka, INTAKE_REPORTS, [b"\xff no Avro"])
    environment = {
        "SENTINEL_KAFKA__BROKERS": kafka.brokers,
        "SENTINEL_KAFKA__PREFIX": kafka.prefix,
        "SENTINEL_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        found = json.loads(said("--json"))
        yield Ran(
            registry, letters(kafka), found, said(), said("--service", "wide"), kafka.topic_prefix
        )


def said(*options: str) -> str:
    """What the command prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        assert main(["intake", "report", *options]) == 0
    return out.getvalue()


def sums(ran: Ran, name: str) -> Counter[tuple[str, str, str]]:
    """A counter of intake, by rule, topic and tenant."""
    found: Counter[tuple[str, str, str]] = Counter()
    for family in ran.registry.collect():
        for sample in family.samples:
            if sample.name == f"sentinel_intake_{name}_total":
                labels = sample.labels
                key = labels["rule" if "rule" in labels else "reason"], labels["topic"]
                found[*key, labels["tenant"]] += int(sample.value)
    return found


def told(ran: Ran, number: str, *, refused: bool) -> Counter[tuple[str, str, str]]:
    """The same from the report."""
    found: Counter[tuple[str, str, str]] = Counter()
    for row in ran.report["left_out"]:
        if row["refused"] == refused:
            found[row["rule"], row["topic"], row["tenant"]] += row[number]
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.rule}-{c.tenant}-{c.service or 'none'}")
def test_a_guard_is_counted_told_and_in_the_dead_letters(ran: Ran, case: Case) -> None:
    topic = ran.prefix + case.topic
    row = next(
        row
        for row in ran.report["left_out"]
        if (row["rule"], row["topic"], row["tenant"], row["service"])
        == (case.rule, topic, case.tenant, case.service)
    )
    assert (row["elements"], row["letters"]) == (case.elements, case.letters)
    assert sums(ran, "rejected" if case.letters else "skipped")[case.rule, topic, case.tenant] >= (
        case.elements
    )
    line = next(
        line for line in ran.text.splitlines()
        if line.split()[0] == case.rule and f" {topic} " in line and f" {case.service or '-'} " in line
    )  # fmt: skip
    assert case.tenant in line
    assert f"\n{case.rule}: {row['todo']}" in ran.text
    if not case.letters:
        return
    place, own = row["example"]["place"], None
    for letter in ran.letters:
        if f"{letter.topic}/{letter.partition}/{letter.offset}" == place:
            own = letter
    assert own is not None
    assert own.rule == case.rule
    assert row["example"]["reason"] == own.reason[:300]
    assert own.size <= KEPT_BYTES


def test_the_report_and_the_counters_agree_in_every_sum(ran: Ran) -> None:
    assert told(ran, "elements", refused=True) == sums(ran, "rejected")
    assert told(ran, "letters", refused=True) == sums(ran, "deadletters")
    assert told(ran, "elements", refused=False) == sums(ran, "skipped")
    assert len(ran.letters) == sum(told(ran, "letters", refused=True).values())
    assert set(CASES) == {
        Case(
            row["rule"], row["topic"].removeprefix(ran.prefix), row["tenant"], row["service"],
            row["elements"], row["letters"],
        )
        for row in ran.report["left_out"]
    }  # fmt: skip


def test_of_many_services_those_that_lost_most_are_shown_and_the_others_counted(
    ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant that is full refuses thousands of services: that is a line, not thousands."""
    rows = [row for row in ran.report["left_out"] if row["service"]]
    place, many = Counter((r["rule"], r["topic"], r["tenant"]) for r in rows).most_common(1)[0]
    assert many > 1
    monkeypatch.setattr(commands, "SHOWN", 1)
    rule, topic, tenant = place
    lines = [line.split() for line in said().splitlines()]
    assert sum(line[:1] == [rule] and line[-6:-4] == [topic, tenant] for line in lines) == 1
    rest = sorted(r["elements"] for r in rows if (r["rule"], r["topic"], r["tenant"]) == place)[:-1]
    told = f"{rule}: {len(rest)} more services on {topic}, tenant {tenant}: {sum(rest)} elements"
    assert told in said()


def test_what_was_read_is_told_by_topic_with_its_lag(ran: Ran) -> None:
    flows = {
        (row["topic"].removeprefix(ran.prefix), row["tenant"]): row for row in ran.report["topics"]
    }
    assert all(row["lag"] == 0 for row in flows.values())
    assert sum(row["samples"] for row in flows.values()) == count(ran.registry, "samples")
    assert " 0.0 " not in ran.text  # a record in fifteen minutes is not none


def test_a_person_who_misses_a_series_is_told_why(ran: Ran) -> None:
    """Also what nobody could be told to own, for it may be theirs; nothing of the others'."""
    assert "wide has 3 series already" in ran.only
    assert "raise intake.limits.series_per_service" in ran.only
    assert "no-service" in ran.only
    assert "early" not in ran.only


@pytest.mark.parametrize(("option", "known"), [("--topic", "raw.metrics"), ("--tenant", "told")])
def test_a_name_that_nothing_has_is_no_good_news(
    ran: Ran, option: str, known: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = ran.prefix if option == "--topic" else ""
    assert main(["intake", "report", option, prefix + known]) == 0
    assert main(["intake", "report", option, "typo"]) == 2
    said = capsys.readouterr().err
    assert f"no {option[2:]} 'typo'; there are " in said
    assert known in said


def test_a_service_of_which_nothing_was_refused_may_not_come_at_all(ran: Ran) -> None:
    look = "sentinel tail samples --service nobody --minutes 15"
    assert ran.only
    assert look in said("--service", "nobody")


def test_what_intake_waits_for_in_vain_and_whether_it_lives_is_said(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "QUIET_S", 0.0)
    assert main(["intake", "report"]) == 0
    assert "1 worker, the last word " in (quiet := capsys.readouterr().err)
    assert quiet.rstrip().endswith(" ago, all is read")
    monkeypatch.setenv("SENTINEL_INTAKE__TOPICS", '{"raw.logs": "json", "gone": "json"}')
    monkeypatch.setenv("SENTINEL_KAFKA__PREFIX", f"{ran.prefix}nobody-")
    assert main(["intake", "report"]) == 0
    behind = capsys.readouterr().err
    assert "3 records wait, does one still run?" in behind
    assert f"{ran.prefix}gone is in intake.topics, but not on the cluster" in behind
