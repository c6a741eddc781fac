"""The miner: one id a statement, the same wherever and however the lines are read."""

import os
import random
import subprocess
import sys
import zlib
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.logs.miner import Founded, Limits, Merge, Mined, Miner
from schemas.errors import Rejected
from tests.agents.logs.stream import NAMES, lines

SMALL = Limits(templates=30, merged=4, signatures=16, characters=600)
USUAL = Limits()
STATES = ["up", "down", "started", "stopped", "failing", "enabled", "open", "closed"]


def mined(said: list[str], limits: Limits = USUAL) -> Mined:
    return Miner(limits).feed(said)


def groups(said: list[str]) -> int:
    miner = Miner()
    return len({miner.current(ident) for ident in miner.feed(said).ids})


# ---- what is one template


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([f"took {n} ms" for n in range(9)], 1),
        ([f"started job {name} of the day" for name in NAMES[:5]], 1),
        ([f"started job {name} of the day" for name in NAMES[:4]], 4),
        ([f"started {name}" for name in NAMES[:7]], 7),
        ([f"started {name}" for name in NAMES[:8]], 1),
        ([f"link is {state} on the port" for state in STATES], len(STATES)),
        (["invalid user ann from 10.0.0.1", "invalid user bob from 10.0.0.1"], 1),
        (["waiting for 5 to be ready", "waiting for ann to be ready"], 1),
        (["waiting for 5 to be ready", "waiting for failure to be ready"], 2),
        (["shown at 7 in the list", "shown at LOCAL(7) in the list"], 1),
        ([f"moved {a} to {b} in the ring" for a, b in zip(NAMES[:9], NAMES[9:18], strict=True)], 1),
        ([f"{name} took the lock of it" for name in NAMES[:8]], 1),
        ([f"{name} took the lock of it" for name in NAMES[:7]], 7),
    ],
)
def test_lines_are_one_template_when_what_differs_is_a_value(
    said: list[str], expected: int
) -> None:
    assert groups(said) == expected
    assert groups(said[::-1]) == expected


def test_a_flood_of_look_alikes_becomes_one_template() -> None:
    """Words in several places at once, each line seen once: 64 of them are enough."""
    draw = random.Random(4)
    words = ["".join(draw.choices("abcdefghij", k=5)) for _ in range(3000)]
    said = [f"trace of {draw.choice(words)} {draw.choice(words)} {draw.choice(words)} done" for _ in range(400)]  # fmt: skip
    assert groups(said) < 40


# ---- ids and merges


def test_an_id_is_the_same_in_another_process() -> None:
    """Python's own hashes differ from process to process; ids do not."""
    code = "from agents.logs.miner import Miner; print(Miner().feed(['took 5 ms', 'a [b]']).ids)"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)  # fmt: skip
    assert found.stdout.strip() == str(mined(["took 9 ms", "a [b]"]).ids)


def test_a_merge_tells_which_id_stands_for_which() -> None:
    said = [f"started job {name} of the day" for name in NAMES[:5]]
    miner = Miner()
    before = miner.feed([said[0], *said[:4]])
    after = miner.feed(said)
    keep = before.ids[0]
    assert not before.merges
    assert sorted(after.merges) == sorted(Merge(old, keep) for old in before.ids[2:])
    assert set(after.ids[:4]) == {keep} | set(before.ids[2:])
    assert after.ids[4] == keep
    assert {miner.current(ident) for ident in before.ids + after.ids} == {keep}
    assert not after.founded


def test_no_merge_is_told_of_an_id_that_nobody_has() -> None:
    """The line that makes a template variable is given the id that is there."""
    found = mined(["invalid user ann from it", "invalid user bob from it"])
    assert found.ids[0] == found.ids[1]
    assert found.founded == [Founded(0, found.ids[0], "invalid user ann from it")]
    assert not found.merges


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_every_id_is_founded_before_it_is_used_and_merged_into_a_live_one(seed: int) -> None:
    miner, known = Miner(Limits(templates=30)), set()
    for line in lines(seed, 300):
        found = miner.feed([line])
        known |= {founded.id for founded in found.founded}
        assert set(found.ids) <= known
        assert found.ids[0] in miner
        for old, new in found.merges:
            assert {old, new} <= known
            assert miner.current(old) == miner.current(new)
            assert new in miner


def test_a_template_reads_like_its_lines() -> None:
    miner = Miner()
    (ident,) = miner.feed(["auth failure; uid=0 tty=ssh [10.0.0.1]:22, code (5)"]).ids
    assert miner.template(ident) == "auth failure; uid=<*> tty=ssh [<*>]:<*>, code (<*>)"


