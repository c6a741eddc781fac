"""A real Apache Kafka of our own, for demos and tests: KRaft, loopback, thrown away after.

    with EmbeddedBroker() as broker:
        Producer({"bootstrap.servers": broker.bootstrap})

One node serves everything but the fault tests; with three, every topic has three replicas
and needs two, so any one node may be killed, paused and brought back. Whoever has a
cluster points SENTINEL_KAFKA__BROKERS at it and never comes here.
"""

import atexit
import base64
import hashlib
import secrets
import shutil
import signal
import tempfile
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path
from typing import NoReturn, Self

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.errors import Rejected, Unavailable
from streams.broker.jars import Progress, cache_folder, exclusive, fetch_jars, read_lock, silent
from streams.broker.java import Java, find_java
from streams.broker.node import (
    LOOPBACK,
    Address,
    Node,
    PortTakenError,
    free_ports,
    require_free,
    wait_until_ready,
)

SCRATCH_PATIENCE = 1.0  # seconds to stop in order when the data is thrown away anyway
KEPT_PATIENCE = 60.0  # seconds, when an unclean end would mean a recovery at the next start
ARCHIVE_PATIENCE = 300.0  # seconds to write the class archive at exit; takes 2-15
EXERCISE_SECONDS = 60.0  # for one message to go through a group; takes less than one
PORT_ATTEMPTS = 5  # another process may take a free port before Kafka has it

# The first compiler alone: as fast here as both, and half the processor time.
JVM_OPTIONS = (
    "-Xms128m",
    "-Xmx512m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Djava.net.preferIPv4Stack=true",
)


