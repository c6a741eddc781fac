"""Values in a file without a name: as a dictionary would hold them, and no memory for them."""

import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Rejected, Unavailable
from streams import scratch
from streams.scratch import Scratch

STEPS = st.lists(st.tuples(st.integers(0, 5), st.none() | st.binary(max_size=40)), max_size=40)


@given(STEPS)
def test_it_holds_what_a_dictionary_would(steps: Sequence[tuple[int, bytes | None]]) -> None:
    held, plain = Scratch(), dict[bytes, bytes]()
    for number, value in steps:
        key = str(number).encode()
        if value is None:
            assert held.pop(key, None) == plain.pop(key, None)
        else:
            held[key] = plain[key] = value
        assert dict(held) == plain
        assert len(held) == len(plain)


def test_a_value_that_no_message_could_hold_is_refused() -> None:
    held = Scratch()
    with pytest.raises(Rejected, match="0/7: a state of"):
        held[b"0/7"] = bytes(scratch.STRIDE + 1)
    assert not held


def test_a_full_disk_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the slot that it failed for is not given out twice."""
    held = Scratch()
    held[b"a"] = b"1"
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", lambda *_: 0)
        with pytest.raises(Unavailable, match="make room, or set TMPDIR"):
            held[b"b"] = b"2"
    held[b"c"], held[b"d"] = b"3", b"4"
    assert dict(held) == {b"a": b"1", b"c": b"3", b"d": b"4"}
