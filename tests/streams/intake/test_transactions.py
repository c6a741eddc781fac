"""A producer may say that it is fenced whenever its callbacks are served."""

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.connection import KafkaSettings
from streams.intake.calls import Calls
from streams.intake.transactions import Transactions


class Silent:
    """A producer that tells nothing but this error."""

    def __init__(self, code: int, *, fatal: bool) -> None:
        self.error = KafkaError(code, "told while polling", fatal)

    def poll(self, _timeout: float) -> int:
        """Raise it."""
        raise KafkaException(self.error)


def transactions(code: int, *, fatal: bool) -> Transactions:
    """A worker's, whose producer tells this."""
    made = Transactions(
        KafkaSettings(brokers="127.0.0.1:9").confluent(),
        name="intake-a",
        timeout_ms=15_000,
        calls=Calls("intake-a", threading.Event()),
        replaced=lambda: False,
    )
    made._producer = Silent(code, fatal=fatal)
    return made


@pytest.mark.parametrize(
    ("code", "fatal"), [(KafkaError._FENCED, True), (KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, True)]
)
def test_what_ends_a_producer_ends_its_transaction_in_order(code: int, *, fatal: bool) -> None:
    """Not by a traceback: the next call in a transaction says which it was."""
    told = transactions(code, fatal=fatal)
    told.poll()
    assert told.spoiled


def test_any_other_fault_is_not_swallowed() -> None:
    told = transactions(KafkaError._INVALID_ARG, fatal=False)
    with pytest.raises(KafkaException):
        told.poll()
    assert not told.spoiled
