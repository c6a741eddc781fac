"""Seeded secrets go the whole way of an incident: no topic but the raw ones, no table, no log has one."""

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from schemas.anomalies import Anomaly
from schemas.incidents import Incident
from schemas.outcomes import Report
from schemas.topics import CATALOGUE, RAW, RAW_LOGS, RAW_METRICS, Topic
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.settings import Settings
from streams.topics import create
from tests.e2e import site
from tests.e2e.target import serving
from tests.e2e.test_whole import LAYOUT
from tests.e2e.witness import Witness
from tests.e2e.workers import Workers
from tests.streams.intake import seeds as made
from tests.streams.intake.haystack import feed, found, of_topic
from tests.streams.intake.seeds import Kind, Seed, kinds
from tests.streams.kafka_world import records

pytestmark = [pytest.mark.broker, pytest.mark.faults, pytest.mark.timeout(900)]

SERVICE = "cellar"
HISTORY_S, FLOOD_S, CALM_S = 200, 40, 400  # a new template is over five minutes after its last line
WAIT_S = 240.0
MARKS = ("<email>", "<card>", "<secret>", "<account>", "<phone>", "<person>")


def settled(folder: Path, brokers: str, prefix: str, target: str) -> Path:
    """The settings of a pipeline that learns fast and gives up soon."""
    path = site.build(folder, brokers=brokers, prefix=prefix, target=target, shops=["a"])
    document = json.loads(path.read_text())
    document["intake"] |= {
        "limits": {"late_s": 0, "future_s": 0},
        "services": {RAW_LOGS.name: "hall"},
    }
    document |= {"logs": {"learn_s": 60, "learn_lines": 50}, "verify": {"self_heal_stable_s": 2}}
    path.write_text(json.dumps(document))
    return path


class Cellar:
    """A service whose every label and every error has a secret, and which breaks."""

    def __init__(self, kafka: KafkaSettings, now: int) -> None:
        self._kafka, self._start, self._second = kafka, now - HISTORY_S, 0
        self._kinds = kinds(Random(99))
        self._producer = Producer(kafka.confluent() | {"linger.ms": 5})

    def seeds(self) -> list[Seed]:
        """What nobody may find."""
        return [
            Seed(name, "the cellar", RAW_LOGS, b"", kind.secret, "", letter=False, format="json")
            for name, kind in self._kinds.items()
        ]

    def live(self, seconds: int, depth: float, *, broken: bool) -> None:
        """So many seconds of metrics, lines, and errors where it is broken."""
        for _ in range(seconds):
            at = (self._start + self._second) * 1000
            noise = self._second * 7919 % 11 - 5
            for number, kind in enumerate(self._kinds.values()):
                labels = {"note": kind.text, "n": str(number)}
                value = depth + noise
                self._put(RAW_METRICS, metric="queue_depth", at=at, value=value, labels=labels)
            self._put(RAW_LOGS, at=at, level="info", message=f"order {self._second} was paid")
            if broken:
                self._errors(at, list(self._kinds.values()))
            self._second += 1
        assert self._producer.flush(60) == 0

    def _errors(self, at: int, every: list[Kind]) -> None:
        for number, kind in enumerate(every):
            word = "".join(chr(97 + int(digit)) for digit in str(number))
            text = f"cellar {word * 3} broke: {kind.text}"
            self._put(RAW_LOGS, at=at, level="error", message=text)

    def _put(self, topic: Topic, **event: object) -> None:
        value = json.dumps({"service": SERVICE, **event}).encode()
        self._producer.produce(self._kafka.topic(topic), value, SERVICE.encode())
        self._producer.poll(0)


def test_no_seed_is_anywhere_but_in_the_raw_topics(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"seeds-{secrets.token_hex(4)}-"
    now = int(time.time())
    monkeypatch.setattr(made, "AT", (now - HISTORY_S) * 1000)
    every = list(made.seeds(31))
    with serving() as target:
        path = settled(tmp_path, broker.bootstrap, prefix, target.url)
        settings = Settings.load({}, path)
        kafka = settings.kafka
        assert not create(kafka).differing
        with Workers(LAYOUT, path, tmp_path / "logs") as workers, Witness(kafka) as witness:
            cellar = Cellar(kafka, now)
            every += cellar.seeds()
            feed(kafka, [seed for seed in every if seed.value])
            cellar.live(HISTORY_S, 100.0, broken=False)
            cellar.live(FLOOD_S, 500.0, broken=True)
            opened = lambda: any(i.signals for i in witness.said(Incident))  # noqa: E731 - a look
            witness.wait(opened, WAIT_S, "an incident")
            cellar.live(CALM_S, 100.0, broken=False)
            witness.wait(lambda: bool(witness.said(Report)), WAIT_S, "a report")
            workers.require_alive()
            require_told(witness)
        require_clean(kafka, prefix, every)
    require_clean_folder(tmp_path, every)


def require_told(witness: Witness) -> None:
    """The story came through with its evidence, masked."""
    metrics = [a for a in witness.said(Anomaly) if a.source == "metric" and a.service == SERVICE]
    assert any("<email>" in a.series for a in metrics)
    lines = [line for a in witness.said(Anomaly) for line in a.evidence_lines]
    assert any(mark in line for line in lines for mark in MARKS)
    assert any(SERVICE in repr(report) for report in witness.said(Report))


def straws(kafka: KafkaSettings, prefix: str) -> Iterator[bytes]:
    """All topics of ours byte by byte, changelogs too, and what is known to be events unpacked."""
    known = {kafka.topic(topic): topic for topic in CATALOGUE}
    there = AdminClient(kafka.confluent()).list_topics(timeout=30).topics
    bare = kafka.model_copy(update={"topic_prefix": ""})
    for name in sorted(name for name in there if name.startswith(prefix)):
        if name in {kafka.topic(topic) for topic in RAW}:
            continue
        if name in known:
            yield from of_topic(kafka, known[name])
            continue
        topic = Topic(name, None, "", 0, partitions=len(there[name].partitions))
        for message in records(bare, topic):
            yield (message.value() or b"") + b"\n" + (message.key() or b"")


def require_clean(kafka: KafkaSettings, prefix: str, every: list[Seed]) -> None:
    hay = b"\n".join(straws(kafka, prefix))
    assert b"<email>" in hay
    assert found(hay, every) == []


def require_clean_folder(folder: Path, every: list[Seed]) -> None:
    """Database, audit and the workers' logs."""
    with closing(sqlite3.connect(folder / "sentinel.db")) as database:
        tables = "\n".join(database.iterdump())
    assert "<email>" in tables
    logs = "\n".join(p.read_text(errors="replace") for p in (folder / "logs").iterdir())
    assert found(tables.encode(), every) == []
    assert found(logs.encode(), every) == []
    for file in folder.rglob("*"):
        if file.is_file():
            assert found(file.read_bytes(), every) == [], file
