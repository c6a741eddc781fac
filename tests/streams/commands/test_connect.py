"""`sentinel connect` on a real cluster: what it names, and that it leaves nothing behind."""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings
from streams.settings import Settings
from tests.streams.commands.conftest import Sentinel, one_line
from tests.streams.connect.fleet import FLEET, STRANGERS, timed
from tests.streams.formats.test_registry import Served
from tests.streams.kafka_world import until

KINDS = [name for name in FLEET if name not in STRANGERS]
UNSURE = ("traces", "orders", "random bytes", "text and time", "name, value, time")
COUNT, PARTITIONS = 80, 3


class Fleet(NamedTuple):
    """A cluster on which a fleet of producers writes."""

    kafka: KafkaSettings
    prefix: str
    kinds: dict[str, str]  # topic -> what the fleet calls it
    admin: Any  # one that has met the brokers: a new client's list of groups is empty

    def groups(self) -> set[str]:
        """All that have ever committed or joined and are still known."""
        return {group.group_id for group in self.admin.list_consumer_groups().result().valid}

    def topics(self) -> set[str]:
        """All topics."""
        return set(self.admin.list_topics(timeout=30).topics)


@pytest.fixture
def fleet(written: Fleet, bare: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """The cluster that settings name."""
    monkeypatch.setenv("SENTINEL_KAFKA__BROKERS", written.kafka.brokers)
    return written


@pytest.fixture(scope="module")
def written(broker: EmbeddedBroker) -> Iterator[Fleet]:
    """One topic a producer, an empty one, and one whose end is an aborted transaction."""
    kafka = KafkaSettings(brokers=broker.bootstrap)
    prefix = f"connect-{secrets.token_hex(4)}"
    kinds = {f"{prefix}.t{number:02}": name for number, name in enumerate((*KINDS, *UNSURE))}
    admin = AdminClient(kafka.confluent())
    empty, aborted = f"{prefix}.empty", f"{prefix}.aborted"
    made = [NewTopic(name, PARTITIONS, 1) for name in (*kinds, empty)]
    for future in admin.create_topics([*made, NewTopic(aborted, 1, 1)]).values():
        future.result()
    now = time.time_ns() // 1_000_000
    producer = Producer(kafka.confluent())
    for name, kind in kinds.items():
        for number, (value, at) in enumerate(timed(kind, COUNT, now)):
            producer.produce(name, value, partition=number % PARTITIONS, timestamp=at)
    assert producer.flush(60) == 0
    _abort(kafka, aborted, now)
    yield Fleet(kafka, prefix, kinds, admin)
    admin.delete_topics([*kinds, empty, aborted])


@pytest.fixture
def committer(fleet: Fleet) -> str:
    """A group that has committed an offset, as there are some on any cluster in use."""
    name = f"{fleet.prefix}-committer"
    consumer = Consumer({**fleet.kafka.confluent(), "group.id": name})
    place = TopicPartition(next(iter(fleet.kinds)), 0, 3)
    until(
        lambda: not any(each.error for each in consumer.commit(offsets=[place], asynchronous=False))
    )
    consumer.close()
    until(lambda: name in fleet.groups())
    return name


def _abort(kafka: KafkaSettings, topic: str, now: int) -> None:
    """A few records that count, then many that do not."""
    producer = Producer({**kafka.confluent(), "transactional.id": topic})
    producer.init_transactions(60)
    for kind, count in (("beats", 6), ("orders", 90)):
        producer.begin_transaction()
        for value, at in timed(kind, count, now):
            producer.produce(topic, value, timestamp=at)
        producer.flush(60)
        if kind == "beats":
            producer.commit_transaction(60)
        else:
            producer.abort_transaction(60)


@pytest.fixture
def served() -> Iterator[Served]:
    """A schema registry."""
    server = Served()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.broker
def test_a_fleets_topics_are_named_and_nothing_is_left_behind(
    fleet: Fleet, committer: str, sentinel: Sentinel
) -> None:
    """All but Avro without a registry are right, the strangers unsure, and no answer is wrong."""
    topics, groups = fleet.topics(), fleet.groups()
    file = Path("found.yaml")
    said = sentinel("connect", "--json", "--topic", f"{fleet.prefix}.*", "--write", str(file))
    assert said.status == 3, said.err

    found = {each["topic"]: each for each in json.loads(said.out)}
    wrong, unsure = [], []
    for topic, kind in fleet.kinds.items():
        wanted = "" if kind in STRANGERS else kind.partition(" ")[0]
        if found[topic]["format"] is None:
            unsure.append(kind)
        elif found[topic]["format"] != wanted:
            wrong.append((kind, found[topic]))
    assert not wrong
    assert unsure == ["avro", *UNSURE]
    assert found[f"{fleet.prefix}.empty"]["kind"] == "empty"
    assert found[f"{fleet.prefix}.aborted"]["format"] == "beats"
    assert found[f"{fleet.prefix}.aborted"]["records_sampled"] == 6

    first = found[f"{fleet.prefix}.t00"]
    assert (first["partitions"], first["offsets_kept"]) == (PARTITIONS, COUNT)
    assert first["records_sampled"] == COUNT
    assert first["records_per_second_in_sample"] == pytest.approx(1 / 1.5, rel=0.1)
    assert first["bytes_per_record"] > 100

    intake = Settings.load({}, file).intake
    assert intake.topics == IntakeSettings().topics | {
        topic: each["format"] for topic, each in found.items() if each["format"]
    }
    assert {"graphite", "text", "cri"} == {intake.topics[topic] for topic in intake.services}

    assert fleet.topics() == topics
    assert fleet.groups() == groups
    assert committer in groups


@pytest.mark.broker
def test_a_table_says_what_and_why(fleet: Fleet, sentinel: Sentinel) -> None:
    known = next(topic for topic, kind in fleet.kinds.items() if kind == "beats")
    strange = next(topic for topic, kind in fleet.kinds.items() if kind == "orders")
    said = sentinel("connect", "--topic", known, "--last", "10")
    assert said.status == 0
    assert said.out.startswith("TOPIC")
    row = next(line for line in said.out.splitlines() if line.startswith(known))
    assert "beats" in row
    assert "sure" in row
    assert "30 of 30 records have @metadata.beat" in row

    said = sentinel("connect", "--topic", strange)
    assert said.status == 3
    assert "the first has the fields order_id, customer, total" in said.out

    said = sentinel("connect", "--topic", strange, "--write", "none.yaml")
    assert "no topic was recognised" in said.err
    assert not Path("none.yaml").exists()


@pytest.mark.broker
def test_avro_is_read_through_the_registry_that_settings_name(
    fleet: Fleet, served: Served, sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTINEL_INTAKE__REGISTRY__URL", served.url)
    topic = next(topic for topic, kind in fleet.kinds.items() if kind == "avro")
    said = sentinel("connect", "--topic", topic, "--write", "avro.yaml", "--json")
    assert said.status == 0, said.err
    (found,) = json.loads(said.out)
    assert (found["format"], found["certainty"]) == ("avro", "sure")
    assert served.asked == ["/schemas/ids/7"]
    intake = Settings.load({}, Path("avro.yaml")).intake
    own = IntakeSettings().topics
    assert (intake.topics, intake.registry.url) == (own | {topic: "avro"}, served.url)


@pytest.mark.broker
def test_what_comes_while_we_look_is_the_speed(fleet: Fleet) -> None:
    """The ends are compared at two moments; what was there before does not count."""
    from streams.connect.look import look  # noqa: PLC0415 - as the command loads it

    topic = next(iter(fleet.kinds))
    producer = Producer(fleet.kafka.confluent())

    def send(_done: int, _of: int) -> None:
        for _ in range(40):
            producer.produce(topic, b"{}", partition=0)
        assert producer.flush(60) == 0

    began = time.monotonic()
    (found,) = look(fleet.kafka, [topic], watch_s=0.5, progress=send)
    passed = time.monotonic() - began
    assert 40 / passed <= found.rate.now <= 40 / 0.5
    assert len(found.sample) == COUNT


def test_a_cluster_that_is_away_is_one_line(
    sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTINEL_KAFKA__BROKERS", "127.0.0.1:1")
    said = sentinel("connect")
    assert said.status == 1
    assert "no Kafka at 127.0.0.1:1" in one_line(said)


def test_a_file_that_is_there_is_not_replaced(sentinel: Sentinel, bare: Path) -> None:
    """Said before anything is asked of the cluster."""
    (bare / "sentinel.yaml").write_text("environment: production\n")
    said = sentinel("connect", "--write", "sentinel.yaml")
    assert said.status == 1
    assert "--force replaces it" in one_line(said)
    assert (bare / "sentinel.yaml").read_text() == "environment: production\n"
