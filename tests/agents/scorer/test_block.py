"""Blocks: rows that come and go, bytes that come back."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.scorer.block import BlockState
from agents.scorer.state import BYTES
from schemas.errors import Rejected


def test_a_row_that_was_given_back_is_taken_again_and_empty() -> None:
    block = BlockState(3)
    rows = [block.claim() for _ in range(3)]
    block.memory[rows[1]] = 7
    block.release(rows[1])
    assert block.claim() == rows[1]
    assert not block.memory[rows[1]].any()


def test_a_full_block_refuses_another_series() -> None:
    block = BlockState(1)
    block.claim()
    with pytest.raises(Rejected, match="a block of 1 series is full"):
        block.claim()


@given(
    taken=st.sets(st.integers(0, 7)),
    numbers=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=50),
)
@settings(max_examples=60, deadline=None)
def test_bytes_come_back_bit_by_bit(taken: set[int], numbers: list[float]) -> None:
    """NaN's payload and the sign of zero included."""
    block = BlockState(8)
    for _ in range(8):
        block.claim()
    for row in range(8):
        block.memory[row] = np.resize(np.array(numbers).view(np.uint8), BYTES)
    for row in set(range(8)) - taken:
        block.release(row)
    copy = BlockState.from_bytes(block.to_bytes())
    assert copy.memory.tobytes() == block.memory.tobytes()
    assert copy.taken.tolist() == block.taken.tolist()
    assert len(copy) == len(taken)


def test_a_copy_goes_its_own_way() -> None:
    block = BlockState(2)
    row = block.claim()
    block.floats[row] = 1.0
    copy = block.copy()
    copy.floats[row] = 2.0
    copy.claim()
    assert (block.floats[row] == 1.0).all()
    assert (len(block), len(copy)) == (1, 2)


def test_only_taken_rows_are_written() -> None:
    block = BlockState(256)
    block.claim()
    assert len(block.to_bytes()) < BYTES + 50


def test_another_version_is_refused_with_what_to_do() -> None:
    data = bytearray(BlockState(1).to_bytes())
    data[4:6] = struct.pack("<H", 99)
    with pytest.raises(Rejected, match=r"version 99 .* delete it"):
        BlockState.from_bytes(bytes(data))


@pytest.mark.parametrize("at", [20, 500, -1])
def test_a_flipped_bit_is_found(at: int) -> None:
    block = BlockState(2)
    block.floats[block.claim()] = 1.0
    data = bytearray(block.to_bytes())
    data[at] ^= 1
    with pytest.raises(Rejected, match="damaged"):
        BlockState.from_bytes(bytes(data))


@pytest.mark.parametrize("cut", [0, 10, 100, -1])
def test_bytes_that_end_early_are_refused(cut: int) -> None:
    block = BlockState(2)
    block.claim()
    with pytest.raises(Rejected):
        BlockState.from_bytes(block.to_bytes()[:cut])
