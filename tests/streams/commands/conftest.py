"""The command line as a person meets it: in an empty folder, with nothing set."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from schemas.identity import Signer
from schemas.plans import Decision
from sinks.store import Store
from streams.cli import main
from tests.story import Script, fixed


class Said(NamedTuple):
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


Sentinel = Callable[..., Said]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, and no setting in the environment."""
    for name in os.environ:
        if name.startswith("SENTINEL_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sentinel(bare: Path, capsys: pytest.CaptureFixture[str]) -> Sentinel:
    """Runs `sentinel ...` in this process."""

    def run(*arguments: str) -> Said:
        status = main(arguments)
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return run


class Kept(NamedTuple):
    """A database with one incident that was fixed and one whose plan waits for `oncall`."""

    fixed: Script
    open: Script
    decision: Decision
    key: Path


@pytest.fixture
def kept(bare: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Two stories in the database of the settings, and the key of `oncall`, who is known."""
    url = f"sqlite:///{bare / 'sentinel.db'}"
    monkeypatch.setenv("SENTINEL_DATABASE__URL", url)
    key = bare / "oncall.pem"
    signer = Signer.generate()
    signer.save(key)
    (bare / "sentinel.yaml").write_text(
        f'identity: {{people: {{oncall: "{signer.public}"}}}}\n', encoding="utf-8"
    )
    done, waiting = fixed("done"), Script("waits")
    decision = waiting.decision(
        4,
        waiting.proposed(),
        "approve",
        approvals_needed=1,
        approvers=("oncall",),
        expires_at=datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1),
    )
    with Store(url) as store:
        store.keep(done.positions())
        store.keep(waiting.positions(100))
    return Kept(done, waiting, decision, key)


def one_line(said: Said) -> str:
    """The one line of an error; fails when there is more or less."""
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.count("\n") == 1, said.err
    return said.err.strip()
