"""The account of what intake keeps out: nothing told twice, nothing lost, and bounded."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from schemas.intake import Kind
from streams.formats.columns import LineColumns, Parsed, Reject, nothing
from streams.intake.account import ENTRIES, EVERY_S, Account
from streams.intake.advice import ADVICE
from streams.intake.reports import summed

T0 = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
RAW = ("raw", "default")
SOURCES = Path(__file__).parents[3] / "streams" / "formats"


def parsed(**skips: int) -> Parsed:
    lines = LineColumns([], np.zeros(0, np.int64), [], [], [])
    return Parsed(nothing(), lines, [], Counter(skips), skipped={("nan", "a"): 1})


def record(offset: int) -> Any:
    return SimpleNamespace(partition=lambda: 1, offset=lambda: offset)


def account() -> Account:
    return Account("w", T0)


def test_an_aborted_transaction_takes_along_what_it_would_have_told() -> None:
    book = account()
    book.read(RAW, 10, 1000, parsed(nan=3))
    assert book.report(T0, ()) is not None
    book.ended(committed=False)
    book.read(RAW, 10, 1000, parsed(nan=3))
    report = book.report(T0, ())
    assert report is not None
    book.ended(committed=True)
    found = summed([report])
    assert {k.service: s.elements for k, s in found.omissions.items()} == {"a": 1, "": 2}
    assert found.flows[RAW].records == 10
    assert book.report(T0, ()) is None


def test_what_was_merely_read_is_told_every_few_seconds() -> None:
    book, reports = account(), []
    for second in range(30):
        book.read(RAW, 1, 100, Parsed(nothing(), parsed().lines, [], Counter()))
        report = book.report(T0 + timedelta(seconds=second), ())
        if report is not None:
            reports.append(report)
        book.ended(committed=True)
    assert len(reports) == 29 // EVERY_S
    assert summed(reports).flows[RAW].records == 26  # the last ones are not told yet


def test_a_record_whose_elements_are_of_several_services_is_one_letter() -> None:
    book = account()
    book.refused(RAW, Reject(0, "too-late", "old", 5, (("a", 2), ("b", 2))), record(7))
    found = {o.service: (o.elements, o.letters, o.offset) for o in book.omissions()}
    assert found == {"a": (2, 1, 7), "b": (2, 0, 7), "": (1, 0, 7)}


def test_a_flood_of_services_does_not_make_the_report_grow() -> None:
    book = account()
    for number in range(10 * ENTRIES):
        book.refused(RAW, Reject(0, "too-late", "old", 1, ((f"s{number}", 1),)), record(number))
    assert len(book.omissions()) == ENTRIES + 1
    assert sum(o.elements for o in book.omissions()) == 10 * ENTRIES


def test_the_newest_example_and_each_workers_last_word_are_told() -> None:
    reports = []
    for number in range(3):
        book = account()
        book.refused(RAW, Reject(0, "too-late", f"old {number}"), record(number))
        report = book.report(T0 + timedelta(seconds=number), ("slow",) if number < 2 else ())
        assert report is not None
        reports.append(report)
    found = summed(reports)
    example = found.omissions[Kind(*RAW, "", "too-late", refused=True)].example
    assert example is not None
    assert (example.offset, example.reason) == (2, "old 2")
    assert (found.workers, found.held) == ({"w": T0 + timedelta(seconds=2)}, set())


def test_there_is_advice_on_every_rule_that_the_formats_have() -> None:
    texts = "\n".join(path.read_text() for path in SOURCES.glob("*.py"))
    rules = set(re.findall(r'(?:Refused|skip|skips)[(\[]\s*"([a-z0-9-]+)"', texts))
    rules |= set(re.findall(r'refuse\([^"()]*(?:\([^()]*\))?[^"()]*"([a-z0-9-]+)"', texts))
    assert len(rules) > 30
    assert rules <= ADVICE.keys(), rules - ADVICE.keys()
