"""A producer may say that it is fenced whenever its callbacks are served."""

import threading
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.connection import KafkaSettings
from streams.intake.exactly_once import ExactlyOnce


class Silent:
    """A producer that tells nothing but this error."""

    def __init__(self, code: int, *, fatal: bool) -> None:
        self.error = KafkaError(code, "told while polling", fatal)

    def poll(self, _timeout: float) -> int:
        """Raise it."""
        raise KafkaException(self.error)


def loop() -> Any:
    return ExactlyOnce(
        KafkaSettings(brokers="127.0.0.1:9"),
        group="intake",
        name="intake-a",
        topics=["raw.metrics"],
        stop=threading.Event(),
        ended=lambda committed: None,  # noqa: ARG005 - nobody counts here
    )


@pytest.mark.parametrize(
    ("code", "fatal"), [(KafkaError._FENCED, True), (KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, True)]
)
def test_what_ends_a_producer_ends_its_transaction_in_order(code: int, *, fatal: bool) -> None:
    """Not by a traceback: the next call in a transaction says which it was."""
    exactly_once = loop()
    exactly_once._producer = Silent(code, fatal=fatal)
    exactly_once._poll(0)
    assert exactly_once._rewind


def test_any_other_fault_is_not_swallowed() -> None:
    exactly_once = loop()
    exactly_once._producer = Silent(KafkaError._INVALID_ARG, fatal=False)
    with pytest.raises(KafkaException):
        exactly_once._poll(0)
