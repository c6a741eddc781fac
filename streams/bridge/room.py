"""How much the bridge holds at once: requests under way, and the bytes of their bodies.

Beyond that a sender is told to come back, before we read what it sends: memory stays bounded
whatever arrives, and those who are under way are not slowed down.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from streams.bridge.refusal import BUSY, RefusedRequest, later

SOON_S = 1.0  # a request is under way for some milliseconds


class Held:
    """What one request holds."""

    def __init__(self, room: "Room") -> None:
        self._room = room
        self.size = 0  # bytes

    def take(self, size: int) -> None:
        """Hold `size` bytes more. Raises RefusedRequest when that is too much just now."""
        self._room.take(size)
        self.size += size


class Room:
    """Room for requests and their bytes."""

    def __init__(self, requests: int, size: int) -> None:
        self._most_requests, self._most_size = requests, size
        self.requests = 0
        self.size = 0  # bytes

    @contextmanager
    def place(self) -> Iterator[Held]:
        """A request's place, free again at the end. Raises RefusedRequest when there is none."""
        if self.requests >= self._most_requests:
            raise _busy(f"{self.requests} requests are under way already")
        self.requests += 1
        held = Held(self)
        try:
            yield held
        finally:
            self.requests -= 1
            self.size -= held.size

    def take(self, size: int) -> None:
        """Count `size` bytes more. Raises RefusedRequest when that is too much just now."""
        if self.size + size > self._most_size:
            raise _busy(f"{self.size} bytes are held already, and {self._most_size} allowed")
        self.size += size


def _busy(reason: str) -> RefusedRequest:
    return later(BUSY, "busy", reason, SOON_S)
