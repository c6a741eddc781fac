"""Columns to frames: one partition each, a service's rows in the order in which they came.

The partition is what Kafka's own clients would choose for the service as key, so that
whoever writes about a service by key, in whatever language, meets the frames there.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.frames import Lines, LineWriter, Samples, local, write_samples
from streams.formats.columns import LineColumns, SampleColumns
from streams.formats.series import SeriesIndex

MASK = 0xFFFFFFFF
M, R, SEED = 0x5BD1E995, 24, 0x9747B28C  # of Kafka's Utils.murmur2


class Frame(NamedTuple):
    """A record's value for a topic of frames."""

    partition: int
    value: bytes
    rows: int


def murmur2(key: bytes) -> int:
    """Kafka's hash of a key, as an unsigned 32-bit number.

    Source: org.apache.kafka.common.utils.Utils.murmur2, after Austin Appleby's MurmurHash2.

    >>> murmur2(b"21"), murmur2(b"foobar")
    (3321034988, 3504634814)
    """
    whole = len(key) & ~3
    h = (SEED ^ len(key)) & MASK
    for i in range(0, whole, 4):
        k = (int.from_bytes(key[i : i + 4], "little") * M) & MASK
        k = ((k ^ (k >> R)) * M) & MASK
        h = ((h * M) & MASK) ^ k
    if rest := key[whole:]:
        h = ((h ^ int.from_bytes(rest, "little")) * M) & MASK
    h = ((h ^ (h >> 13)) * M) & MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=200_000)
def partition_of(service: str, partitions: int) -> int:
    """The partition of a service's frames."""
    return (murmur2(service.encode()) & 0x7FFFFFFF) % partitions


def sample_frames(
    samples: SampleColumns, index: SeriesIndex, partitions: int, most: int
) -> Iterator[Frame]:
    """Frames of samples, `most` rows at most."""
    if not len(samples.code):
        return
    of_service = np.array([partition_of(s, partitions) for s in index.services], np.int32)
    partition = of_service[index.service_codes(samples.code)]
    for number, chosen in _split(partition, most):
        known, code = local(samples.code[chosen], len(index))
        frame = Samples(
            [index.names[i] for i in known.tolist()],
            code,
            samples.at[chosen],
            samples.value[chosen],
        )
        yield Frame(number, write_samples(frame), len(chosen))


def line_frames(lines: LineColumns, partitions: int, most: int) -> Iterator[Frame]:
    """Frames of log lines, `most` rows at most."""
    if not lines.service:
        return
    writer = LineWriter(Lines(*lines))
    of_service = np.array([partition_of(s, partitions) for s in writer.services], np.int32)
    for number, chosen in _split(of_service[writer.service], most):
        yield Frame(number, writer.write(chosen), len(chosen))


def _split(
    partition: npt.NDArray[np.int32], most: int
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Row numbers a frame, ascending, so that rows keep their order."""
    order = np.argsort(partition, kind="stable")
    bounds = np.flatnonzero(np.diff(partition[order])) + 1
    for rows in np.split(order, bounds):
        for part in np.array_split(rows, -(-len(rows) // most)):
            yield int(partition[part[0]]), part
