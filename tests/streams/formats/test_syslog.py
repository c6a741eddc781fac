"""Times that leave something out: the year, or which of two hours it is."""

from datetime import UTC, datetime

import pytest

from streams.formats.limits import Refused
from streams.formats.syslog import moment


def at(given: str) -> int:
    return round(datetime.fromisoformat(given).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("given", "arrived", "means"),
    [
        ("Dec 31 23:59:58", "2026-01-01T00:00:10", "2025-12-31T22:59:58"),
        ("Jan  1 01:00:03", "2025-12-31T23:59:58", "2026-01-01T00:00:03"),
        ("Oct 25 02:30:00", "2026-10-25T00:30:01", "2026-10-25T00:30:00"),  # the first time
        ("Oct 25 02:30:00", "2026-10-25T01:30:01", "2026-10-25T01:30:00"),  # an hour later
        ("Mar 29 01:59:59", "2026-03-29T01:00:00", "2026-03-29T00:59:59"),
        ("Mar 29 03:00:00", "2026-03-29T01:00:01", "2026-03-29T01:00:00"),
        ("Feb 29 12:00:00", "2024-02-29T11:00:00", "2024-02-29T11:00:00"),
    ],
)
def test_it_is_the_moment_nearest_to_the_arrival(given: str, arrived: str, means: str) -> None:
    assert moment(given, at(arrived), "Europe/Berlin") == at(means)


@pytest.mark.parametrize(
    "given", ["1970-01-01T10:30:00Z", "1973-03-03T09:46:39Z", "5138-11-16T09:46:40Z"]
)
def test_a_year_whose_ms_would_be_taken_for_another_unit_is_refused(given: str) -> None:
    """A box without a clock begins in 1970; its ms, taken for seconds, are a day of 2009."""
    with pytest.raises(Refused, match="before 1973 or after 5138"):
        moment(given, at("2026-01-01T00:00:00"), "UTC")
