"""A call that does not come back is given up; what comes back is passed on."""

import threading
import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.errors import Unavailable
from streams.intake import calls
from streams.intake.bounded import StuckError, bounded
from streams.intake.calls import BrokenError, Calls


def never() -> None:
    """Nothing is urgent."""


@pytest.fixture
def held() -> threading.Event:
    """What a stuck call waits for: for ever, but for its patience with a failing test."""
    return threading.Event()


def test_what_it_gives_and_what_it_raises_is_passed_on() -> None:
    assert bounded(lambda: 7, 60, never) == 7
    with pytest.raises(KafkaException, match="TIMED_OUT"):
        bounded(lambda: refuse(KafkaError._TIMED_OUT), 60, never)


def refuse(code: int) -> None:
    raise KafkaException(KafkaError(code))


def test_a_call_that_does_not_come_back_is_given_up(held: threading.Event) -> None:
    with pytest.raises(StuckError):
        bounded(lambda: held.wait(60), 0.2, never)
    assert not held.is_set()


def test_it_is_given_up_sooner_when_there_is_no_more_time(held: threading.Event) -> None:
    with pytest.raises(StuckError):
        bounded(lambda: held.wait(60), 1e9, time.monotonic)


def test_a_producer_that_does_not_come_back_is_broken(
    held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "CALL_S", 0.1)
    monkeypatch.setattr(calls, "OVERRUN_S", 0.1)
    with pytest.raises(BrokenError, match="could not commit: no answer, and no end"):
        Calls("a", threading.Event()).in_transaction("commit", lambda _: held.wait(60))


def test_asked_to_stop_it_leaves_a_call_that_does_not_come_back(
    held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not broken: a broken producer would be replaced, and the worker go on."""
    monkeypatch.setattr(calls, "PATIENCE_S", 0.2)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Unavailable, match="stopped; could not commit") as raised:
        Calls("a", stop).in_transaction("commit", lambda _: held.wait(60))
    assert not isinstance(raised.value, BrokenError)
