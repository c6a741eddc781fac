"""The promises of the command line as a whole."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from typer.core import TyperCommand

from schemas.errors import Unavailable
from streams import cli
from streams.cli import COMMANDS, main
from tests.streams.commands.conftest import Sentinel, one_line

HEAVY = ("faust", "numba", "river", "prophet", "matplotlib", "sqlalchemy", "pydantic", "pyarrow")


def test_help_loads_none_of_the_heavy_libraries() -> None:
    code = f"""
import sys
from streams.cli import main
assert main(["--help"]) == 0
print([name for name in {HEAVY} if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
    assert all(f"  {entry.name} " in ran.stdout for entry in COMMANDS)


@pytest.mark.parametrize("name", [entry.name for entry in COMMANDS])
def test_every_command_explains_itself(sentinel: Sentinel, name: str) -> None:
    said = sentinel(name, "--help")
    assert said.status == 0
    assert f"Usage: sentinel {name}" in said.out
    command = cli.load(name)
    leaves = getattr(command, "commands", {name: command}).values()
    assert all("xample" in leaf.epilog and leaf.help for leaf in leaves)


def test_help_is_plain_text_when_nobody_looks(sentinel: Sentinel) -> None:
    """Pipes get no boxes and no colours."""
    assert sentinel("tail", "--help").out.isascii()


def test_no_command_shows_what_there_is(sentinel: Sentinel) -> None:
    said = sentinel()
    assert said.status == 2
    assert "incidents" in said.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("incidnts",), "sentinel: No such command 'incidnts'. Did you mean 'incidents'?"),
        (("--nope",), "sentinel: No such option: --nope"),
        (("incidents", "list", "--status", "odd"), "sentinel incidents list: Invalid value"),
        (("tail",), "sentinel tail: Missing argument"),
        (("tail", "nothing"), "sentinel tail: Invalid value: no topic 'nothing'; there are anom"),
        (("tail", "samples", "--incident", "x"), "sentinel tail: Invalid value: samples.v1 is not"),
        (("worker", "fly"), "sentinel worker: Invalid value: no stage fly; there are intake, de"),
        (("up", "--without", "fly"), "sentinel up: Invalid value: no stage fly; there are intake"),
        (("approve", "inc-1"), "sentinel approve: Invalid value: say who you are: --as NAME"),
        (("bridge", "--interval", "soon"), "sentinel bridge: Invalid value: 'soon' is no length"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    sentinel: Sentinel, arguments: tuple[str, ...], line: str
) -> None:
    said = sentinel(*arguments)
    assert said.status == 2
    assert one_line(said).startswith(line)


@pytest.mark.parametrize(
    "arguments",
    [("topics", "list"), ("topics", "create"), ("tail", "plans"), ("worker", "clock"), ("bridge",)],
)
def test_no_broker_is_one_line_and_status_1(
    sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SENTINEL_KAFKA__BROKERS", "127.0.0.1:1")
    said = sentinel(*arguments)
    assert said.status == 1
    assert one_line(said).startswith("sentinel: no Kafka at 127.0.0.1:1")
    assert "SENTINEL_KAFKA__BROKERS" in said.err


def test_an_unknown_setting_is_refused_with_the_known_ones(
    sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTINEL_KAFKA__BROKRS", "127.0.0.1:1")
    said = sentinel("topics", "list")
    assert said.status == 1
    assert "unknown setting; known here: brokers" in one_line(said)


def raising(error: BaseException) -> Callable[[str], Any]:
    """What `cli.load` would load: a command that fails so."""

    def fail() -> None:
        raise error

    return lambda name: TyperCommand(name, callback=fail)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Unavailable("the moon is away"), "sentinel: the moon is away"),
        (KeyboardInterrupt(), "sentinel: interrupted"),
        (
            ZeroDivisionError("by\nnought"),
            "sentinel: ZeroDivisionError: by nought (a fault of Sentinel's: `sentinel --debug ...`)",
        ),
    ],
)
def test_a_failure_is_one_line_and_status_1(
    sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch, error: BaseException, line: str
) -> None:
    monkeypatch.setattr(cli, "load", raising(error))
    said = sentinel("doctor")
    assert said.status == 1
    assert said.err.strip() == line


@pytest.mark.parametrize("error", [Unavailable("away"), ZeroDivisionError("by nought")])
def test_debug_shows_where_a_failure_comes_from(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(cli, "load", raising(error))
    with pytest.raises(type(error)):
        main(["--debug", "doctor"])
