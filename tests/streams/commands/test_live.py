"""Commands against a real Kafka: what is made, seen and sent."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from agents.approve import Approve, ApproveSettings
from schemas.avro import encode
from schemas.errors import Rejected
from schemas.event import Event
from schemas.frames import Lines, Samples, write_samples
from schemas.plans import Approval, Approved
from schemas.results import Rollback
from schemas.templates import Template
from schemas.topics import (
    APPROVALS,
    BY_EVENT,
    LOGLINES,
    OUTCOMES,
    RAW_METRICS,
    ROLLBACKS,
    SAMPLES,
    TICKS,
    Topic,
)
from streams.answering import Answerer
from streams.broker.embedded import EmbeddedBroker
from streams.cluster import quiet
from streams.connection import KafkaSettings
from streams.follow import Follower
from streams.settings import Settings
from streams.topics import create
from tests.frames import write_lines
from tests.story import Script, fixed
from tests.streams.commands.conftest import Kept, Sentinel

pytestmark = pytest.mark.broker
SOON_S = 120.0
AT = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


@pytest.fixture
def kafka(
    broker: EmbeddedBroker, topic_prefix: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> KafkaSettings:
    """A cluster of one's own, as far as names go, with all topics on it."""
    monkeypatch.setenv("SENTINEL_KAFKA__BROKERS", broker.bootstrap)
    monkeypatch.setenv("SENTINEL_KAFKA__TOPIC_PREFIX", f"{topic_prefix}-")
    monkeypatch.setenv("SENTINEL_KAFKA__PREFIX", f"{topic_prefix}-")
    settings = Settings.load().kafka
    create(settings)
    return settings


Send = Callable[[Topic, bytes, bytes, dict[str, str]], None]


@pytest.fixture
def send(kafka: KafkaSettings) -> Iterator[Send]:
    """Puts a record on a topic and waits until it is there."""
    producer = Producer(quiet(kafka))

    def put(topic: Topic, key: bytes, value: bytes, headers: dict[str, str]) -> None:
        producer.produce(kafka.topic(topic), value, key=key, headers=dict(headers))
        assert producer.flush(SOON_S) == 0

    yield put
    producer.flush(SOON_S)


def say(send: Send, *events: Event) -> None:
    """Put events on their topics."""
    for event in events:
        value, headers = encode(event)
        send(BY_EVENT[type(event)], event.group.encode(), value, headers)


def test_topics_are_made_once_and_listed(
    kafka: KafkaSettings, sentinel: Sentinel, topic_prefix: str
) -> None:
    again = json.loads(sentinel("topics", "create", "--json").out)
    assert again["created"] == again["differing"] == []
    listed = json.loads(sentinel("topics", "list", "--json").out)
    assert {each["partitions"] for each in listed} == {4}
    assert all(each["topic"].startswith(topic_prefix) for each in listed)


def test_tail_decodes_and_filters(send: Send, sentinel: Sentinel) -> None:
    one, other = fixed("one"), fixed("other")
    say(send, *[e for script in (one, other) for e in script.said if e.SUBJECT == "incident"])
    said = sentinel(
        "tail", "incidents", "--from-beginning", "--incident", other.ident[:10], "--count", "3"
    )
    lines = said.out.splitlines()
    assert [other.ident in line for line in lines] == [True] * 3
    assert "resolved: checkout: errors far above expected (high): quiet for 60 s" in lines[-1]


def test_tail_says_what_it_cannot_read_and_goes_on(send: Send, sentinel: Sentinel) -> None:
    send(OUTCOMES, b"g", b"garbage", {"schema": "outcome/1"})
    script = fixed()
    send(OUTCOMES, b"g", *encode(script.said[-2]))
    said = sentinel("tail", "outcomes", "--from-beginning", "--count", "2")
    assert "not outcome/1" in said.err
    assert "resolved, verified, by verify" in said.out


def test_frames_are_shown_series_by_series(send: Send, sentinel: Sentinel) -> None:
    import numpy as np  # noqa: PLC0415 - for one test

    names = ['cpu{service="a"}', 'cpu{service="b"}']
    at = np.array([1000, 2000, 3000], np.int64)
    frame = write_samples(Samples(names, np.array([0, 1, 0], np.int32), at, at / 10))
    send(SAMPLES, b"0", frame, {})
    shown = sentinel("tail", "samples", "--from-beginning", "--count", "1").out.splitlines()
    assert shown == [
        '00:00:03.000  cpu{service="a"}  300  (2 samples)',
        '00:00:02.000  cpu{service="b"}  200',
    ]
    found = sentinel("tail", "samples", "--from-beginning", "--count", "1", "--json").out
    assert [json.loads(line)["value"] for line in found.splitlines()] == [[100.0, 300.0], [200.0]]


