"""What is in a compressed record, if it is one: looked into, never written."""

import zlib

import cramjam

GZIP, ZSTD, LZ4, FRAMED = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\xff\x06\x00\x00"
WITH_HEADER = 31  # zlib's number for gzip


class NotPacked(Exception):  # noqa: N818 - an answer, not a failure
    """The bytes are as they are."""


def unpacked(value: bytes, most: int, *, plain: bool) -> bytes:
    """The content, of at most `most` bytes; `plain` says that it may be no snappy block at all.

    Raises NotPacked for bytes that are not compressed, ValueError for what is damaged, too
    large, or compressed in a way that intake does not read.
    """
    if value.startswith(GZIP):
        return _gzip(value, most)
    if value.startswith((ZSTD, LZ4, FRAMED)):
        raise ValueError("compressed in a way that is not read")
    try:
        claimed = cramjam.snappy.decompress_raw_len(value)
        if claimed <= most:
            return bytes(cramjam.snappy.decompress_raw(value))
        error: Exception = ValueError("too large")
    except cramjam.DecompressionError as damage:
        error = damage
    if plain:
        raise NotPacked from error
    raise ValueError("damaged, or too large") from error


def _gzip(value: bytes, most: int) -> bytes:
    try:
        stream = zlib.decompressobj(WITH_HEADER)
        content = stream.decompress(value, most)
    except zlib.error as error:
        raise ValueError("damaged") from error
    if not stream.eof:
        raise ValueError("damaged or too large")
    return content
