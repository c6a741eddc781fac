"""Wide exports and times of many habits: each as the series that it holds."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.backtest.from_csv import read_csv
from streams.backtest.run import Wish, backtest
from streams.backtest.table import safe_name
from tests.agents.scorer.series import alone, daily

BERLIN = ZoneInfo("Europe/Berlin")


def scores(path: Path) -> list[float]:
    with path.open() as file:
        return [float(row["score"]) for row in csv.DictReader(file)]


# ---- wide


def test_a_column_a_series_gives_a_file_a_series(history: Path, scored: Path) -> None:
    at, value = daily(400)
    lines = [f"{t},web-1,{v},{-v}," for t, v in zip(at.tolist(), value.tolist(), strict=True)]
    head = "Time,host,cpu {a},mem/free,gone"
    (history / "panel.csv").write_text("\n".join((head, *lines)))
    summary = backtest(history, scored)
    assert {found.name for found in summary.found} == {
        "panel.csv: cpu {a}",
        "panel.csv: mem/free",
        "panel.csv: gone",
    }
    by_name = {found.name.partition(": ")[2]: found for found in summary.found}
    assert scores(scored / by_name["cpu {a}"].output) == alone(at, value).emitted.tolist()
    assert scores(scored / by_name["mem/free"].output) == alone(at, -value).emitted.tolist()
    assert by_name["gone"].missing == 400
    assert by_name["cpu {a}"].notes == ("column 'host' is text and was left aside",)
    assert all(Path(found.output).parent == Path("panel") for found in summary.found)


def test_a_column_with_a_counters_name_is_scored_by_its_rate(history: Path, scored: Path) -> None:
    (history / "p.csv").write_text("time,a_total,b\n0,1,1\n60,2,2\n120,3,3\n")
    summary = backtest(history, scored)
    counters = [found.name for found in summary.found if found.notes[0].startswith("a counter")]
    assert counters == ["p.csv: a_total"]


def test_the_only_other_column_is_the_value_and_the_file_keeps_its_name(
    history: Path, scored: Path
) -> None:
    (history / "a.csv").write_text("time;load\n0;1\n60;2\n")
    (found,) = backtest(history, scored).found
    assert (found.name, found.output, found.samples) == ("a.csv", "a.csv", 2)


def test_wide_parquet_is_read_as_wide_csv(history: Path, scored: Path) -> None:
    at, value = daily(400)
    table = {"ts": at, "host": ["a"] * 400, "x": value, "y": (value * 10).astype(np.int64)}
    pq.write_table(pa.table(table), history / "p.parquet")
    summary = backtest(history, scored)
    assert {found.output for found in summary.found} == {"p/x.parquet", "p/y.parquet"}
    written = pq.read_table(scored / "p" / "x.parquet")
    assert written["score"].to_pylist() == alone(at, value).emitted.tolist()
    assert summary.found[0].notes[0] == "column 'host' is no number and was left aside"


def test_too_many_columns_are_refused(history: Path, scored: Path) -> None:
    head = ",".join(["time", *(f"c{n}" for n in range(501))])
    (history / "a.csv").write_text(head + "\n")
    assert backtest(history, scored).faults == (
        "a.csv line 1: has 501 columns, at most 500: split it",
    )


@pytest.mark.parametrize("name", ["a/b", "..", "", "a\x00b", "é" * 300, "-rf", "a b", ".hidden"])
def test_a_safe_name_is_one_short_plain_component(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert Path(safe).name == safe
    assert safe.isascii()
    assert not safe.startswith(("-", "."))
    assert len(safe) <= 120
    assert safe != safe_name(name + "x")


# ---- times


def times(path: Path, content: str, zone: ZoneInfo | None = None) -> list[float]:
    path.write_text(content)
    tables = read_csv(path, path.name, zone or UTC)
    return [t for table in tables for chunk in table.chunks for t in chunk.at.tolist()]


@pytest.mark.parametrize(
    "written",
    [
        "1704067200",
        "1704067200.0",
        "1704067200000",
        "1704067200000000",
        "1704067200000000000",
        "2024-01-01T00:00:00Z",
        "2024-01-01 00:00:00",
        "2024-01-01 00:00:00 UTC",
        "2024-01-01T05:30:00+05:30",
        "2024-01-01",
        "20240101T000000Z",
    ],
)
def test_a_moment_is_read_however_it_is_written(written: str, tmp_path: Path) -> None:
    assert times(tmp_path / "a.csv", f"time,value\n{written},1\n") == [1704067200.0]


def test_milliseconds_keep_what_is_written(tmp_path: Path) -> None:
    content = "time,value\n1704067200123,1\n1704067200124,1\n"
    assert times(tmp_path / "a.csv", content) == [1704067200.123, 1704067200.124]


def test_the_unit_is_the_first_rows(tmp_path: Path) -> None:
    """A file is in one unit, so an odd time later is odd and not in another unit."""
    content = "time,value\n1704067200,1\n1704067200000,1\n"
    assert times(tmp_path / "a.csv", content)[1] == 1704067200000.0


def test_a_time_without_a_zone_is_in_the_one_that_is_given(tmp_path: Path) -> None:
    content = "time,value\n2024-07-01 02:00:00,1\n2024-01-01 01:00:00,1\n2024-01-01T00:00:00Z,1\n"
    expected = [datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)]
    found = times(tmp_path / "a.csv", content, BERLIN)
    assert found == [expected[0].timestamp(), expected[1].timestamp(), expected[1].timestamp()]


def test_parquet_without_a_zone_is_in_the_one_that_is_given(history: Path, scored: Path) -> None:
    naive = pa.array([datetime(2024, 7, 1, 2)], pa.timestamp("us"))  # noqa: DTZ001 - no zone: the case
    pq.write_table(pa.table({"timestamp": naive, "value": [1.0]}), history / "a.parquet")
    (found,) = backtest(history, scored, Wish(zone=BERLIN)).found
    assert found.first == "2024-07-01T00:00:00Z"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_separator_is_the_headers(delimiter: str, tmp_path: Path) -> None:
    content = "time,value\n60,1\n".replace(",", delimiter)
    assert times(tmp_path / "a.csv", content) == [60.0]
