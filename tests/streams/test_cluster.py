"""Asking a cluster once."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from schemas.errors import Rejected, Unavailable
from streams import cluster
from streams.broker.embedded import EmbeddedBroker
from streams.cluster import addresses, features, reach, release
from streams.connection import KafkaSettings


@pytest.mark.parametrize("brokers", ["", "kafka", "kafka:", ":9092", "kafka:x", "a:1,b", "a:70000"])
def test_an_odd_address_is_refused(brokers: str) -> None:
    with pytest.raises(Rejected, match=r"kafka\.brokers: .* is no host:port"):
        addresses(KafkaSettings(brokers=brokers))


def test_addresses_are_hosts_and_ports() -> None:
    kafka = KafkaSettings(brokers="a:1, [::1]:2")
    assert addresses(kafka) == [("a", 1), ("::1", 2)]


def test_nobody_there_is_said_with_what_to_do() -> None:
    with pytest.raises(Unavailable, match=r"no Kafka at 127\.0\.0\.1:1 .*SENTINEL_KAFKA__BROKERS"):
        reach(KafkaSettings(brokers="127.0.0.1:1"))
    with pytest.raises(Unavailable, match="cannot tell its version"):
        release(KafkaSettings(brokers="127.0.0.1:1"))


# error 0; one API key; throttle 0; tags: 1 (epoch), 2 (metadata.version at 30)
FINALIZED = b"\x02\x11metadata.version\x00\x1e\x00\x07\x00"
ANSWER = (
    b"\x00\x00" + b"\x02" + b"\x00\x12\x00\x00\x00\x04\x00" + b"\x00" * 4
    + b"\x02" + b"\x01\x08" + b"\x00" * 8 + b"\x02" + bytes([len(FINALIZED)]) + FINALIZED
)  # fmt: skip


def test_finalized_features_are_read() -> None:
    assert features(ANSWER) == {"metadata.version": 30}


def test_an_answer_without_features_has_none() -> None:
    assert features(b"\x00\x00\x01\x00\x00\x00\x00\x00") == {}


@pytest.mark.parametrize("answer", [b"", b"\x00\x23", ANSWER[:12], ANSWER[:-3]])
def test_a_cut_or_failed_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut|error"):
        features(answer)


@pytest.mark.broker
def test_a_real_broker_tells_its_release(broker: EmbeddedBroker) -> None:
    kafka = KafkaSettings(brokers=broker.bootstrap)
    assert release(kafka).startswith("4.")
    assert reach(kafka).brokers == (broker.bootstrap,)


class Guarded(NamedTuple):
    """A port that wants a certificate, says nothing behind it, and who came."""

    port: int
    folder: Path
    came: list[str]

    def settings(self, **given: Any) -> KafkaSettings:
        """How to reach it."""
        files = {
            name: f"{self.folder}/{value}" for name, value in given.items() if name != "password"
        }
        return KafkaSettings.model_validate(
            {
                "brokers": f"127.0.0.1:{self.port}",
                "protocol": "SSL",
                "key_password": given.get("password", ""),
                **files,
            }
        )


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """Certificates of an authority of our own, and a port that believes no other."""
    issue(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "broker.pem", tmp_path / "broker.key")
    context.load_verify_locations(tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    came: list[str] = []

    def answer() -> None:
        while True:
            try:
                link, _ = door.accept()
            except OSError:
                return
            with link, suppress(OSError), context.wrap_socket(link, server_side=True) as inside:
                subject: Any = (inside.getpeercert() or {})["subject"]
                came.append(subject[0][0][1])

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=answer)
        thread.start()
        yield Guarded(door.getsockname()[1], tmp_path, came)
        door.shutdown(socket.SHUT_RDWR)
    thread.join()


def issue(folder: Path) -> None:
    """An authority, and what it signed for a broker and for us, the last with a password."""
    now = datetime.now(UTC)
    signer: Any = None
    for name in ("ca", "broker", "us"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        signer = signer or (subject, key)
        made = (
            x509.CertificateBuilder(signer[0], subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(signer[1], hashes.SHA256())
        )
        lock: Any = serialization.NoEncryption()
        if name == "us":
            lock = serialization.BestAvailableEncryption(b"hunter2")
        (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
        )


@pytest.fixture
def patiences(monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """Shorter than a person's first: each look waits for all of it; then a busy machine's."""

    def each() -> Iterator[float]:
        for patience in (1.0, 5.0, 60.0):
            monkeypatch.setattr(cluster, "PATIENCE_S", patience)
            yield patience

    return each()


US = {"ca_file": "ca.pem", "cert_file": "us.pem", "key_file": "us.key", "password": "hunter2"}


@pytest.mark.parametrize("ask", [reach, release])
def test_our_certificate_is_shown_by_both_clients(
    guarded: Guarded, patiences: Iterator[float], ask: Callable[[KafkaSettings], object]
) -> None:
    """The port has no more to say than that, so both fail once they are in."""
    while not guarded.came:
        next(patiences)
        with pytest.raises(Unavailable):
            ask(guarded.settings(**US))
    assert set(guarded.came) == {"us"}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "certificate verify failed"),
        ({"ca_file": "ca.pem"}, "certificate required"),
        ({**US, "password": "wrong"}, "ssl.key.location failed"),
        ({"ca_file": "nowhere.pem"}, "ssl.ca.location failed"),
    ],
)
def test_what_a_guarded_port_misses_is_said(
    guarded: Guarded, patiences: Iterator[float], given: dict[str, str], why: str
) -> None:
    said = ""
    while why not in said:
        next(patiences)
        with pytest.raises(
            Unavailable, match=r"something listens at .* over SSL .*kafka\.protocol"
        ) as error:
            reach(guarded.settings(**given))
        said = str(error.value)
        assert "hunter2" not in said
        assert "wrong" not in said
    assert guarded.came == []


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    kafka = KafkaSettings(protocol="SSL", ca_file=str(tmp_path / "nowhere.pem"))
    with pytest.raises(Rejected, match=r"kafka\.ca_file.*nowhere\.pem.*No such file"):
        kafka.tls()


def test_a_key_without_its_certificate_is_refused() -> None:
    with pytest.raises(ValidationError, match="key_file needs cert_file"):
        KafkaSettings(key_file="us.key")
