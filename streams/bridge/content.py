"""A request's body: received within limits of size and time, then unpacked within them too.

Every size is checked before memory is taken for it: a megabyte of zeros packs to a few
hundred bytes, and a thousand of them to little more.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable

import cramjam
from starlette.requests import ClientDisconnect

from streams.bridge.refusal import AWAY, RefusedRequest, later

Take = Callable[[int], None]
GZIP, ZLIB, BARE = 31, 15, -15  # zlib's names for the wrappings of one algorithm: window bits
MEMBERS = 64  # of one gzip body: each costs a copy of what follows it
LOW_NIBBLE, DEFLATE = 0x0F, 8  # of a zlib header's first byte


async def received(
    stream: AsyncIterator[bytes], claimed: str, *, limit: int, within_s: float, take: Take
) -> bytes:
    """The whole body, of at most `limit` bytes; `claimed` is what Content-Length says.

    Each part is shown to `take` before it is kept. Raises RefusedRequest with 413 for more,
    with 503 for one that does not arrive `within_s`.
    """
    if claimed.isdecimal() and int(claimed) > limit:
        raise too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for part in stream:
                if len(body) + len(part) > limit:
                    raise too_large(limit)
                take(len(part))
                body += part
    except TimeoutError as error:
        said = f"the body did not arrive within {within_s:g} s"
        raise later(AWAY, "too-slow", said) from error
    except ClientDisconnect as error:
        raise RefusedRequest(400, "cut-off", "the sender is gone") from error
    return bytes(body)


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """What a body holds that came in a Content-Encoding of `UNPACK`.

    Raises RefusedRequest with 413 for more than `limit` bytes, with 400 for what is not so packed.
    """
    try:
        return UNPACK[encoding](body, limit)
    except (zlib.error, EOFError, cramjam.DecompressionError) as error:
        raise RefusedRequest(400, "bad-encoding", f"not {encoding}: {error}") from error


def too_large(limit: int) -> RefusedRequest:
    """The refusal of a body of over `limit` bytes."""
    said = f"more than the {limit} bytes that are allowed (intake.limits.record_bytes)"
    return RefusedRequest(413, "too-large", said)


def _as_it_is(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise too_large(limit)
    return body


def _gzip(body: bytes, limit: int) -> bytes:
    result, rest = b"", body
    for _ in range(MEMBERS):
        if not rest:
            break
        part, rest = _inflated(rest, limit - len(result), GZIP, limit)
        result += part
    if rest:
        raise EOFError(f"over {MEMBERS} members")
    return result


def _deflate(body: bytes, limit: int) -> bytes:
    wrapped = body[:1] and body[0] & LOW_NIBBLE == DEFLATE and not _head(body) % 31
    result, rest = _inflated(body, limit, ZLIB if wrapped else BARE, limit)
    if rest:
        raise EOFError(f"{len(rest)} bytes after its end")
    return result


def _inflated(body: bytes, most: int, wrapping: int, limit: int) -> tuple[bytes, bytes]:
    """A stream's content of at most `most` bytes, and what comes after it."""
    stream = zlib.decompressobj(wrapping)
    result = stream.decompress(body, most + 1)
    if len(result) > most:
        raise too_large(limit)
    if not stream.eof:
        raise EOFError("cut off")
    return result, stream.unused_data


def _head(body: bytes) -> int:
    return int.from_bytes(body[:2], "big")


def _zstd(body: bytes, limit: int) -> bytes:
    result = bytearray(limit)
    try:
        size = cramjam.zstd.decompress_into(body, result)
    except cramjam.DecompressionError as error:
        if "whole buffer" in str(error):  # its only word for: there is more
            raise too_large(limit) from error
        raise
    return bytes(result[:size])


UNPACK: dict[str, Callable[[bytes, int], bytes]] = {
    "identity": _as_it_is,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}
ENCODINGS = tuple(UNPACK)
