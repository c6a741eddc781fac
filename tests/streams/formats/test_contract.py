"""One suite over every format: what is whole comes out whole, what is not is accounted for."""

from collections.abc import Callable
from itertools import islice

import pytest

from streams.formats.limits import MIB
from tests.streams.formats import contract
from tests.streams.formats.contract import Golden
from tests.streams.formats.edits import EDITORS
from tests.streams.formats.elements_of import told
from tests.streams.formats.goldens import GOLDENS
from tests.streams.formats.several import CUMULATIVE, SEVERAL

FIRST = {golden.format: golden for golden in reversed(GOLDENS)}
TIMELESS = {
    "bad-time",
    "too-late",
    "in-the-future",
    "bad-field",
    "bad-value",
    "bad-json",
    "bad-avro",
}
SOME, MANY = 300, 10_000

NUMBERED = {f"{golden.format}-{i}": golden for i, golden in enumerate(GOLDENS)}


def goldens_with(trait: str) -> pytest.MarkDecorator:
    """The golden records that say something of it."""
    chosen = {name: golden for name, golden in NUMBERED.items() if getattr(golden, trait)}
    return pytest.mark.parametrize("golden", chosen.values(), ids=chosen)


goldens = goldens_with("raw")
formats = pytest.mark.parametrize("golden", FIRST.values(), ids=FIRST)


def test_every_format_has_a_golden_record() -> None:
    assert contract.undeclared() == set()


@goldens
def test_a_golden_record_comes_out_whole(golden: Golden) -> None:
    contract.comes_out_whole(golden)


@goldens
def test_a_record_cut_at_any_byte_is_accounted_for(golden: Golden) -> None:
    cut = contract.prefixes(golden.raw)
    result = contract.accounts_for(golden, cut)
    whole = [reject.record for reject in result.rejects]
    assert len(set(whole)) == (len(cut) if golden.cuts < 0 else golden.cuts)


@goldens
def test_a_record_with_a_bit_turned_is_accounted_for(golden: Golden) -> None:
    """About a hundred and fifty of its bits, spread over all of it."""
    flips = contract.flips(golden.raw)
    step = len(flips) // 150 | 1  # odd, so that it meets each of a byte's bits
    contract.accounts_for(golden, flips[::step])


@pytest.mark.faults
@goldens
def test_a_record_with_any_bit_turned_is_accounted_for(golden: Golden) -> None:
    contract.accounts_for(golden, contract.flips(golden.raw))


@goldens
def test_damage_harms_neither_neighbour(golden: Golden) -> None:
    for bad in (*contract.prefixes(golden.raw)[:: max(1, len(golden.raw) // 8)], b"\xff\x00" * 9):
        contract.survives_between(golden, bad)


@goldens_with("stranger")
def test_one_bad_line_among_good_ones_costs_itself(golden: Golden) -> None:
    contract.tells_lines_apart(golden)


@formats
def test_an_oversize_record_is_one_dead_letter(golden: Golden) -> None:
    contract.refuses_whole(golden, golden.raw[:1] * (2 * MIB), {"too-large"})


@formats
def test_an_empty_record_is_said_to_be_empty(golden: Golden) -> None:
    result = golden.read(b"")
    assert result.elements == 1
    assert result.skips["empty"] + sum(r.rule == "empty" for r in result.rejects) == 1


@goldens
def test_bytes_that_are_no_text_are_accounted_for(golden: Golden) -> None:
    for at in range(0, len(golden.raw), len(golden.raw) // 80 + 1):
        bad = golden.raw[:at] + b"\xff" + golden.raw[at + 1 :]
        assert golden.read(bad).elements >= 1


@goldens_with("absurd")
def test_an_absurd_time_is_one_dead_letter(golden: Golden) -> None:
    for bad in golden.absurd:
        contract.refuses_whole(golden, bad, TIMELESS, late_s=3600, future_s=300)


def test_every_format_that_reads_times_has_absurd_ones() -> None:
    """That it reads them is seen where a time is not that of the record's arrival."""
    timed = {g.format for g in GOLDENS for _, at, *_ in (*g.samples, *g.lines) if at != g.arrived}
    assert {name.partition("@")[0] for name in timed} <= {g.format for g in GOLDENS if g.absurd}


@goldens_with("deep")
def test_what_is_nested_ten_thousand_deep_is_one_dead_letter(golden: Golden) -> None:
    contract.refuses_whole(golden, golden.deep, {"too-deep", "bad-json", "bad-protobuf"})


@formats
def test_other_formats_records_are_accounted_for(golden: Golden) -> None:
    others = [other.raw for other in GOLDENS if other.format != golden.format]
    contract.accounts_for(golden, others)


def _fuzz(name: str, count: int) -> None:
    """Mutations of a format's records; how many elements are in a tenth of them is known."""
    goldens = [golden.raw for golden in GOLDENS if golden.format == name]
    _mutated(name, goldens + SEVERAL.get(name, []), count, contract.accounts_for)


def _mutated(
    name: str, seeds: list[bytes], count: int, check: Callable[[Golden, list[bytes]], object]
) -> None:
    goldens = [golden for golden in GOLDENS if golden.format == name]
    golden = next((golden for golden in goldens if golden.service), goldens[0])
    others = [golden.raw for golden in GOLDENS]
    stream = contract.mutations(seeds, others, seed=len(name), edit=EDITORS.get(name))
    left, known = count, 0
    while batch := list(islice(stream, min(100, left))):
        check(golden, batch)
        left -= len(batch)
        known += sum(told(name, raw) is not None for raw in batch)
    assert known > count / 10


@pytest.mark.parametrize("name", FIRST)
def test_three_hundred_mutations_are_accounted_for(name: str) -> None:
    """In is out: all elements of a record, or one letter for it, or for each unit refused."""
    _fuzz(name, SOME)


@pytest.mark.faults
@pytest.mark.parametrize("name", FIRST)
def test_ten_thousand_mutations_are_accounted_for(name: str) -> None:
    _fuzz(name, MANY)


@pytest.mark.parametrize("name", CUMULATIVE)
def test_three_hundred_mutations_of_histograms_are_accounted_for(name: str) -> None:
    _mutated(name, CUMULATIVE[name], SOME, contract.accounts_for_each)


@pytest.mark.faults
@pytest.mark.parametrize("name", CUMULATIVE)
def test_ten_thousand_mutations_of_histograms_are_accounted_for(name: str) -> None:
    _mutated(name, CUMULATIVE[name], MANY, contract.accounts_for_each)
