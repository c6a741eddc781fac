"""One Kafka process: its settings, its ports, its start, and when it can be used."""

import random
import socket
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import Rejected, Unavailable
from streams.child import Child

LOOPBACK = "127.0.0.1"
START_SECONDS = 150.0  # takes 1-4; the rest is for a machine busy with other work
POLL_SECONDS = 0.02  # between looks while a node joins
LARGEST_MESSAGE = 16 * 1024 * 1024  # bytes; a changelog's block of detector state is one message
LOWEST_PORT = 10_000  # below are the registered services' usual ones
PORT_TRIES = 1000  # candidates looked at before giving up


class Address(NamedTuple):
    """Where one node listens on the loopback interface."""

    port: int  # clients and other brokers
    controller: int  # the quorum


class PortTakenError(Exception):
    """Somebody took a port between our look and Kafka's bind."""


def server_properties(node: int, addresses: dict[int, Address]) -> str:
    """Kafka's settings for one node of a cluster; paths are relative to its own folder."""
    replicas = len(addresses)
    needed = replicas // 2 + 1
    voters = ",".join(f"{n}@{LOOPBACK}:{a.controller}" for n, a in addresses.items())
    client, controller = addresses[node]
    settings = {
        "process.roles": "broker,controller",
        "node.id": node,
        "log.dirs": "data",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{client},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{client}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": voters,
        "default.replication.factor": replicas,
        "min.insync.replicas": needed,
        "auto.create.topics.enable": "false",
        "message.max.bytes": LARGEST_MESSAGE,
        "replica.fetch.max.bytes": LARGEST_MESSAGE,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": needed,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": needed,
        # Somebody waits for one consumer at a time: nothing to gain from gathering members.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.threads": 1,
        "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
    }
    if replicas > 1:  # a dead node is noticed in seconds; one alone has nobody to hand over to
        settings |= {
            "broker.session.timeout.ms": 3000,
            "controller.quorum.election.timeout.ms": 1000,
            "controller.quorum.fetch.timeout.ms": 2000,
        }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def free_ports(count: int) -> list[int]:
    """Loopback ports where nobody listens, all different.

    From below the range that the kernel hands out by itself, so that a node that was killed
    finds its port still free when it comes back.
    """
    low = _first_ephemeral_port()
    below = range(LOWEST_PORT, low)
    if len(below) < PORT_TRIES:
        candidates = [0] * count  # whatever the kernel has
    else:
        candidates = random.SystemRandom().sample(below, PORT_TRIES)
    with ExitStack() as held:
        ports: list[int] = []
        for candidate in candidates:
            probe = held.enter_context(socket.socket())
            if _binds(probe, candidate):
                ports.append(probe.getsockname()[1])
            if len(ports) == count:
                return ports
    raise Unavailable(f"no {count} free ports on {LOOPBACK}")


def require_free(port: int) -> None:
    """Raise `Unavailable` when somebody listens on loopback's `port`."""
    with socket.socket() as probe:
        if not _binds(probe, port):
            raise Unavailable(
                f"port {port} on {LOOPBACK} cannot be used, it is taken: "
                "end what listens there or choose another port"
            )


def _first_ephemeral_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:  # not Linux
        return 0


def _binds(probe: socket.socket, port: int) -> bool:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka does
    try:
        probe.bind((LOOPBACK, port))
    except OSError:
        return False
    return True


class Node:
    """One Kafka process with its folder and its ports."""

    def __init__(self, number: int, folder: Path, java_command: Sequence[str | Path]) -> None:
        self.number = number
        self.address = Address(0, 0)
        self._folder = folder
        self._java = java_command
        self._child: Child | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def child(self) -> Child:
        """Its process, running or ended. Raises `Rejected` before the first start."""
        if self._child is None:
            raise Rejected(f"Kafka node {self.number} was not started")
        return self._child

    @property
    def running(self) -> bool:
        """Whether it has a process that has not ended."""
        return self._child is not None and self._child.running

    @property
    def formatted(self) -> bool:
        """Whether its data folder belongs to a cluster already."""
        return (self._folder / "data" / "meta.properties").exists()

    def configure(self, addresses: dict[int, Address]) -> None:
        """Write its settings."""
        self.address = addresses[self.number]
        settings = server_properties(self.number, addresses)
        (self._folder / "server.properties").write_text(settings)

    def format(self, cluster: str) -> None:
        """Begin to lay out its data folder for `cluster`."""
        self._run("kafka.tools.StorageTool", "format", "-t", cluster, "-c", "server.properties")

    def start(self, jvm_options: Sequence[str] = ()) -> None:
        """Begin to serve."""
        self._run(*jvm_options, "kafka.Kafka", "server.properties")

    def check(self) -> None:
        """Raise when it cannot serve: `PortTakenError`, or `Unavailable` with its last words."""
        if self.child.wrote("failed to bind"):  # it may take many seconds to end after that
            raise PortTakenError
        if not self.child.running:
            raise Unavailable(self.last_words())

    def last_words(self) -> str:
        """Wait for its end, then tell of it, with the end of its log."""
        status, tail = self.child.ended.result(), self.child.log_tail()
        return f"Kafka node {self.number} ended with status {status}; its log ends:\n{tail}"

    def _run(self, *arguments: str) -> None:
        log = self._folder.with_suffix(".log")
        self._child = Child([*self._java, *arguments], folder=self._folder, log=log)


def wait_until_ready(nodes: Collection[Node], expected: Collection[int]) -> None:
    """Return when each of `nodes` answers and knows the `expected` nodes as serving.

    Raises what `Node.check` raises, and `Unavailable` after `START_SECONDS`.
    """
    deadline = time.monotonic() + START_SECONDS
    for node in nodes:
        admin = AdminClient(
            {
                "bootstrap.servers": f"{LOOPBACK}:{node.address.port}",
                "log_level": 0,  # refused connections are what is expected here
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 200,
            }
        )
        while not _serving(admin) >= set(expected):
            for starting in nodes:
                starting.check()
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"Kafka node {node.number} was not ready after {START_SECONDS:g} s; "
                    f"its log ends:\n{node.child.log_tail()}"
                )
            time.sleep(POLL_SECONDS)


def _serving(admin: AdminClient) -> set[int]:
    """The brokers that are not fenced, as far as one node knows; empty while it is silent."""
    try:
        return set(admin.list_topics(timeout=1).brokers)
    except KafkaException:
        return set()
