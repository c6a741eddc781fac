"""Asking a cluster once."""

import pytest

from schemas.errors import Rejected, Unavailable
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
