"""Backtest: a folder in, a folder out, and clear words about what cannot be read."""

import csv
import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agents.scorer.block import BlockState
from agents.scorer.scorer import Scores, score_rows
from schemas.errors import Rejected, Unavailable
from streams.backtest import detector as backtest_detector
from streams.backtest import from_csv as backtest_csv
from streams.backtest.run import backtest
from tests.agents.scorer.series import alone, daily


def spiked(n: int = 1500) -> tuple[Any, Any]:
    at, value = daily(n)
    value[1000] += 90
    return at, value


def text(at: Any, value: Any, label: str = "0") -> str:
    rows = (f"{float(t)!r},{float(v)!r},{label}\n" for t, v in zip(at, value, strict=True))
    return "timestamp,value,label\n" + "".join(rows)


def rows(path: Path) -> list[dict[str, str]]:
    packed = path.suffix == ".gz"
    with gzip.open(path, "rt") if packed else path.open() as file:
        return list(csv.DictReader(file))


def test_every_series_is_scored_under_its_own_name(history: Path, scored: Path) -> None:
    """Exactly the scorer's numbers, row by row, packed where the input was."""
    at, value = spiked()
    (history / "deep" / "er").mkdir(parents=True)
    (history / "plain.csv").write_text(text(at, value))
    with gzip.open(history / "deep" / "er" / "packed.csv.gz", "wt") as file:
        file.write(text(at, value))
    summary = backtest(history, scored)
    expected = alone(at, value).emitted
    for name in ("plain.csv", "deep/er/packed.csv.gz"):
        found = rows(scored / name)
        assert [float(row["timestamp"]) for row in found] == at.tolist()
        assert [float(row["score"]) for row in found] == expected.tolist()
        assert [row["alarm"] == "1" for row in found] == (expected >= 1).tolist()
    assert summary[:3] == (2, 3000, 2 * int((expected >= 1).sum()))
    assert summary.alarms >= 2
    assert summary.microseconds > 0


def test_labels_change_nothing(history: Path, scored: Path) -> None:
    at, value = spiked()
    (history / "a.csv").write_text(text(at, value, "0"))
    (history / "b.csv").write_text(text(at, value, "1"))
    backtest(history, scored)
    assert rows(scored / "a.csv") == rows(scored / "b.csv")


def test_chunks_change_nothing(
    history: Path, scored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, value = spiked()
    (history / "a.csv").write_text(text(at, value))
    backtest(history, scored)
    whole = (scored / "a.csv").read_text()
    monkeypatch.setattr(backtest_csv, "CHUNK", 7)
    backtest(history, scored)
    assert (scored / "a.csv").read_text() == whole


def test_a_missing_value_keeps_its_row_and_scores_nothing(history: Path, scored: Path) -> None:
    times = ["0", "60", "120", "180", "240", "300"]
    lines = ["timestamp,value", "0,1", "60,", "120,NaN", "180,null", "240,inf", "300,2", ""]
    (history / "a.csv").write_text("\n".join(lines))
    assert backtest(history, scored).samples == 6
    assert [row["timestamp"] for row in rows(scored / "a.csv")] == times


@pytest.mark.parametrize(
    "content",
    [
        '\ufeffTimestamp, VALUE ,host\r\n0,1,"a,b"\r\n60,2,c\r\n',
        "host,value,timestamp\na,1,0\nb,2,60\n",
        "timestamp,value\n0,1\n\n\n60,2\n",
        "timestamp,value\n1970-01-01T00:00:00Z,1\n1970-01-01 01:01:00+01:00,2\n",
        "timestamp,value\n1970-01-01,1\n1970-01-01T00:01:00,2",
    ],
    ids=["bom-crlf-case", "order", "blank-lines", "iso", "iso-no-zone"],
)
def test_exports_of_many_habits_are_read(
    content: str, history: Path, scored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[float], list[float]]] = []

    def recording(state: BlockState, at_rows: Any, at: Any, value: Any) -> Scores:
        seen.append((list(at), list(value)))
        return score_rows(state, at_rows, at, value)

    monkeypatch.setattr(backtest_detector, "score_rows", recording)
    (history / "a.csv").write_text(content, encoding="utf-8")
    assert backtest(history, scored).samples == 2
    assert seen == [([0.0, 60.0], [1.0, 2.0])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.csv line 1: needs a column 'timestamp'.*, has nothing"),
        (b"when,value\n1,2\n", r"a\.csv line 1: needs a column 'timestamp'.*, has when, value"),
        (b"1,2\n2,3\n", r"a\.csv line 1: needs a column 'timestamp'.*, has 1, 2"),
        (b"timestamp,label\n1,0\n", r"a\.csv line 1: needs a column 'value'"),
        (b"timestamp,host,zone\n1,a,b\n", r"a\.csv line 1: no column holds numbers"),
        (b"timestamp,a,b\n1,2,3\n2,x,3\n", r"a\.csv line 3: value 'x' is no number"),
        (b"timestamp,value\n1,2\n2,3\n3,many\n", r"a\.csv line 4: value 'many' is no number"),
        (b"timestamp,value\nnoon,2\n", r"a\.csv line 2: timestamp 'noon' is neither"),
        (b"timestamp,value\n,2\n", r"a\.csv line 2: timestamp '' is neither"),
        (b"timestamp,value\n1,2\nnan,2\n", r"a\.csv line 3: timestamp 'nan' is not finite"),
        (b"timestamp,value\n1,2\n3\n", r"a\.csv line 3: has 1 fields, needs 2"),
        (b"timestamp,value\n1,\xff\n", r"a\.csv after line 0: cannot be read"),
    ],
)
def test_bad_input_is_named_by_file_and_line(
    content: bytes, message: str, history: Path, scored: Path
) -> None:
    (history / "a.csv").write_bytes(content)
    (fault,) = backtest(history, scored).faults
    assert re.search(message, fault)
    assert not list(scored.rglob("*.csv"))


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b"timestamp,value\n1,2\n", mtime=0)[:-9]]
)
def test_a_damaged_archive_is_named(content: bytes, history: Path, scored: Path) -> None:
    (history / "a.csv.gz").write_bytes(content)
    (fault,) = backtest(history, scored).faults
    assert re.match(r"a\.csv\.gz after line \d+: cannot be read", fault)


