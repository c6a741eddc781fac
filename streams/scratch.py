"""Bytes by key in a file without a name: the saved blocks of state, out of memory.

What Faust has read from a changelog is kept here instead of in a dictionary: blocks that are in
use are in memory as arrays already, those that are put away should not be. The file is in the
folder for temporary files (`TMPDIR`), has no name, and is gone with the process however that
ends. It is no second truth: after a restart it is filled from the changelog again.
"""

import logging
import os
import tempfile
import weakref
from collections.abc import Iterator, MutableMapping

from schemas.errors import Rejected, Unavailable

log = logging.getLogger(__name__)
STRIDE = 16 * 1024 * 1024  # bytes of the file for a value; what it does not fill is a hole


class Scratch(MutableMapping[bytes, bytes]):
    """A mapping whose values are in a file: a key costs about 250 bytes of memory."""

    def __init__(self) -> None:
        self._file, name = tempfile.mkstemp(prefix="sentinel-")
        os.unlink(name)  # noqa: PTH108 - beside mkstemp
        weakref.finalize(self, os.close, self._file)
        self._places: dict[bytes, tuple[int, int]] = {}  # key -> slot, length
        self._free: list[int] = []
        self._slots = 0

    def __getitem__(self, key: bytes) -> bytes:
        slot, length = self._places[key]
        return os.pread(self._file, length, slot * STRIDE)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        if len(value) > STRIDE:
            raise Rejected(f"{key.decode()}: a state of {len(value)} bytes, at most {STRIDE}")
        slot = self._places[key][0] if key in self._places else self._slot()
        try:
            written = os.pwrite(self._file, value, slot * STRIDE)
        except OSError as error:
            raise self._full(error.strerror or "") from error
        if written != len(value):
            raise self._full("No space left on device")
        self._places[key] = slot, len(value)

    def _slot(self) -> int:
        if self._free:
            return self._free.pop()
        self._slots += 1
        return self._slots - 1

    def _full(self, reason: str) -> Unavailable:
        """Logged too, because Faust retries in silence what fails while it reads a changelog."""
        folder = tempfile.gettempdir()
        said = f"cannot keep state in {folder} ({reason}): make room, or set TMPDIR"
        log.error("%s", said)
        return Unavailable(said)

    def __delitem__(self, key: bytes) -> None:
        self._free.append(self._places.pop(key)[0])

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