def test_an_unknown_template_is_refused() -> None:
    with pytest.raises(Rejected, match="template feed is not known here"):
        Miner().template("feed")


# ---- one stream, many ways to read it


def whole(parts: list[Mined]) -> tuple[list[str], list[tuple[str, str]], list[Merge]]:
    return (
        [ident for part in parts for ident in part.ids],
        [(founded.id, founded.text) for part in parts for founded in part.founded],
        [merge for part in parts for merge in part.merges],
    )


@given(
    seed=st.integers(0, 10_000),
    cuts=st.lists(st.integers(0, 400), max_size=6),
    limits=st.sampled_from([SMALL, USUAL]),
)
@settings(max_examples=60, deadline=None)
def test_batches_dumps_and_loads_change_nothing(seed: int, cuts: list[int], limits: Limits) -> None:
    """Forgetting, merging and full caches included."""
    said = lines(seed, 400)
    expected = Miner(limits)
    at_once = expected.feed(said)
    miner, parts = Miner(limits), list[Mined]()
    edges = [0, *sorted(cuts), len(said)]
    for first, last in pairwise(edges):
        parts.append(miner.feed(said[first:last]))
        miner = Miner.load(miner.dump(), limits)
    assert whole(parts) == whole([at_once])
    assert miner.dump() == expected.dump()


def test_the_small_limits_are_reached() -> None:
    """What the test above is about does happen in it."""
    said = lines(5, 800)
    small = Miner(SMALL).feed(said)
    assert small.ids != Miner().feed(said).ids
    assert small.merges
    assert len({founded.id for founded in small.founded}) < len(small.founded)


# ---- bounds


def test_memory_is_bounded_whatever_comes() -> None:
    """Random words, random shapes, labels, long lines, each line new."""
    draw = random.Random(6)
    limits = Limits(templates=200, merged=100, signatures=50, characters=5_000)
    miner = Miner(limits)
    for _ in range(20):
        word = ["".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(900)]
        miner.feed([f"{word[i]} {word[i + 1]} {word[i + 2]}" for i in range(300)])
        miner.feed([f"job runs with {word[i]}(7) {word[i + 1]}" for i in range(300)])
        miner.feed(["go " + " ".join(draw.sample(word, 30)) for _ in range(50)])
        miner.feed(["".join(draw.choices("()[]{}<>=:;,ab ", k=300)) for _ in range(50)])
        assert len(miner) <= limits.templates
        assert len(miner._merged) <= limits.merged
        assert len(miner._young) <= limits.signatures >= len(miner._old)
        kept = [len(token) for seen in miner._young.values() for token in seen.skeleton.tokens]
        assert sum(kept) <= limits.characters
    assert len(miner.dump()) < 200_000


def test_what_is_seen_lately_is_not_forgotten() -> None:
    miner = Miner(Limits(templates=20))
    (kept,) = miner.feed(["the one that stays"]).ids
    for word in lines(7, 300):
        miner.feed([f"noise: {word}", "the one that stays"])
    assert miner.template(kept) == "the one that stays"


def test_what_was_forgotten_is_founded_again_under_the_same_id() -> None:
    miner = Miner(Limits(templates=10))
    first = miner.feed(["seen once long ago"])
    miner.feed(
        [f"{a} {b} {c}" for a, b, c in zip(STATES * 9, NAMES * 2, NAMES[5:] * 2, strict=False)]
    )
    assert first.ids[0] not in miner
    again = miner.feed(["seen once long ago"])
    assert again.ids == first.ids
    assert [founded.id for founded in again.founded] == first.ids


# ---- states


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no state of a log miner"),
        (b"PNG and more", "no state of a log miner"),
        (b"SNTL\x63rest", "written by version 99"),
        (Miner().dump()[:-3], "is damaged"),
    ],
)
def test_bytes_that_are_no_state_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        Miner.load(data)


def test_no_secret_is_in_a_state() -> None:
    miner = Miner()
    miner.feed(["login with password=correct-horse", '{"token": "battery staple"}'])
    rows = msgspec.msgpack.decode(zlib.decompress(miner.dump()[5:]))
    assert "login" in rows[2]
    assert not {"correct-horse", "battery", "staple"} & set(rows[2])


def test_half_a_surrogate_pair_neither_fails_nor_spoils_the_state() -> None:
    miner = Miner()
    (ident,) = miner.feed(["name \ud800 is broken"]).ids
    assert Miner.load(miner.dump()).template(ident) == "name ? is broken"