@pytest.fixture
def framed(kafka: KafkaSettings) -> None:
    """Samples and log lines of two services, in transactions, as intake writes them."""
    import numpy as np  # noqa: PLC0415 - as above

    names = ['latency{service="shop"}', 'cpu{job="shop",service="mail"}', 'cpu{service="shop"}']
    code, value = np.array([0, 1, 2], np.int32), np.array([1.0, 2.0, 3.0])
    at = np.array([1000, 1000, 1000], np.int64)
    lines = Lines(
        ["shop", "mail", "shop"], at, ["error"] * 3, ["Refused", "refused", "paid"], ["{}"] * 3
    )
    producer = Producer({**quiet(kafka), "transactional.id": f"{kafka.prefix}framed"})
    producer.init_transactions(SOON_S)
    producer.begin_transaction()
    producer.produce(kafka.topic(SAMPLES), write_samples(Samples(names, code, at, value)))
    producer.produce(kafka.topic(LOGLINES), write_lines(lines))
    producer.commit_transaction(SOON_S)


@pytest.mark.usefixtures("framed")
@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (["samples", "--service", "shop"], ['latency{service="shop"}  1', 'cpu{service="shop"}  3']),
        (["samples", "--service", "shop", "--text", "LATENCY"], ['latency{service="shop"}  1']),
        (["samples", "--service", "sho"], []),
        (["loglines", "--text", "refused"], ["shop  error  Refused", "mail  error  refused"]),
        (["loglines", "--service", "shop", "--text", "refused"], ["shop  error  Refused"]),
        (["anomalies", "--service", "shop"], []),
    ],
)  # fmt: skip
def test_a_services_samples_and_lines_are_found_and_the_search_ends(
    sentinel: Sentinel, asked: list[str], shown: list[str]
) -> None:
    """The last offset of each topic is the mark of a transaction, behind which nothing comes."""
    said = sentinel("tail", *asked, "--minutes", "60")
    assert said.status == 0, said.err
    assert [line.partition("  ")[2] for line in said.out.splitlines()] == shown
    if shown and asked[0] == "samples":
        found = sentinel("tail", *asked, "--minutes", "60", "--json").out.splitlines()
        assert [json.loads(line)["series"] for line in found] == [s.split("  ")[0] for s in shown]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (["raw.metrics", "--service", "a"], "raw.metrics names no service"),
        (["ticks", "--service", "a"], "ticks.v1 names no service"),
        (["incidents", "--text", "a"], "--text is for samples and loglines"),
        (["samples", "--minutes", "5", "--from-beginning"], "two answers to one question"),
    ],
)
def test_what_a_topic_cannot_be_asked_is_said(
    sentinel: Sentinel, asked: list[str], why: str
) -> None:
    said = sentinel("tail", *asked)
    assert said.status == 2
    assert why in " ".join(said.err.split())


def test_templates_are_listed_as_they_stand(send: Send, sentinel: Sentinel) -> None:
    def told(change: Any, template: str, count: int, **more: str) -> Template:
        return Template(
            id=f"{change}{template}{count}",
            at=AT,
            group="g",
            since=AT,
            change=change,
            template=template,
            count=count,
            **{"service": "shop", "text": "paid <*>", "severity": "info", **more},
        )

    say(
        send,
        told("seen", "a" * 16, 1, text="paid ann", sample="paid ann"),
        told("seen", "b" * 16, 1, text="paid bob"),
        told("seen", "c" * 16, 1, text="lost <*>", severity="error", service="mail"),
        told("counted", "a" * 16, 4),
        told("merged", "b" * 16, 5, into="a" * 16),
        told("counted", "a" * 16, 8),
    )
    listed = sentinel("templates")
    assert listed.status == 0, listed.err
    shown = listed.out.splitlines()
    assert [line.split()[:4] for line in shown[1:]] == [
        ["a" * 16, "shop", "info", "8+"],
        ["c" * 16, "mail", "error", "1+"],
    ]
    assert shown[1].endswith("paid <*>")
    (mail,) = json.loads(sentinel("templates", "--service", "mail", "--json").out)
    assert (mail["text"], mail["severity"]) == ("lost <*>", "error")
    (first, *_) = json.loads(sentinel("templates", "--json").out)
    assert first["sample"] == "paid ann"
    assert "no template of stock yet" in sentinel("templates", "--service", "stock").err
    tailed = sentinel("tail", "templates", "--from-beginning", "--count", "6").out
    assert f"merged shop {'b' * 16} into {'a' * 16} info, 5 lines: paid <*>" in tailed


def test_log_lines_and_raw_records_are_shown_too(send: Send, sentinel: Sentinel) -> None:
    import numpy as np  # noqa: PLC0415 - for one test

    lines = Lines(["a"], np.array([1000], np.int64), ["error"], ["it\nbroke"], [""])
    send(LOGLINES, b"0", write_lines(lines), {})
    send(RAW_METRICS, b"k", b'{"value": 1}', {})
    shown = sentinel("tail", "loglines", "--from-beginning", "--count", "1").out
    assert shown.startswith("00:00:01.000  a  error  it")
    raw = json.loads(
        sentinel("tail", "raw.metrics", "--from-beginning", "--count", "1", "--json").out
    )
    assert (raw["key"], raw["value"]) == ("k", '{"value": 1}')


