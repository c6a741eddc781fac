"""Bodies as they came and unpacked: cut off anywhere, garbled anywhere, larger than allowed."""

import gzip
import random
import zlib
from contextlib import suppress

import cramjam
import pytest

from streams.bridge.content import UNPACK, unpacked
from streams.bridge.refusal import RefusedRequest

BODY = bytes(random.Random(5).choices(b"abcdef", k=300))
PACKED = {
    "gzip": gzip.compress(BODY, mtime=0),
    "deflate": zlib.compress(BODY),
    "zstd": bytes(cramjam.zstd.compress(BODY)),
}


@pytest.mark.parametrize("encoding", PACKED)
def test_what_fits_is_unpacked_and_one_byte_more_is_refused(encoding: str) -> None:
    assert unpacked(PACKED[encoding], encoding, len(BODY)) == BODY
    with pytest.raises(RefusedRequest, match="more than the 299 bytes") as refused:
        unpacked(PACKED[encoding], encoding, len(BODY) - 1)
    assert refused.value.status == 413


@pytest.mark.parametrize("encoding", PACKED)
def test_what_is_cut_off_is_refused_wherever_that_is(encoding: str) -> None:
    packed = PACKED[encoding]
    for size in range(1, len(packed)):
        with pytest.raises(RefusedRequest) as refused:
            unpacked(packed[:size], encoding, 10_000)
        assert refused.value.status == 400


@pytest.mark.parametrize("encoding", PACKED)
def test_what_is_garbled_is_refused_or_another_body_but_never_a_crash(encoding: str) -> None:
    chance = random.Random(7)
    for _ in range(2000):
        garbled = bytearray(PACKED[encoding])
        garbled[chance.randrange(len(garbled))] ^= 1 << chance.randrange(8)
        with suppress(RefusedRequest):
            assert len(unpacked(bytes(garbled), encoding, 1000)) <= 1000


def test_many_small_gzip_members_cost_no_more_than_a_few() -> None:
    """50,000 of them in a megabyte would be copied 50,000 times."""
    member = gzip.compress(b"", mtime=0)
    with pytest.raises(RefusedRequest, match="over 64 members"):
        unpacked(member * 50_000, "gzip", 1000)
    assert unpacked(member * 64, "gzip", 1000) == b""


def test_every_encoding_that_is_offered_is_tried_here_or_is_another_name() -> None:
    assert set(UNPACK) - set(PACKED) == {"identity", "x-gzip"}