def test_a_header_alone_gives_a_header_alone(history: Path, scored: Path) -> None:
    (history / "a.csv").write_text("timestamp,value\n")
    assert backtest(history, scored)[:3] == (1, 0, 0)
    assert (scored / "a.csv").read_text() == "timestamp,score,alarm\n"


# ---- Parquet


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "epoch", "whole"])
def test_parquet_is_scored_like_csv(unit: str, history: Path, scored: Path) -> None:
    at, value = spiked()
    stamps: Any = pa.array(at)
    if unit == "whole":
        stamps = pa.array(at.astype(np.int64))
    elif unit != "epoch":
        stamps = pa.array(at.astype(np.int64), pa.timestamp("s", "UTC"))
        stamps = stamps.cast(pa.timestamp(unit, "UTC"))
    pq.write_table(
        pa.table({"host": ["a"] * len(at), "timestamp": stamps, "value": value}),
        history / "a.parquet",
    )
    summary = backtest(history, scored)
    found = pq.read_table(scored / "a.parquet")
    expected = alone(at, value).emitted
    assert found.column_names == ["timestamp", "score", "alarm"]
    assert found["timestamp"].type == pq.read_schema(history / "a.parquet").field("timestamp").type
    assert found["timestamp"].cast(stamps.type).combine_chunks().equals(stamps)
    assert found["score"].to_pylist() == expected.tolist()
    assert found["alarm"].to_pylist() == (expected >= 1).tolist()
    assert summary.alarms >= 1


def test_a_null_in_parquet_is_a_missing_value(history: Path, scored: Path) -> None:
    table = pa.table({"timestamp": [0, 60, 120], "value": pa.array([1, None, 2], pa.int64())})
    pq.write_table(table, history / "a.parquet")
    assert backtest(history, scored).samples == 3
    assert pq.read_table(scored / "a.parquet")["score"].to_pylist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("names", [("time", "a", "a"), ("time", "time", "value")])
def test_parquet_with_two_columns_of_one_name_is_named(
    names: tuple[str, ...], history: Path, scored: Path
) -> None:
    column = pa.array([1.0, 2.0])
    pq.write_table(pa.table([column] * 3, names=names), history / "a.parquet")
    (fault,) = backtest(history, scored).faults
    assert re.fullmatch(r"a\.parquet row 1: there are two columns '(a|time)': rename one", fault)


def test_parquet_without_rows_gives_none(history: Path, scored: Path) -> None:
    empty = pa.table({"timestamp": pa.array([], pa.int64()), "value": pa.array([], pa.float64())})
    pq.write_table(empty, history / "a.parquet")
    backtest(history, scored)
    assert len(pq.read_table(scored / "a.parquet")) == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"when": [1], "value": [1.0]}, "needs a column 'timestamp'"),
        ({"timestamp": ["noon"], "value": [1.0]}, "row 1: timestamp is string"),
        ({"timestamp": [1], "value": ["many"]}, "row 1: cannot be read"),
        ({"timestamp": [1, None], "value": [1.0, 2.0]}, "row 1 or after: a timestamp is missing"),
        ({"timestamp": [1.0, np.nan], "value": [1.0, 2.0]}, "a timestamp is not finite"),
    ],
)
def test_bad_parquet_is_named_by_file_and_row(
    columns: dict[str, list[Any]], message: str, history: Path, scored: Path
) -> None:
    pq.write_table(pa.table(columns), history / "a.parquet")
    (fault,) = backtest(history, scored).faults
    assert re.match(rf"a\.parquet.*{message}", fault)


