"""Calls to brokers that may be away: made again until they are decided, and said to be so.

What a broker's answer means for a transactional producer is told here, too: try again, abort
the transaction, another has our name, or the producer is of no more use. It is of none either
when it does not come back from a call. A worker that is asked to stop always comes to an end.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import SentinelError, Unavailable
from streams.intake.bounded import StuckError, bounded

log = logging.getLogger(__name__)
T = TypeVar("T")

CALL_S = 10.0  # one attempt at a call to the brokers
OVERRUN_S = 3.0  # beyond that; a call that takes longer will not come back
PATIENCE_S = 10.0  # for brokers that are away while we are asked to stop
SAY_EVERY_S = 5.0  # "still trying" in the log
FENCED = {
    KafkaError._FENCED,  # noqa: SLF001 - librdkafka's own errors have such names
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
}
FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError._INVALID_ARG,  # noqa: SLF001 - as above
}  # trying again changes nothing


class FencedError(SentinelError):
    """Another worker has taken our name: this one must stop."""


class AbortError(Exception):
    """The open transaction cannot be committed."""


class BrokenError(Unavailable):
    """The producer is of no more use."""


class Calls:
    """Calls in the name of one client. `stop` may be set by another thread."""

    def __init__(self, name: str, stop: threading.Event) -> None:
        self._name, self._stop = name, stop
        self._said = 0.0
        self._end: float | None = None  # monotonic, once asked to stop
        self.last_error = ""  # in the broker's words

    def insist(self, what: str, call: Callable[[float], T]) -> T:
        """Call until the brokers answer; `call` is given its time-out in seconds.

        Raises Unavailable when stopped while they are away or when trying again changes
        nothing, FencedError and BrokenError for the producer's ends. A client that does not
        come back from a call is broken, too.
        """
        while True:
            try:
                return bounded(lambda: call(CALL_S), CALL_S + OVERRUN_S, self._must_end)
            except KafkaException as error:
                self._raise_if_final(what, error)
            except StuckError:
                self.last_error = "no answer, and no end of the wait for one"
                if not self._stop.is_set():
                    raise BrokenError(f"could not {what}: {self.last_error}") from None
            end = self._must_end()
            if end is not None and time.monotonic() > end:
                raise Unavailable(f"stopped; could not {what}: {self.last_error}")
            self.still_trying(what)
            self._stop.wait(0.1)

    def _must_end(self) -> float | None:
        """When the last call must be over; counted from the first one after we are to stop."""
        if self._end is None and self._stop.is_set():
            self._end = time.monotonic() + PATIENCE_S
        return self._end

    def in_transaction(self, what: str, call: Callable[[float], object]) -> None:
        """Make a transactional call until it is decided. Raises AbortError too."""

        def attempt(timeout: float) -> None:
            try:
                call(timeout)
            except KafkaException as error:
                if self.abortable(error):
                    raise AbortError from error
                if self.out_of_step(error):
                    raise Unavailable(f"could not {what}: {self.last_error}") from error
                raise

        self.insist(what, attempt)

    def abortable(self, error: KafkaException) -> bool:
        """Whether the open transaction must be aborted for it."""
        self.last_error = error.args[0].str()
        return bool(error.args[0].txn_requires_abort())

    def out_of_step(self, error: KafkaException) -> bool:
        """Whether the client's transaction is in another state than the call needs.

        It is once a fence or an abort was heard of between two calls.
        """
        self.last_error = error.args[0].str()
        return bool(error.args[0].code() == KafkaError._STATE)  # noqa: SLF001 - as above

    def hopeless(self, error: KafkaException) -> bool:
        """Whether the producer is fenced or broken; not every call sets the flag."""
        reason: KafkaError = error.args[0]
        self.last_error = reason.str()
        return reason.fatal() or reason.code() in FENCED | {KafkaError._FATAL}  # noqa: SLF001 - as above

    def still_trying(self, what: str) -> None:
        """Say so, now and then."""
        if time.monotonic() - self._said > SAY_EVERY_S:
            self._said = time.monotonic()
            log.warning("still trying to %s: %s", what, self.last_error)

    def noted(self, error: KafkaError) -> None:
        """What the client tells by itself: its `error_cb`."""
        self.last_error = error.str()
        if error.fatal():
            log.error("fatal: %s", error.str())
        else:
            self.still_trying("reach Kafka")

    def fenced(self) -> FencedError:
        """What to say when another worker has our name."""
        return FencedError(
            f"another worker has the name {self._name!r} and has taken over: "
            "give each worker a name of its own, or stop one"
        )

    def _raise_if_final(self, what: str, error: KafkaException) -> None:
        reason: KafkaError = error.args[0]
        self.last_error = reason.str()
        if reason.code() in FENCED:
            raise self.fenced() from error
        if reason.fatal():
            raise BrokenError(f"could not {what}: {reason.str()}") from error
        if reason.code() in FORBIDDEN:
            raise Unavailable(f"could not {what}: {reason.str()}") from error
