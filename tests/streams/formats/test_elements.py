"""What says how many elements are in a record says it of every format, and sees one that is lost."""

from collections import Counter

import numpy as np
import pytest

from streams.formats.columns import Fault, LineColumns, Parsed, Reject, SampleColumns
from tests.streams.formats.contract import Golden
from tests.streams.formats.elements import Unit, settles
from tests.streams.formats.elements_of import READERS, told
from tests.streams.formats.goldens import GOLDENS
from tests.streams.formats.several import CUMULATIVE, SEVERAL

SEEDS = [
    (name, raw) for seeds in (SEVERAL, CUMULATIVE) for name, raws in seeds.items() for raw in raws
]
seeds = pytest.mark.parametrize(("name", "raw"), SEEDS, ids=[name for name, _ in SEEDS])
THREE = [Unit(), Unit(4, left=1), Unit()]


def _parsed(taken: int, skipped: int = 0, *refused: int) -> Parsed:
    """So many samples, omissions, and the elements that were refused, by their places."""
    samples = SampleColumns(np.zeros(taken, np.int64), np.zeros(taken, np.int64), np.zeros(taken))
    lines = LineColumns([], np.zeros(0, np.int64), [], [], [])
    rejects = [Reject(0, "bad-line", "", len(refused))] if refused else []
    faults = [Fault(0, place, "bad-line", "") for place in refused]
    return Parsed(samples, lines, rejects, Counter({"nan": skipped}), faults)


def test_every_format_has_a_reader_of_its_own() -> None:
    assert {golden.format.partition("@")[0] for golden in GOLDENS} <= READERS.keys()


@seeds
def test_a_record_with_several_elements_comes_out_whole(name: str, raw: bytes) -> None:
    units = told(name, raw)
    assert units is not None
    assert sum(unit.elements for unit in units) > 1
    result = _golden(name).read(raw)
    assert settles(units, result) == ""
    assert not result.rejects


@seeds
def test_a_sample_or_line_that_is_lost_is_seen(name: str, raw: bytes) -> None:
    """Also where a reader that lost it would agree with itself."""
    units, result = told(name, raw), _golden(name).read(raw)
    assert units is not None
    code, times, value = result.samples
    samples = SampleColumns(code[1:], times[1:], value[1:])
    service, at, severity, text, labels = result.lines
    lines = LineColumns(service[1:], at[1:], severity[1:], text[1:], labels[1:])
    assert settles(units, result._replace(samples=samples, lines=lines))


@pytest.mark.parametrize(
    ("result", "right"),
    [
        (_parsed(6), True),
        (_parsed(4, 2), True),
        (_parsed(5), False),
        (_parsed(7), False),
        (_parsed(0, 0, -1), True),  # refused whole
        (_parsed(0, 1, -1), True),  # and before that, one was left out
        (_parsed(1, 0, -1), False),  # refused whole, and read all the same
        (_parsed(2, 0, 1), True),  # the second unit is a letter
        (_parsed(2, 1, 1), True),
        (_parsed(1, 0, 1), False),  # so it is, and another unit is lost
        (_parsed(4, 0, 0), False),  # one is refused, one is lost
        (_parsed(5, 0, 0), True),
        (_parsed(0, 0, 0, 1, 2), True),
        (_parsed(0, 0, 0, 2), False),
    ],
)
def test_each_element_has_a_fate_or_its_unit_is_a_letter(result: Parsed, right: bool) -> None:  # noqa: FBT001 - a row
    assert (settles(THREE, result) == "") == right


def _golden(name: str) -> Golden:
    """A golden record of the format, if there is one whose topic names a service."""
    goldens = [golden for golden in GOLDENS if golden.format == name]
    return next((golden for golden in goldens if golden.service), goldens[0])