def test_ctrl_c_ends_a_tail_with_status_0(kafka: KafkaSettings, send: Send) -> None:
    """And it is live: it shows what comes after it began."""
    process = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "tail", "outcomes"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[3], env=dict(os.environ),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        outcome, done = fixed().said[-2], threading.Event()

        def keep_saying() -> None:
            while not done.wait(0.3):
                say(send, outcome)

        saying = threading.Thread(target=keep_saying)
        saying.start()
        try:
            line = process.stdout.readline()
        finally:
            done.set()
            saying.join()
        assert "resolved, verified" in line
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SOON_S)
        assert (process.returncode, err) == (0, "")
    finally:
        process.kill()
        process.wait()


def test_a_follower_sees_what_comes_after_it_was_made(kafka: KafkaSettings, send: Send) -> None:
    """Not what was there before."""
    early, late = fixed("early").said[-2], fixed("late").said[-2]
    say(send, early)
    with Follower(kafka, (OUTCOMES,)) as follower:
        say(send, late)
        assert next(follower.records(for_s=SOON_S)).event() == late


def test_a_missing_topic_is_named(kafka: KafkaSettings) -> None:
    elsewhere = kafka.model_copy(update={"topic_prefix": "nowhere-"})
    with pytest.raises(Rejected, match=r"topic nowhere-ticks\.v1 does not exist: run `sentinel"):
        Follower(elsewhere, (TICKS,))


def oncall(kept: Kept) -> tuple[str, ...]:
    return ("--as", "oncall", "--key", str(kept.key), "--yes")


def test_an_approval_arrives_and_the_pipeline_takes_it(
    kafka: KafkaSettings, kept: Kept, sentinel: Sentinel
) -> None:
    """What the command sends is what the approve stage accepts."""
    said = sentinel("approve", kept.open.ident, *oncall(kept), "--comment", "seen")
    assert (said.status, f"sent: approve of plan {kept.decision.plan.hash[:12]}" in said.out) == (
        0, True,
    )  # fmt: skip
    with Follower(kafka, (APPROVALS,), beginning=True) as follower:
        seen = next(follower.records(for_s=SOON_S))
    answer = seen.event()
    assert isinstance(answer, Approval)
    assert (seen.key.decode(), answer.comment) == (kept.open.group, "seen")
    stage = Approve(ApproveSettings(), Settings.load().identity)
    now = datetime.now(UTC)
    waits = stage.run(kept.decision, None, now).state
    assert isinstance(stage.run(answer, waits, now).events[0], Approved)


def test_answers_land_in_the_partition_of_their_group(
    kafka: KafkaSettings, kept: Kept, sentinel: Sentinel, send: Send
) -> None:
    """Where Faust and Java clients put that key: everything of an incident is in one place."""
    from aiokafka.partitioner import DefaultPartitioner  # noqa: PLC0415 - what Faust uses

    partitions = list(range(4))
    expected = DefaultPartitioner()(kept.open.group.encode(), partitions, partitions)
    said = sentinel("reject", kept.open.ident, *oncall(kept))
    assert f"/{expected}/" in said.out


def test_a_rollback_is_demanded_with_its_token(
    kafka: KafkaSettings, kept: Kept, sentinel: Sentinel
) -> None:
    said = sentinel("rollback", "rb-token", *oncall(kept), "--reason", "worse")
    assert said.status == 0
    with Follower(kafka, (ROLLBACKS,), beginning=True) as follower:
        demand = next(follower.records(for_s=SOON_S)).event()
    assert isinstance(demand, Rollback)
    assert (demand.token, demand.by, demand.reason) == ("rb-token", "oncall", "worse")
    assert demand.incident == kept.fixed.ident


def test_waiting_ends_with_what_came_of_the_answer(
    kafka: KafkaSettings, kept: Kept, send: Send
) -> None:
    """The grant of another plan is not taken for ours."""
    script, other = kept.open, Script("another")
    unrelated = other.approved(20, other.decision(4, other.proposed()))
    answerer = Answerer(kafka, script.approval(9, kept.decision.plan), follow=True)
    answerer.send()
    grant = script.approved(20, kept.decision)
    say(send, unrelated, grant)
    assert answerer.end(SOON_S) == grant


def test_the_doctor_knows_a_healthy_cluster(
    kafka: KafkaSettings, kept: Kept, sentinel: Sentinel
) -> None:
    said = sentinel("doctor", "--json")
    found = {each["name"]: each for each in map(json.loads, said.out.splitlines())}
    failed = any(each["status"] == "fail" for each in map(json.loads, said.out.splitlines()))
    assert said.status == int(failed)
    assert "features of 4." in found["kafka"]["detail"]
    assert found["topics"]["status"] == found["database"]["status"] == "ok"
    assert (found["clock"]["status"], found["people"]["detail"]) == ("warn", "may answer: oncall")
