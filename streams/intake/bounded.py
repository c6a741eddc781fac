"""A call that ends in time, also when the client library's does not.

librdkafka takes a time-out for every call and forgets it in one: the offsets of a transaction
wait for the group's coordinator for as long as that takes, which is for ever when the broker it
knew has left the cluster's metadata meanwhile (its issues 5456 and 5511). Closing a consumer
may take as long. Such a call cannot be ended from outside. It is left to a thread of its own,
and its client to nobody: whoever gave it up goes on with another one.
"""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
LOOK_S = 0.1  # between two looks at whether it is still worth waiting


class StuckError(Exception):
    """The call has not come back; its thread still waits for it."""


class _Call(Generic[T]):
    """What a thread found out."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._result: T
        self._error: BaseException | None = None
        self.ended = threading.Event()

    def make(self) -> None:
        """In the thread."""
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001 - carried to the thread that asked
            self._error = error
        finally:
            self.ended.set()

    def result(self) -> T:
        """What it gave; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result


def bounded(call: Callable[[], T], seconds: float, urgent: Callable[[], float | None]) -> T:
    """What `call` gives or raises, within `seconds`.

    `urgent` is asked meanwhile: the moment (monotonic) by which it must be over after all, or
    None. Raises StuckError when the call takes longer; its thread dies with the process.
    """
    made = _Call(call)
    threading.Thread(target=made.make, name="bounded call", daemon=True).start()
    deadline = time.monotonic() + seconds
    while not made.ended.wait(LOOK_S):
        sooner = urgent()
        end = deadline if sooner is None else min(deadline, sooner)
        if time.monotonic() > end:
            raise StuckError
    return made.result()
