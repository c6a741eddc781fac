"""The rate card: ranges, defaults, and clear refusals."""

from pathlib import Path

import pytest

from runbooks.rates import Range, load_rates
from schemas.errors import Rejected

SHIPPED = Path(__file__).parents[2] / "runbooks" / "rates.yaml"
GOOD = """
currency: USD
default:
  cost_per_bad_event: {low: 1, mid: 2, high: 3}
  manual_repair_minutes: {low: 10, mid: 20, high: 30}
services:
  web:
    cost_per_bad_event: {low: 4, mid: 5, high: 6}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rates.yaml"


def test_the_shipped_card_is_one() -> None:
    assert load_rates(SHIPPED).currency == "EUR"


def test_what_a_service_leaves_out_is_the_default(path: Path) -> None:
    path.write_text(GOOD)
    card = load_rates(path)
    assert card.rate("web").cost_per_bad_event == Range(low=4, mid=5, high=6)
    assert card.rate("web").manual_repair_minutes == Range(low=10, mid=20, high=30)
    assert card.rate("unknown") == card.default


def test_the_version_is_of_the_figures_not_of_the_text(path: Path) -> None:
    path.write_text(GOOD)
    card = load_rates(path)
    path.write_text("# a comment\n" + GOOD)
    assert load_rates(path).version == card.version
    path.write_text(GOOD.replace("mid: 5", "mid: 5.5"))
    assert load_rates(path).version != card.version


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("USD", "dollars", "currency: String should match"),
        ("mid: 2", "mid: 4", "default.cost_per_bad_event: .*must not fall"),
        ("mid: 2", "mid: -2", "default.cost_per_bad_event.mid"),
        ("mid: 2", "mid: .inf", "default.cost_per_bad_event.mid: .*finite"),
        ("services:", "service:", "service: Extra inputs"),
        ("currency: USD", "", "currency: Field required"),
        (GOOD, "[", "no rate card"),
        (GOOD, "- 1", "top level: "),
    ],
)
def test_a_wrong_card_is_refused_with_file_and_field(
    path: Path, old: str, new: str, message: str
) -> None:
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(Rejected, match=message) as caught:
        load_rates(path)
    assert str(path) in str(caught.value)


def test_a_missing_card_is_refused(path: Path) -> None:
    with pytest.raises(Rejected, match="no rate card"):
        load_rates(path)
