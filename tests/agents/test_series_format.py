"""Older forms of a block are read, damage and the future are refused in words."""

import msgspec
import numpy as np
import pytest

from agents import series_format
from agents.counters import MEMORY
from agents.scorer.block import BlockState
from agents.series_block import EVIDENCE, Block
from agents.series_format import VERSION, Fields, Saved, packed, unpacked, upgraded
from schemas.errors import Rejected

NAMES = ['requests_total{service="s"}', 'depth{service="s"}']


def first_version() -> dict[str, object]:
    """A block of two series as the first version wrote it."""
    state = BlockState()
    for value, _ in enumerate(NAMES):
        state.floats[state.claim(), 0] = 7.0 + value
    ring_at = np.zeros((2, EVIDENCE))
    ring_at[1, 0] = 1000.0
    return {
        "version": 1,
        "included": 41,
        "names": NAMES,
        "open": {},
        "state": state.to_bytes(),
        "memory": np.arange(2.0 * MEMORY).tobytes(),
        "ring_at": ring_at.tobytes(),
        "ring_value": np.zeros((2, EVIDENCE), np.float32).tobytes(),
        "written": np.array([0, 1]).tobytes(),
    }


def test_a_block_of_the_first_version_is_read_and_written_as_of_today() -> None:
    block = Block.load(msgspec.msgpack.encode(first_version()))
    assert (block.names, block.included, block.saved) == (NAMES, 41, 41)
    assert block.state.floats[:2, 0].tolist() == [7.0, 8.0]
    assert block.counter[:2].tolist() == [True, False]
    assert block.memory[1].tolist() == [3.0, 4.0, 5.0]
    assert block.written[:2].tolist() == [0, 1]
    assert block.heard[:2].tolist() == [1000.0, 1000.0]
    raw = block.dump()
    assert msgspec.msgpack.decode(raw)["version"] == VERSION
    assert Block.load(raw).dump() == raw


def test_every_version_leads_to_the_next() -> None:
    assert sorted(series_format.UPGRADES) == list(range(1, VERSION))


def test_upgrades_are_made_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the next change takes: a number, and a function of the fields before."""

    def next_one(fields: Fields) -> Fields:
        return fields | {"names": [name.upper() for name in fields["names"]]}

    raw = Block.load(msgspec.msgpack.encode(first_version())).dump()
    monkeypatch.setattr(series_format, "VERSION", VERSION + 1)
    monkeypatch.setitem(series_format.UPGRADES, VERSION, next_one)
    for old in (raw, msgspec.msgpack.encode(first_version())):
        assert unpacked(old).names == [name.upper() for name in NAMES]


def test_a_version_of_the_future_and_one_of_no_way_are_refused_by_number() -> None:
    with pytest.raises(Rejected, match=f"of version {VERSION + 1} and this program reads up to"):
        upgraded({}, VERSION + 1)
    with pytest.raises(Rejected, match="of version 0, which this program has no way from"):
        upgraded({}, 0)


@pytest.mark.parametrize("place", range(0, 400, 7))
def test_a_flipped_bit_is_damage_and_never_another_state(place: int) -> None:
    raw = Block.load(msgspec.msgpack.encode(first_version())).dump()
    place %= len(raw)
    bad = raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :]
    try:
        assert unpacked(bad) == unpacked(raw)  # an envelope's field that nobody reads
    except Rejected:
        return


@pytest.mark.parametrize("bad", [b"", b"junk", b"\xc0", msgspec.msgpack.encode({"version": 1})])
def test_what_is_no_block_is_refused(bad: bytes) -> None:
    with pytest.raises(Rejected, match="damaged"):
        unpacked(bad)


def test_columns_that_do_not_fit_are_damage() -> None:
    saved = unpacked(msgspec.msgpack.encode(first_version()))
    assert isinstance(saved, Saved)
    saved.columns["memory"] = b"12345678"
    with pytest.raises(Rejected, match="do not fit"):
        Block.load(packed(saved))
    del saved.columns["memory"]
    with pytest.raises(Rejected, match="do not fit"):
        Block.load(packed(saved))
