"""The index of series: bounded, forgetful, and of one mind about spellings."""

import numpy as np
import pytest

from streams.formats.limits import Limits, Refused
from streams.formats.series import Recent, SeriesIndex

HOUR = 3_600_000


def index(**limits: float) -> SeriesIndex:
    return SeriesIndex(Limits.model_validate(limits))


def test_two_spellings_share_a_number() -> None:
    series = index()
    first = series.learn("a", "m", {"x": "1", "service": "s"}, "", 0)
    second = series.learn("b", "m", {"service": "s", "x": "1", "empty": ""}, "", 0)
    assert first == second
    assert series.codes == {"a": first, "b": first}


def test_of_labels_that_become_one_both_are_named_and_one_may_be_left_out() -> None:
    """Telegraf's tags `a-b` and `a_b` are one label in Prometheus' notation."""
    labels = {"service": "s", "a_b": "", "a-b": "1", "a/b": "2"}
    with pytest.raises(Refused, match=r"labels 'a-b' and 'a/b' are one .*, 'a_b'") as refusal:
        index().learn("a", "m", labels, "", 0)
    assert (refusal.value.rule, refusal.value.service) == ("bad-label", "s")
    series = SeriesIndex(Limits(), show=lambda name, value: "" if name == "a-b" else value)
    series.learn("a", "m", labels, "", 0)
    assert series.names == ['m{a_b="2",service="s"}']


def test_a_service_cannot_take_more_than_its_share() -> None:
    series = index(series_per_service=2)
    for number in "12":
        series.learn(number, "m", {"n": number}, "greedy", 0)
    with pytest.raises(Refused, match="greedy has 2 series already") as refusal:
        series.learn("3", "m", {"n": "3"}, "greedy", 0)
    assert (refusal.value.rule, refusal.value.service) == ("too-many-series-of-service", "greedy")
    series.learn("4", "m", {"n": "3"}, "modest", 0)
    assert series.services == ["greedy", "modest"]


def test_all_services_together_cannot_take_more_than_there_is() -> None:
    series = index(series=2)
    series.learn(1, "m", {}, "a", 0)
    series.learn(2, "m", {}, "b", 0)
    with pytest.raises(Refused, match="2 series already"):
        series.learn(3, "m", {}, "c", 0)


def test_idle_series_make_room() -> None:
    """Pods come and go; a service's share is what it has now, not what it ever had."""
    series = index(series_per_service=2)
    for number in (0, 1):
        series.learn(number, f"m{number}", {}, "s", 0)
    assert not series.sweep(0)
    series.touch(np.array([1]), HOUR)
    assert series.sweep(HOUR + 1)
    assert series.names == ['m1{service="s"}']
    assert series.services[series.service_codes(np.array([0]))[0]] == "s"
    assert not series.codes
    series.learn(2, "m2", {}, "s", HOUR + 1)
    assert len(series) == 2


def test_numbers_reach_beyond_the_first_block() -> None:
    series = index()
    for number in range(3000):
        series.learn(number, f"m{number}", {}, f"s{number % 7}", number)
    codes = np.arange(3000)
    services = [series.services[i] for i in series.service_codes(codes)]
    assert services == [f"s{number % 7}" for number in range(3000)]


@pytest.mark.parametrize(("length", "held"), [(1, 100), (98, 10), (2000, 1)])
def test_what_is_remembered_of_lines_is_bounded_in_number_and_in_size(
    length: int, held: int
) -> None:
    """One that is larger than all may be is remembered alone."""
    recent = Recent(100, 1000)
    most = 0
    for number in range(500):
        recent[number] = ("ab", "x" * length)
        assert recent[number] == ("ab", "x" * length)
        most = max(most, len(recent))
    assert most == held


def test_long_labels_cannot_fill_the_memory_in_place_of_many_series() -> None:
    """Statements, URLs: each within what a label may have, and a new one every time."""
    series = index(series_mib=1)

    def learn(statement: str, now: int = 0) -> int:
        return series.learn(statement, "m", {"statement": statement}, "db", now)

    def fill() -> None:
        for number in range(1000):
            learn(f"{number} {'x' * 4000}")

    with pytest.raises(Refused, match=r"1 MiB of labels already \(series_mib\)") as refused:
        fill()
    assert (refused.value.rule, refused.value.service) == ("too-many-series-of-tenant", "db")
    assert 250 < len(series) < 270
    assert series.sweep(0) is False
    assert series.sweep(2 * HOUR) is True
    assert learn("one more", 2 * HOUR) == 0


def test_one_series_spelled_ever_longer_is_one_series_and_no_more_memory() -> None:
    series = index(series_mib=1)
    for length in range(100):
        spelled = b" " * 100_000 + b"%d" % length
        assert series.learn(("json", spelled), "m", {"a": "b"}, "s", 0) == 0
    assert 40 <= len(series.codes) < 43
