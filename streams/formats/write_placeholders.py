"""Remote write's requests of one metric, as Telegraf writes them, without what it only filled in.

A request that may have such zeros is told by its bytes, for it comes between millions of others:
few series, and a bucket's among them.
"""

from google.protobuf.message import DecodeError

from streams.formats.placeholders import FEWEST, INFINITE, MOST, Given, placeholders
from streams.formats.proto.remote_write_v1_pb2 import Label, TimeSeries

SERIES, LONG = 0x0A, 0x80  # a series' tag; a byte of a length that is not its last
BUCKET, BOUND = b"_bucket", INFINITE.encode()


def without_placeholders(message: bytes) -> tuple[bytes, int]:
    """A request of version 1, and how many samples were taken out of it."""
    if BUCKET not in message or BOUND not in message:
        return message, 0
    fields = _fields(message)
    if not FEWEST <= len(fields) <= MOST:
        return message, 0
    try:
        gone = placeholders([_given(field) for field in fields])
    except (ValueError, DecodeError):  # the format's own reader says what is wrong with it
        return message, 0
    if not gone:
        return message, 0
    return b"".join(f for i, f in enumerate(fields) if i not in gone), len(gone)


def _fields(message: bytes) -> list[bytes]:
    """The series of a request as they stand in it; none for one with more, or anything else."""
    found: list[bytes] = []
    start = 0
    while start < len(message):
        size, shift, place = 0, 0, start + 1
        while place < len(message) and message[place] & LONG:
            size |= (message[place] & (LONG - 1)) << shift
            shift, place = shift + 7, place + 1
        if message[start] != SERIES or place >= len(message) or len(found) == MOST:
            return []
        end = place + 1 + (size | message[place] << shift)
        if end > len(message):
            return []
        found.append(message[start:end])
        start = end
    return found


def _given(field: bytes) -> Given:
    """The one sample of a series. Raises ValueError when there is another number of them."""
    head = 1
    while field[head] & LONG:
        head += 1
    series = TimeSeries.FromString(field[head + 1 :])
    (sample,) = series.samples
    if series.histograms or series.exemplars:
        raise ValueError("more than a sample")
    labels = {label.name: label.value for label in map(Label.FromString, series.labels)}
    return Given(labels.pop("__name__", ""), labels, sample.timestamp, sample.value)