def test_what_is_no_parquet_is_named(history: Path, scored: Path) -> None:
    (history / "a.parquet").write_bytes(b"PAR1 but no more")
    (fault,) = backtest(history, scored).faults
    assert re.match(r"a\.parquet row 1: cannot be read", fault)


# ---- folders


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_several_series_in_one_are_told_with_what_may_tell_them_apart(
    kind: str, history: Path, scored: Path
) -> None:
    at, value = daily(100)
    table = {"timestamp": np.repeat(at, 2), "host": ["a", "b"] * 100, "value": np.repeat(value, 2)}
    if kind == "csv":
        lines = [f"{t},{h},{v}" for t, h, v in zip(*table.values(), strict=True)]
        (history / "long.csv").write_text("\n".join((",".join(table), *lines)))
    else:
        pq.write_table(pa.table(table), history / "long.parquet")
    (history / "newest.csv").write_text(text(at[::-1], value))
    (history / "fine.csv").write_text(text(at, value))
    summary = backtest(history, scored)
    (note,) = summary.notes
    assert note.startswith(f"times repeat or run backward in long.{kind}, newest.csv: each must be")
    notes = {found.name: found.notes for found in summary.found}
    assert notes[f"long.{kind}"][0] == "of this file 'value' is read, not host"
    assert notes["fine.csv"] == ()


def test_a_series_too_short_to_alarm_is_told(history: Path, scored: Path) -> None:
    for n in (20, 60, 81):
        (history / f"{n}.csv").write_text(text(*daily(n)))
    said = {found.samples: found.notes for found in backtest(history, scored).found}
    assert said == {
        20: ("only 20 samples: nothing is scored before 30",),
        60: ("only 60 samples: hardly an alarm before 80",),
        81: (),
    }


def test_other_files_are_left_alone(history: Path, scored: Path) -> None:
    (history / "a.csv").write_text("timestamp,value\n0,1\n")
    (history / "windows.json").write_text("{}")
    (history / "notes.txt").write_text("none")
    backtest(history, scored)
    assert [path.name for path in scored.iterdir()] == ["a.csv"]


def test_progress_counts_series(history: Path, scored: Path) -> None:
    for name in ("b.csv", "a.csv"):
        (history / name).write_text("timestamp,value\n0,1\n")
    seen: list[tuple[str, int, int]] = []
    backtest(history, scored, None, lambda what, done, of: seen.append((what, done, of)))
    assert seen == [("a.csv", 1, 2), ("b.csv", 2, 2)]


def test_a_bad_file_does_not_lose_the_others(history: Path, scored: Path) -> None:
    for name, value in (("a.csv", "1"), ("b.csv", "x"), ("c.csv", "1")):
        (history / name).write_text(f"timestamp,value\n0,{value}\n")
    summary = backtest(history, scored)
    assert summary.faults == ("b.csv line 2: value 'x' is no number",)
    assert sorted(path.name for path in scored.iterdir()) == ["a.csv", "c.csv"]


def test_a_folder_without_series_is_said_to_be(history: Path, scored: Path) -> None:
    with pytest.raises(Rejected, match="holds no series"):
        backtest(history, scored)


def test_an_input_that_is_not_there_is_said_to_be(tmp_path: Path, scored: Path) -> None:
    with pytest.raises(Rejected, match="is no folder"):
        backtest(tmp_path / "nowhere", scored)


@pytest.mark.parametrize("output", ["history", "history/out"])
def test_the_output_may_not_lie_in_the_input(output: str, history: Path, tmp_path: Path) -> None:
    """It would overwrite the history, or be taken for history the next time."""
    (history / "a.csv").write_text("timestamp,value\n0,1\n")
    with pytest.raises(Rejected, match="outside"):
        backtest(history, tmp_path / output)
    assert (history / "a.csv").read_text() == "timestamp,value\n0,1\n"


def test_an_output_that_is_a_file_is_refused(history: Path, scored: Path) -> None:
    (history / "a.csv").write_text("timestamp,value\n0,1\n")
    scored.write_text("mine")
    with pytest.raises(Rejected, match="is a file"):
        backtest(history, scored)
    assert scored.read_text() == "mine"


def test_an_output_that_cannot_be_written_may_work_later(history: Path, scored: Path) -> None:
    (history / "sub").mkdir()
    (history / "sub" / "a.csv").write_text("timestamp,value\n0,1\n")
    scored.mkdir()
    (scored / "sub").write_text("in the way")
    with pytest.raises(Unavailable, match="cannot be written"):
        backtest(history, scored)
