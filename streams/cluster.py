"""The cluster as a person meets it: is it there, and what is it.

Client libraries try for ever and say so in many lines; a command asks once, and says in one
line what to do when nobody answers.

Source: Kafka protocol, ApiVersions v3 (finalized features), which is answered before any
authentication; metadata levels from Kafka's MetadataVersion.
"""

import secrets
import socket
import struct
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import Rejected, Unavailable
from streams.connection import KafkaSettings

PATIENCE_S = 5.0  # a broker on the same network answers in milliseconds
LAST_PORT = 65_535
API_VERSIONS, VERSION = 18, 3
METADATA = "metadata.version"
# The first level of each release, newest first
RELEASES = (
    (31, "4.4 or newer"),
    (30, "4.3"),
    (28, "4.2"),
    (26, "4.1"),
    (22, "4.0"),
    (21, "3.9"),
    (20, "3.8"),
    (15, "3.7"),
)


class Cluster(NamedTuple):
    """What answered."""

    id: str
    brokers: tuple[str, ...]  # host:port
    topics: dict[str, int]  # partitions by name, as on the cluster


def quiet(kafka: KafkaSettings) -> dict[str, Any]:
    """The connection for one question: without librdkafka's own lines on standard error."""
    return {**kafka.confluent(), "log_level": 0, "socket.timeout.ms": int(PATIENCE_S * 1000)}


def reach(kafka: KafkaSettings) -> Cluster:
    """The cluster, asked once. Raises Unavailable, saying what to do.

    Raises Rejected, too, when an identity provider gives us no token for it.
    """
    refusals = [_refusal(host, port) for host, port in addresses(kafka)]
    if all(refusals):  # the client would try for all of its time
        raise _nobody(kafka, refusals[0])
    if kafka.tokens:
        from streams.oauth.tokens import fetched  # noqa: PLC0415 - others need no HTTP client

        fetched(kafka.oauth)  # librdkafka tells of a refusal late, and in many words
    found = _asked(kafka)
    return Cluster(
        id=found.cluster_id or "",
        brokers=tuple(f"{b.host}:{b.port}" for _, b in sorted(found.brokers.items())),
        topics={name: len(topic.partitions) for name, topic in found.topics.items()},
    )


def _asked(kafka: KafkaSettings) -> Any:
    """What the brokers say of the cluster. Raises Unavailable with why they say nothing."""
    told: list[str] = []  # of certificates and passwords the client library tells here alone

    def noted(error: Any) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - librdkafka's own errors have such names
            told.append(error.str())

    try:
        admin = AdminClient({**quiet(kafka), "error_cb": noted})
        try:
            return admin.list_topics(timeout=PATIENCE_S)
        finally:
            admin.poll(0)
    except KafkaException as error:
        why = told[0] if told else error.args[0].str()
        login = "kafka.oauth" if kafka.tokens else "sasl_username, sasl_password"
        raise Unavailable(
            f"something listens at {kafka.brokers}, but no Kafka answers over {kafka.protocol}"
            f" ({why}): is it still starting? Else look at kafka.protocol, sasl_mechanism,"
            f" {login}, ca_file and cert_file"
        ) from error


def addresses(kafka: KafkaSettings) -> list[tuple[str, int]]:
    """Hosts and ports of `kafka.brokers`. Raises Rejected for one that is none."""
    found = []
    for given in kafka.brokers.split(","):
        host, _, port = given.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) <= LAST_PORT:
            raise Rejected(f"kafka.brokers: {given.strip()!r} is no host:port")
        found.append((host.strip("[]"), int(port)))
    return found


def _refusal(host: str, port: int) -> str:
    """Why nobody listens there; empty when somebody does."""
    try:
        socket.create_connection((host, port), PATIENCE_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _nobody(kafka: KafkaSettings, why: str) -> Unavailable:
    return Unavailable(
        f"no Kafka at {kafka.brokers} ({why}): start it, or say where it is with"
        " SENTINEL_KAFKA__BROKERS"
    )


def release(kafka: KafkaSettings) -> str:
    """The release that the cluster's features are those of, as `4.1`. Raises Unavailable."""
    host, port = addresses(kafka)[0]
    correlation = secrets.token_bytes(4)
    client = b"sentinel"
    request = (
        struct.pack(">hh", API_VERSIONS, VERSION) + correlation
        + struct.pack(">h", len(client)) + client + b"\0"
        + b"".join(bytes([len(text) + 1]) + text for text in (client, b"1")) + b"\0"
    )  # fmt: skip
    try:
        with _connected(host, port, kafka) as link:
            link.sendall(struct.pack(">i", len(request)) + request)
            size = struct.unpack(">i", _received(link, 4))[0]
            answer = _received(link, min(size, 1024 * 1024))
        if answer[:4] != correlation:
            raise Unavailable(f"{host}:{port} does not speak Kafka")
        level = features(answer[4:]).get(METADATA, 0)
    except (OSError, ValueError, struct.error, IndexError) as error:
        raise Unavailable(f"{kafka.brokers}: cannot tell its version: {error}") from error
    return next((name for first, name in RELEASES if level >= first), "older than 3.7")


def _connected(host: str, port: int, kafka: KafkaSettings) -> socket.socket:
    link = socket.create_connection((host, port), PATIENCE_S)
    if not kafka.protocol.endswith("SSL"):
        return link
    return kafka.tls().wrap_socket(link, server_hostname=host)


def _received(link: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = link.recv(size - len(parts))
        if not part:
            raise ValueError("the connection was closed")
        parts += part
    return bytes(parts)


def features(answer: bytes) -> dict[str, int]:
    """Finalized features by name, from the body of an ApiVersions v3 answer."""
    read = _Reader(answer)
    if error := read.number(2):
        raise ValueError(f"error {error}")
    for _ in range(read.varint() - 1):
        read.skip(6)  # key, lowest, highest version
        read.tags()
    read.skip(4)  # throttle time
    finalized = read.tags().get(2)
    if finalized is None:
        return {}
    inside = _Reader(finalized)
    found = {}
    for _ in range(inside.varint() - 1):
        name = inside.skip(inside.varint() - 1).decode()
        found[name] = inside.number(2)
        inside.skip(2)  # lowest level
        inside.tags()
    return found


class _Reader:
    """Kafka's wire types, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def skip(self, size: int) -> bytes:
        """The next bytes."""
        if size < 0 or self._at + size > len(self._data):
            raise ValueError("a cut answer")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        """A signed integer, big-endian."""
        return int.from_bytes(self.skip(size), "big", signed=True)

    def varint(self) -> int:
        """An unsigned variable-length integer."""
        value, shift = 0, 0
        while True:
            byte = self.skip(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the continuation bit
                return value
            shift += 7

    def tags(self) -> dict[int, bytes]:
        """Tagged fields."""
        return {self.varint(): self.skip(self.varint()) for _ in range(self.varint())}
