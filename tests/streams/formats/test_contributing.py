"""The worked example of CONTRIBUTING.md works: a format is one file, one line, one record."""

import re
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

from streams import formats
from streams.formats import FORMATS
from tests.streams.formats import contract
from tests.streams.formats.contract import Golden

TEXT = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text()
FILE, LINE, RECORD = re.findall(
    r"```python\n(.*?)```", TEXT.partition("## A new format")[2].partition("\n## ")[0], re.DOTALL
)


@pytest.fixture
def golden(monkeypatch: pytest.MonkeyPatch) -> Golden:
    """The example's record, its format installed as the page says."""
    module = ModuleType("streams.formats.statsd")
    exec(compile(FILE, "statsd.py", "exec"), module.__dict__)  # noqa: S102 - our own page
    monkeypatch.setitem(sys.modules, module.__name__, module)
    table = eval(f"{{{LINE}}}", vars(formats))  # noqa: S307 - as above
    for name, parser in table.items():
        monkeypatch.setitem(FORMATS, name, parser)
    found = eval(RECORD, {"Golden": Golden})  # noqa: S307 - as above
    assert isinstance(found, Golden)
    return found


def test_the_example_keeps_the_contract(golden: Golden) -> None:
    contract.comes_out_whole(golden)
    contract.tells_lines_apart(golden)
    cut = contract.prefixes(golden.raw)
    result = contract.accounts_for(golden, cut)
    assert len({reject.record for reject in result.rejects}) == golden.cuts
    contract.accounts_for(golden, contract.flips(golden.raw))
    stream = contract.mutations([golden.raw], [golden.raw], seed=1)
    contract.accounts_for(golden, list(islice(stream, 300)))


def test_a_format_without_a_golden_record_would_be_told(golden: Golden) -> None:
    assert contract.undeclared() == {golden.format}
