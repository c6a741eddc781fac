"""Backtest of log lines: a template for every line, as it was then and as it turned out."""

import gzip
import re
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from agents.logs.miner import Miner
from schemas.errors import Rejected, Unavailable
from streams.backtest import logs as backtest_logs
from streams.backtest.logs import Agreement
from streams.backtest.run import backtest
from tests.agents.logs.stream import lines


@pytest.fixture
def history(tmp_path: Path) -> Path:
    folder = tmp_path / "history"
    (folder / "web").mkdir(parents=True)
    return folder


@pytest.fixture
def found(tmp_path: Path) -> Path:
    return tmp_path / "found"


def written(said: list[str], **more: str) -> bytes:
    return b"".join(orjson.dumps({"line": line} | more) + b"\n" for line in said)


def rows(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [orjson.loads(row) for row in text.splitlines()]


def test_every_line_has_its_template_as_emitted_and_after_merges(
    history: Path, found: Path
) -> None:
    """Exactly the miner's ids, packed where the input was."""
    said = lines(1, 500)
    (history / "web" / "a.jsonl").write_bytes(written(said))
    (history / "web" / "b.jsonl.gz").write_bytes(gzip.compress(written(said)))
    summary = backtest(history, found)
    miner = Miner()
    mined = miner.feed(said)
    assert mined.merges
    final = [miner.current(ident) for ident in mined.ids]
    for name in ("a.jsonl", "b.jsonl.gz"):
        assert [row["template_id"] for row in rows(found / "web" / name)] == mined.ids
        merged = rows(found / "web-merged" / name)
        assert [row["template_id"] for row in merged] == final
        assert [row["template"] for row in merged] == [miner.template(ident) for ident in final]
    assert (summary.logs, summary.lines, summary.templates) == (2, 1000, 2 * len(set(final)))


def test_files_know_nothing_of_each_other_nor_of_labels(history: Path, found: Path) -> None:
    said = lines(2, 100)
    (history / "a.jsonl").write_bytes(written(said, template_id="E1"))
    (history / "b.jsonl").write_bytes(written(said, template_id="E2"))
    backtest(history, found)
    assert rows(found / "a.jsonl") == rows(found / "b.jsonl")
    assert rows(found / "merged" / "a.jsonl") == rows(found / "merged" / "b.jsonl")


def test_grouping_accuracy_is_counted_by_hand() -> None:
    """Group x is split, y and z are thrown together, w alone is exactly its label's: 2 lines of 6."""
    agreement = Agreement()
    labels = [msgspec.Raw(b'"%s"' % letter.encode()) for letter in "xxyzww"]
    agreement.add(labels[:5], ["a", "b", "c", "c", "d"])
    agreement.add(labels[5:], ["d"])
    assert agreement.accuracy(lambda ident: ident) == 2 / 6
    merged = {"a": "b"}
    assert agreement.accuracy(lambda ident: merged.get(ident, ident)) == 4 / 6


def test_lines_that_are_labelled_are_measured_and_others_not(history: Path, found: Path) -> None:
    said = ["took 5 ms", "took 6 ms", "disk full"]
    rows = zip(said, ("E1", "E1", "E2"), strict=True)
    labelled = b"".join(orjson.dumps({"line": a, "template_id": b}) + b"\n" for a, b in rows)
    (history / "a.jsonl").write_bytes(labelled)
    assert backtest(history, found).grouping == (1.0, 1.0)
    (history / "a.jsonl").write_bytes(labelled + written(["one without"]))
    assert backtest(history, found).grouping is None


def test_chunks_change_nothing(history: Path, found: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (history / "a.jsonl").write_bytes(written(lines(3, 300)))
    backtest(history, found)
    at_once = [rows(found / "a.jsonl"), rows(found / "merged" / "a.jsonl")]
    monkeypatch.setattr(backtest_logs, "CHUNK", 7)
    backtest(history, found)
    assert [rows(found / "a.jsonl"), rows(found / "merged" / "a.jsonl")] == at_once


def test_logs_and_series_are_read_side_by_side(history: Path, found: Path) -> None:
    (history / "a.csv").write_text("timestamp,value\n0,1\n")
    (history / "web" / "a.jsonl").write_bytes(written(["took 5 ms"]))
    seen: list[str] = []
    summary = backtest(history, found, None, lambda what, _done, _of: seen.append(what))
    assert seen == ["a.csv", "web/a.jsonl"]
    assert (summary.series, summary.logs) == (1, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"line": "a"}\n{"text": "b"}\n', 'web/a.jsonl line 2: needs {"line": text}'),
        (b'{"line": 5}\n', "web/a.jsonl line 1"),
        (b'{"line": "a"}\n\nnot json\n', "web/a.jsonl line 3"),
        (b'{"line": "a"}\n\xff\n', "web/a.jsonl after line 0: cannot be read"),
        (
            b'{"line": "a", "more": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n",
            "web/a.jsonl after line 1: cannot be read: maximum recursion depth",
        ),
    ],
)
def test_what_cannot_be_read_is_named_and_leaves_nothing(
    content: bytes, reason: str, history: Path, found: Path
) -> None:
    (history / "web" / "a.jsonl").write_bytes(content)
    (fault,) = backtest(history, found).faults
    assert reason in fault
    assert not [path for path in found.rglob("*") if path.is_file()]


def test_a_damaged_archive_is_named(history: Path, found: Path) -> None:
    (history / "a.jsonl.gz").write_bytes(gzip.compress(written(lines(4, 300)))[:-20])
    (fault,) = backtest(history, found).faults
    assert re.match(r"a\.jsonl\.gz after line \d+: cannot be read", fault)


def test_an_empty_file_gives_empty_files(history: Path, found: Path) -> None:
    (history / "a.jsonl").touch()
    assert backtest(history, found).lines == 0
    assert (found / "a.jsonl").read_bytes() == (found / "merged" / "a.jsonl").read_bytes() == b""


def test_a_history_with_the_name_of_a_result_is_refused(history: Path, found: Path) -> None:
    (history / "web-merged").mkdir()
    for folder in ("web", "web-merged"):
        (history / folder / "a.jsonl").write_bytes(written(["x"]))
    with pytest.raises(Rejected, match=r"web-merged/a\.jsonl has the name of a result"):
        backtest(history, found)


def test_a_result_that_cannot_be_written_is_unavailable(history: Path, found: Path) -> None:
    (history / "web" / "a.jsonl").write_bytes(written(["x"]))
    found.mkdir()
    (found / "web-merged").write_text("in the way")
    with pytest.raises(Unavailable, match=r"web-merged/a\.jsonl cannot be written"):
        backtest(history, found)
