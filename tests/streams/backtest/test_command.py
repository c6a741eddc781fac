"""`sentinel backtest` as a person types it."""

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from schemas.anomalies import Anomaly
from streams.backtest.summary import LABELLED, PLAIN
from streams.cli import main
from streams.commands import backtest as command
from tests.agents.scorer.series import flat


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    at, value = flat(400)
    value[300] += 40
    Path("in").mkdir()
    rows = "".join(f"{t},{v},{int(n == 300)}\n" for n, (t, v) in enumerate(zip(at, value)))  # noqa: B905 - the same length
    Path("in/a.csv").write_text("timestamp,value,label\n" + rows)
    return Path("in")


def test_a_person_gets_a_table_and_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "in", "out"]) == 0
    said = capsys.readouterr()
    head, total, one, *rest = said.out.splitlines()
    assert head.split()[:8] == [
        "series",
        "samples",
        "alarms",
        "highest",
        "events",
        "found",
        "false",
        "precision",
    ]
    assert total.split()[:4] == ["1", "series", "400", "1"]
    assert one.split()[:3] == ["a.csv", "400", "1"]
    assert rest[-1] == "pictures: out/index.html"
    assert Path("out/pictures/a.png").exists()
    assert said.err == ""


@pytest.mark.parametrize(
    ("width", "left_out"),
    [(200, set()), (80, {"samples", "highest", "AP"}), (20, {"samples", "AP", "delay"})],
)
def test_a_narrow_terminal_gets_what_matters_most(
    width: int, left_out: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a figure broken over two lines; names, events, false alarms to the last."""
    head = ("series", *PLAIN[1:], *LABELLED)
    body = [tuple("0.123" for _ in head)]
    terminal = Console(force_terminal=True, width=width)
    monkeypatch.setattr(command, "console", lambda: terminal)
    kept, rows = command._fitting(head, body)
    assert not left_out & set(kept)
    assert {"series", "events", "false", "precision", "recall"} <= set(kept)
    assert len(rows[0]) == len(kept)
    if width == 200:
        assert (list(kept), rows) == (list(head), [list(row) for row in body])


def test_a_program_gets_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "in", "out", "--json", "--no-pictures"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["quality"]["recall"] == 1.0
    assert said["found"][0]["alarmed"][0]["kind"] == "spike"
    assert said["found"][0]["quality"]["events"] == 1
    assert not Path("out/index.html").exists()


def test_a_bad_file_is_told_and_the_status_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in/b.csv").write_text("timestamp,value\n1,x\n")
    assert main(["backtest", "in", "out", "--no-pictures"]) == 1
    assert capsys.readouterr().err == "left out: b.csv line 2: value 'x' is no number\n"
    assert Path("out/a.csv").exists()


def test_a_model_of_rivers_is_named_with_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = (
        "{model: compose.Pipeline, args: [{model: preprocessing.MinMaxScaler},"
        " {model: anomaly.HalfSpaceTrees, params: {seed: 1, n_trees: 3}}]}"
    )
    for model in (
        ["--model", pipeline],
        ["--model", "anomaly.HalfSpaceTrees", "--param", "n_trees=3", "--param", "seed=1"],
    ):
        threshold = ["--threshold", "0.9"]
        assert main(["backtest", "in", "out", "--json", "--no-pictures", *model, *threshold]) == 0
        assert json.loads(capsys.readouterr().out)["detector"].endswith("alarms from 0.9")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threshold", "2"], "belong to a --model"),
        (["--model", "os.system"], "river has no os.system"),
        (["--model", "anomaly.HalfSpaceTrees", "--param", "n_trees"], "'n_trees' is not KEY=VALUE"),
        (["--model", "anomaly.HalfSpaceTrees", "--param", "x=1"], "cannot be built"),
        (["--model", "{name: x}"], "unknown key 'name'"),
        (["--model", "{model: ["], "--model"),
        (["--timezone", "Mars/Crater"], "'Mars/Crater' is no time zone"),
        (["--pictures", "many"], "many"),
    ],
)
def test_wrong_use_is_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", "in", "out", *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not Path("out").exists()


def test_labels_that_are_not_there_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "in", "out", "--labels", "none.csv"]) == 1
    assert capsys.readouterr().err.startswith("sentinel: none.csv cannot be read: ")


def test_help_defines_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "A false alarm begins outside of every event." in out
    assert "--labels incidents.csv" in out


def test_the_page_on_detection_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Fields of an anomaly, and options of the command."""
    page = (Path(__file__).parents[3] / "docs" / "detection.md").read_text()
    table = page.split("## How to read an anomaly")[1].split("\n## ")[0]
    firsts = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    fields = [name for first in firsts for name in re.findall(r"`(\w+)`", first)]
    assert len(fields) > 12
    assert set(fields) <= set(Anomaly.model_fields)
    assert main(["backtest", "--help"]) == 0
    offered = set(re.findall(r"--[a-z]+", capsys.readouterr().out))
    commands = "".join(re.findall(r"```\n(.*?)```", page, re.DOTALL))
    asked = set(re.findall(r" (--[a-z]+)", commands)) - {"--data"}  # curl's
    assert asked
    assert asked <= offered