class EmbeddedBroker:
    """Starts Kafka, tells where it is, and leaves nothing behind.

    `nodes` is 1 or 3. `data_dir` keeps the data there for the next start; without it the data
    lives in a scratch folder that `stop` removes. `port` is the first node's (the others take
    the following ones); without it free ones are found. `cache` is where the jars are, see
    `cache_folder`. `jvm_options` are added to the JVM's.

    Nodes are numbered from 1, as Kafka reports them.
    """

    def __init__(
        self,
        nodes: int = 1,
        data_dir: Path | None = None,
        *,
        port: int | None = None,
        cache: Path | None = None,
        jvm_options: Sequence[str] = (),
    ) -> None:
        self._count = nodes
        self._data_dir = data_dir
        self._port = port
        self._cache = cache
        self._jvm_options = jvm_options
        self._scratch: Path | None = None
        self._nodes: dict[int, Node] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:PORT`, one for each node, separated by commas."""
        return ",".join(f"{LOOPBACK}:{node.address.port}" for node in self._nodes.values())

    @property
    def pids(self) -> dict[int, int]:
        """Process ids of the nodes that run, by node."""
        return {n: node.child.pid for n, node in self._nodes.items() if node.running}

    def start(self) -> None:
        """Return when every node answers and knows all others; about 1.5 s with a class archive.

        Raises `Unavailable`: no Java, no jars, a fixed port that is taken, or a node that
        ended (with the end of its log). Nothing is left running then.
        """
        if self._nodes:
            raise Rejected("this broker was started already")
        command = java_command(self._cache)
        atexit.register(self.stop)
        try:
            self._create_nodes(command)
            self._serve_on_some_ports()
        except BaseException:
            self.stop()
            raise

    def stop(self, patience: float | None = None) -> None:
        """End all nodes, in order if `patience` seconds suffice, and remove scratch data."""
        if patience is None:
            patience = KEPT_PATIENCE if self._data_dir else SCRATCH_PATIENCE
        running = [node.child for node in self._nodes.values() if node.running]
        for child in running:  # all at once: each hands over to those that still run
            child.send(signal.SIGCONT)
            child.send(signal.SIGTERM)
        for child in running:
            child.stop(patience)
        self._nodes = {}
        if self._scratch:
            shutil.rmtree(self._scratch)
            self._scratch = None
        atexit.unregister(self.stop)

    def kill(self, node: int) -> None:
        """SIGKILL one node: a crash, with nothing said to anybody."""
        self._node(node).child.kill()

    def pause(self, node: int) -> None:
        """SIGSTOP one node: it keeps its connections and answers nobody."""
        self._node(node).child.send(signal.SIGSTOP)

    def resume(self, node: int) -> None:
        """SIGCONT a paused node."""
        self._node(node).child.send(signal.SIGCONT)

    def restart(self, *nodes: int) -> None:
        """Start nodes again on their old ports and data; those that run are stopped in order.

        Returns when they serve. After an outage of most nodes name enough of them for a quorum.
        """
        again = [self._node(number) for number in nodes]
        for node in again:
            if node.running:
                node.child.stop(KEPT_PATIENCE)
        for node in again:
            node.start(self._jvm_options)
        try:
            wait_until_ready(again, expected=nodes)
        except PortTakenError as error:
            raise Unavailable(f"a port of Kafka's nodes {nodes} was taken meanwhile") from error

    def wait(self) -> NoReturn:
        """Return never; raise `Unavailable` when a node ends by itself."""
        nodes = {node.child.ended: node for node in self._nodes.values()}
        done, _ = wait(nodes, return_when=FIRST_COMPLETED)
        raise Unavailable(nodes[done.pop()].last_words())

    def _node(self, number: int) -> Node:
        if number not in self._nodes:
            raise Rejected(f"no Kafka node {number}: there are {sorted(self._nodes)}")
        return self._nodes[number]

    def _create_nodes(self, command: Sequence[str | Path]) -> None:
        folder = self._data_dir
        if folder is None:
            folder = self._scratch = Path(tempfile.mkdtemp(prefix="sentinel-kafka-"))
        names = {f"node-{number}": number for number in range(1, self._count + 1)}
        kept = {path.parents[1].name for path in folder.glob("node-*/data/meta.properties")}
        if kept and kept != names.keys():
            raise Rejected(
                f"{folder} holds the data of {sorted(kept)}, not of {self._count} Kafka nodes: "
                "choose that number of nodes or another folder"
            )
        for name, number in names.items():
            self._nodes[number] = Node(number, folder.resolve() / name, command)

    def _serve_on_some_ports(self) -> None:
        for _ in range(PORT_ATTEMPTS):
            self._configure()
            self._format()
            for node in self._nodes.values():
                node.start(self._jvm_options)
            try:
                wait_until_ready(self._nodes.values(), expected=self._nodes)
            except PortTakenError:
                for node in self._nodes.values():
                    node.child.kill()
            else:
                return
        raise Unavailable(f"Kafka's ports on {LOOPBACK} were taken {PORT_ATTEMPTS} times in a row")

    def _configure(self) -> None:
        chosen = free_ports(2 * self._count)
        ports, controllers = chosen[: self._count], chosen[self._count :]
        if self._port is not None:
            ports = list(range(self._port, self._port + self._count))
            for port in ports:
                require_free(port)
        addresses = dict(enumerate(map(Address, ports, controllers), start=1))
        for node in self._nodes.values():
            node.configure(addresses)

    def _format(self) -> None:
        fresh = [node for node in self._nodes.values() if not node.formatted]
        cluster = random_cluster_id()
        for node in fresh:
            node.format(cluster)
        for node in fresh:
            if node.child.ended.result():
                raise Unavailable(node.last_words())


def random_cluster_id() -> str:
    """A new cluster's name: 22 characters, never beginning with the `-` of an option."""
    return base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")


def java_command(cache: Path | None = None) -> list[str | Path]:
    """Java with all of Kafka on its class path, and the class archive if there is one."""
    folder, java = fetch_jars(cache), find_java()
    classpath = ":".join(str(folder / jar.file) for jar in read_lock().jars)
    archive = archive_path(java, cache or cache_folder())
    faster = [java.use_archive(archive)] if archive.exists() else []
    return [java.executable, *JVM_OPTIONS, *faster, "-cp", classpath]


def archive_path(java: Java, cache: Path) -> Path:
    """Where the class archive for exactly this Java, these jars and these options is."""
    fits = hashlib.sha256(repr((java.banner, read_lock().key, JVM_OPTIONS)).encode())
    return cache / f"kafka-classes-{fits.hexdigest()[:12]}{java.archive_suffix}"


def prepare(cache: Path | None = None, progress: Progress = silent) -> None:
    """Fetch the jars, try them out, and keep their loaded classes: starts take half the time.

    Raises as `EmbeddedBroker.start` does. Does nothing that was done before.
    """
    cache = cache or cache_folder()
    fetch_jars(cache, progress)
    java = find_java()
    archive = archive_path(java, cache)
    with exclusive(cache / "archive.lock"):
        if archive.exists():
            progress(f"Kafka on Java {java.major}: ready")
            return
        progress(f"Kafka on Java {java.major}: making the class archive in a first run")
        for leftover in cache.glob("archive-*"):  # of a killed run: the lock is ours alone
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(dir=cache, prefix="archive-") as scratch:
            made = Path(scratch, archive.name)
            broker = EmbeddedBroker(cache=cache, jvm_options=[java.make_archive(made)])
            with broker:
                exercise(broker.bootstrap)
                broker.stop(ARCHIVE_PATIENCE)
            if made.exists():
                made.rename(archive)
                progress(f"Kafka on Java {java.major}: ready")
            else:
                progress(f"Kafka on Java {java.major}: ready, starts are slow: it made no archive")


def exercise(bootstrap: str) -> None:
    """Send one message in a transaction and read it in a group, so that all of Kafka is loaded.

    Raises `Unavailable` when the message does not arrive.
    """
    servers = {"bootstrap.servers": bootstrap, "log_level": 0}  # a loading coordinator is no news
    admin = AdminClient(servers)  # a name of its own: its requests end with it
    producer = Producer(servers | {"transactional.id": "exercise", "compression.type": "lz4"})
    consumer = Consumer(servers | {"group.id": "exercise", "auto.offset.reset": "earliest"})
    try:
        admin.create_topics([NewTopic("exercise", 1)])["exercise"].result()
        producer.init_transactions(EXERCISE_SECONDS)
        producer.begin_transaction()
        producer.produce("exercise", b"one")
        producer.commit_transaction(EXERCISE_SECONDS)
        consumer.subscribe(["exercise"])
        message = consumer.poll(EXERCISE_SECONDS)
        if message is None or message.error():
            raise Unavailable(f"Kafka took a message but did not give it back: {message}")
        consumer.commit(message, asynchronous=False)
    except KafkaException as error:
        raise Unavailable(f"Kafka starts but does not work: {error}") from error
    finally:
        consumer.close()
