"""History from Prometheus: answers as they were saved, whole or in pieces."""

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from schemas.errors import Rejected
from streams.backtest.run import backtest
from tests.agents.scorer.series import alone, daily

Row = dict[str, Any]


def series(metric: dict[str, str], at: Any, value: Any) -> Row:
    pairs = [[float(t), repr(float(v))] for t, v in zip(at, value, strict=True)]
    return {"metric": metric, "values": pairs}


def answer(*result: Row, kind: str = "matrix") -> bytes:
    return orjson.dumps({"status": "success", "data": {"resultType": kind, "result": list(result)}})


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


QUEUE = {"__name__": "queue_depth", "service": "checkout"}


def test_every_series_of_an_answer_is_scored_alone(history: Path, scored: Path) -> None:
    at, value = daily(600)
    value[500] += 90
    other = {**QUEUE, "service": "../../etc"}
    (history / "q.json").write_bytes(answer(series(QUEUE, at, value), series(other, at, -value)))
    summary = backtest(history, scored)
    assert summary.faults == ()
    assert {found.name for found in summary.found} == {
        'q.json: queue_depth{service="checkout"}',
        'q.json: queue_depth{service="../../etc"}',
    }
    for found in summary.found:
        sign = 1 if "checkout" in found.name else -1
        written = rows(scored / found.output)
        assert [float(row["timestamp"]) for row in written] == at.tolist()
        assert [float(row["score"]) for row in written] == alone(at, sign * value).emitted.tolist()
    outputs = [path.relative_to(scored) for path in scored.rglob("*.csv")]
    assert len(outputs) == 2
    assert all(path.parts[0] == "q" and len(path.parts) == 2 for path in outputs)


def test_a_packed_answer_is_read_too(history: Path, scored: Path) -> None:
    (history / "q.json.gz").write_bytes(gzip.compress(answer(series(QUEUE, [0, 60], [1, 2]))))
    (found,) = backtest(history, scored).found
    assert (found.samples, found.output) == (2, "q/queue_depth_service=checkout-4bc78ed5.csv.gz")
    assert (scored / found.output).exists()


def test_a_counter_is_scored_by_its_rate(history: Path, scored: Path) -> None:
    """The name says that it only grows, as it does to the detector when it runs."""
    at, value = daily(600)
    grown = (value * 300).cumsum()
    counter = {"__name__": "requests_total"}
    (history / "r.json").write_bytes(answer(series(counter, at, grown)))
    (found,) = backtest(history, scored).found
    assert found.notes == ("a counter: scored by its rate a second",)
    expected = alone(at[1:], (grown[1:] - grown[:-1]) / 300).emitted
    scores = [float(row["score"]) for row in rows(scored / found.output)]
    assert scores[0] == 0
    assert scores[1:] == expected.tolist()


def test_pieces_are_one_history_and_overlaps_are_taken_once(history: Path, scored: Path) -> None:
    at, value = daily(900)
    parts = [slice(600, 900), slice(0, 350), slice(300, 620)]  # 10 sorts before 2: no matter
    for number, part in zip((10, 1, 2), parts, strict=True):
        piece = answer(series(QUEUE, at[part], value[part]))
        (history / f"q.{number}.json").write_bytes(piece)
    (found,) = backtest(history, scored).found
    assert found.samples == 900
    assert Path(found.output).parts[0] == "q"
    scores = [float(row["score"]) for row in rows(scored / found.output)]
    assert scores == alone(at, value).emitted.tolist()


def test_what_is_no_number_is_missing(history: Path, scored: Path) -> None:
    row = {"metric": QUEUE, "values": [[0, "NaN"], [60, "+Inf"], [120.5, "-Inf"], [180, 4]]}
    (history / "q.json").write_bytes(answer(row))
    (found,) = backtest(history, scored).found
    assert (found.samples, found.missing) == (4, 3)
    assert [each["timestamp"] for each in rows(scored / found.output)] == [
        "0",
        "60",
        "120.5",
        "180",
    ]


def test_a_packed_document_that_was_cut_off_is_named(history: Path, scored: Path) -> None:
    """Its beginning can be read, and looks like no answer."""
    packed = gzip.compress(orjson.dumps(np.random.default_rng(1).normal(size=9000).tolist()))
    (history / "bad.json.gz").write_bytes(packed[: len(packed) // 2])
    (history / "good.json").write_bytes(answer(series(QUEUE, [0], [1])))
    summary = backtest(history, scored)
    assert summary.faults[0].startswith("bad.json.gz: cannot be read: Compressed file ended")
    assert summary.series == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (answer(kind="vector"), "holds a vector, needs a matrix"),
        (answer(), "the answer holds no series"),
        (answer({"metric": QUEUE, "histograms": [[0, {}]]}), "native histogram"),
        (answer({"metric": QUEUE, "values": [[0, "much"]]}), "could not convert"),
        (answer({"metric": QUEUE, "values": [[0]]}), "is not a range query's answer"),
        (b'{"status": "error", "error": "query timed out"}', "failed: query timed out"),
        (b'{"status": "success"', "is not a range query's answer"),
        (b'{"version": 1}', "is not a range query's answer"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "cannot be read: maximum recursion"),
        (b"", "is not a range query's answer"),
    ],
)
def test_what_is_no_answer_is_named_and_the_rest_goes_on(
    content: bytes, message: str, history: Path, scored: Path
) -> None:
    (history / "bad.json").write_bytes(content)
    (history / "good.json").write_bytes(answer(series(QUEUE, [0], [1])))
    summary = backtest(history, scored)
    (fault,) = summary.faults
    assert fault.startswith("bad.json: ")
    assert message in fault
    assert summary.series == 1


def test_two_series_for_one_output_are_refused(history: Path, scored: Path) -> None:
    """Neither overwrites the other."""
    (history / "q.json").write_bytes(answer(series({"__name__": "up"}, [0], [1])))
    (first,) = backtest(history, scored).found
    (history / "q").mkdir()
    (history / first.output).write_text("timestamp,value\n0,1\n60,1\n")
    again = backtest(history, scored)
    assert again.faults == ("q.json: up: another series has its name already: rename one",)
    assert again.samples == 2


def test_a_folder_of_other_documents_holds_no_series(history: Path, scored: Path) -> None:
    (history / "windows.json").write_bytes(b'{"a.csv": [["2024-01-01", "2024-01-02"]]}')
    with pytest.raises(Rejected, match="holds no series"):
        backtest(history, scored)
