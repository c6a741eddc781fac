"""Labels and what is measured with them, against cases that are counted by hand."""

from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import Rejected
from streams.backtest.labels import Labels, Span, read_labels
from streams.backtest.quality import (
    Quality,
    Tally,
    average_precision,
    onsets,
    peaks,
    quality,
    segments,
    tally,
    windows,
)
from streams.backtest.run import Wish, backtest
from tests.agents.scorer.series import flat

# ---- reading


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.csv", "series,start,end\nweb/a.csv,1970-01-01T00:01:00Z,1970-01-01 00:02:00\n"),
        ("l.csv", "End,Series,START,why\n120,a,60,disk\n"),
        ("l.json", '{"web/a.csv": [["1970-01-01 00:01:00.000000", "1970-01-01 00:02:00"]]}'),
        ("l.json", '[{"series": "a", "start": 60, "end": 120}]'),
    ],
)
def test_labels_are_read(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert read_labels(tmp_path / name, UTC).of(["web/a.csv"]) == [Span(60, 120)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", "series,start\na,1\n", "line 1: needs the columns series, start, end; no 'end'"),
        ("l.csv", "series,start,end\na,soon,2\n", "line 2: timestamp 'soon' is neither"),
        ("l.csv", "series,start,end\na,2,1\n", "line 2: ends at 1 before it starts at 2"),
        ("l.json", '{"a": [[1]]}', "needs "),
        ("l.json", '[{"series": "a"}]', "entry 1: needs series, start and end"),
        ("l.json", "[", "cannot be read"),
        ("l.json", "[" * 10_000 + "]" * 10_000, "cannot be read: maximum recursion depth"),
        ("l.csv", "series,start,end\na,nan,2\n", "line 2: timestamp 'nan' is not finite"),
    ],
)
def test_bad_labels_are_named_by_file_and_line(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(Rejected, match=message):
        read_labels(tmp_path / name, UTC)


def test_labels_in_milliseconds_are_read(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("series,start,end\na,1704067200000,1704067260500\n")
    assert read_labels(tmp_path / "l.csv", UTC).of(["a"]) == [Span(1704067200, 1704067260.5)]


def test_labels_that_are_not_there_are_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="cannot be read"):
        read_labels(tmp_path / "none.csv", UTC)


def test_a_series_is_named_in_full_or_by_its_end() -> None:
    labels = Labels({"web/a.csv": [Span(1, 2)], "b": [Span(3, 4)], "ueue": [Span(5, 6)]})
    assert labels.of(["x/web/a.csv.gz"]) == [Span(1, 2)]
    assert labels.of(["p/b.csv", "b"]) == [Span(3, 4)]
    assert labels.of(["queue.csv"]) == []
    assert labels.unmatched() == "ueue"


# ---- measuring

N = 200


def alarms(*rows: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    out = np.zeros(N, np.bool_)
    out[list(rows)] = True
    return out


def measured(alarm: Sequence[int], *events: range) -> Quality:
    at, flagged = np.arange(0.0, 60.0 * N, 60.0), alarms(*alarm)
    rows = [np.array(event) for event in events]
    return quality([tally(at, flagged.astype(float), flagged, rows)])


@pytest.mark.parametrize(
    ("alarm", "events", "found", "false"),
    [
        ([], [], 0, 0),
        ([], [range(50, 60)], 0, 0),
        ([55], [range(50, 60)], 1, 0),
        ([55, 58], [range(50, 60)], 1, 0),  # told twice, found once
        ([60], [range(50, 60)], 1, 0),  # 10 rows after its start
        ([61], [range(50, 60)], 0, 1),
        ([50], [range(40, 49), range(52, 53)], 1, 0),  # in the first one's grace
        ([53], [range(45, 46), range(52, 53)], 2, 0),  # in both
        ([10, 20, 30], [range(50, 60)], 0, 1),  # somebody was called once
        ([10, 31], [range(50, 60)], 0, 2),  # and here twice
        ([35, 55], [range(50, 60)], 1, 1),
        ([55, 75], [range(50, 60)], 1, 0),  # an alarm that goes on after the event
        ([199], [range(195, 200)], 1, 0),  # an event at the end
    ],
)
def test_events_and_false_alarms_are_counted(
    alarm: list[int], events: list[range], found: int, false: int
) -> None:
    result = measured(alarm, *events)
    assert (result.events, result.found, result.false_alarms) == (len(events), found, false)


def test_the_figures_follow_from_the_counts() -> None:
    result = measured([55, 120, 150], range(50, 60), range(100, 110))
    assert (result.precision, result.recall) == (1 / 3, 1 / 2)
    assert result.f1 == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert result.delay_s == 5 * 60
    assert result.false_alarms_a_day == pytest.approx(2 / (199 * 60 / 86400))


def test_nothing_to_divide_by_is_no_figure() -> None:
    result = measured([])
    assert (result.precision, result.recall, result.f1, result.delay_s) == (None,) * 4
    assert quality([tally(np.empty(0), np.empty(0), alarms()[:0], [])]).false_alarms_a_day is None


def test_series_are_summed_not_averaged() -> None:
    one = Tally(10, 5, 0, 1.0, (60.0,) * 5, np.ones(10), np.empty(0))
    two = Tally(1, 0, 5, 9.0, (), np.zeros(1), np.ones(5))
    total = quality([one, two])
    assert (total.precision, total.recall) == (5 / 10, 5 / 11)
    assert total.false_alarms_a_day == 0.5


def test_an_event_without_rows_cannot_be_found() -> None:
    """The series was silent during the outage: that is missed, not forgotten."""
    at = np.array([0.0, 60.0, 600.0])
    events = windows(at, [Span(120, 300), Span(5000, 6000)])
    assert [len(rows) for rows in events] == [0]
    assert tally(at, np.zeros(3), np.zeros(3, np.bool_), events).found == 0


def test_average_precision_is_the_area_by_hand() -> None:
    """Found at .9, .5 and .2 with false peaks at .6 and .4: 1/1, 2/3, 3/5, a third each."""
    area = average_precision(np.array([0.9, 0.5, 0.2]), np.array([0.6, 0.4, 0.1]))
    assert area == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_an_alarm_run_is_counted_by_its_first_row() -> None:
    assert onsets(alarms(5, 6, 26, 47, 68)).tolist() == [5, 47, 68]
    assert np.flatnonzero(peaks(np.array([3.0] + [1.0] * 25 + [2.0]))).tolist() == [0, 21, 26]


def test_runs_of_a_label_are_events() -> None:
    label = np.array([1, 1, 0, 1, 0, 0, 1], np.bool_)
    assert [rows.tolist() for rows in segments(label)] == [[0, 1], [3], [6]]
    assert segments(np.zeros(3, np.bool_)) == []


# ---- through a backtest


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """One series with a spike at row 700, labelled and not."""
    folder = tmp_path / "history"
    folder.mkdir()
    at, value = flat(1500)
    value[700:703] += 60
    rows = list(zip(at.tolist(), value.tolist(), strict=True))
    plain = "".join(f"{t},{v}\n" for t, v in rows)
    marked = "".join(f"{t},{v},{int(698 <= i < 705)}\n" for i, (t, v) in enumerate(rows))
    (folder / "plain.csv").write_text("timestamp,value\n" + plain)
    (folder / "marked.csv").write_text("timestamp,value,is_anomaly\n" + marked)
    return folder


def test_a_column_of_labels_is_measured_with(history: Path, tmp_path: Path) -> None:
    summary = backtest(history, tmp_path / "out")
    by_name = {found.name: found for found in summary.found}
    assert by_name["plain.csv"].quality is None
    assert by_name["marked.csv"].quality is not None
    assert summary.quality == by_name["marked.csv"].quality
    assert (summary.quality.events, summary.quality.recall) == (1, 1.0)
    assert summary.quality.delay_s == 120.0


def test_a_file_of_labels_covers_every_series(history: Path, tmp_path: Path) -> None:
    """One that it does not name had no incident: each of its alarms is false."""
    at, _ = flat(1500)
    labels = tmp_path / "labels.csv"
    labels.write_text(f"series,start,end\nmarked,{at[698]},{at[704]}\n")
    summary = backtest(history, tmp_path / "out", Wish(labels=labels))
    plain = next(found for found in summary.found if found.name == "plain.csv")
    assert plain.quality is not None
    assert plain.quality.events == 0
    assert plain.quality.false_alarms >= 1
    assert summary.found[0].name == "plain.csv"  # mistakes come first


def test_labels_that_fit_nothing_are_wrong_use(history: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("series,start,end\nother,1,2\n")
    with pytest.raises(Rejected, match="no label fits a series: labelled are other"):
        backtest(history, tmp_path / "out", Wish(labels=labels))


def test_labels_of_absent_series_are_told(history: Path, tmp_path: Path) -> None:
    at, _ = flat(1500)
    labels = tmp_path / "labels.json"
    labels.write_text(f'{{"marked": [[{at[698]}, {at[704]}]], "other": [[1, 2]]}}')
    summary = backtest(history, tmp_path / "out", Wish(labels=labels))
    assert summary.notes == ("labelled, but not in the history: other",)


def test_a_column_that_is_no_label_is_left_alone(history: Path, tmp_path: Path) -> None:
    (history / "named.csv").write_text("timestamp,value,label\n0,1,checkout\n60,1,0\n")
    summary = backtest(history, tmp_path / "out")
    assert next(f for f in summary.found if f.name == "named.csv").quality is None
