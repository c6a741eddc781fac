"""Commands over files and the database: keys, runbooks, policies, objectives, audit, backtest."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from runbooks import loader
from schemas.identity import Keyring, Signer
from sinks.audit import Audit
from sinks.database import opened
from streams.settings import Settings
from tests.story import fixed
from tests.streams.commands.conftest import Kept, Sentinel, one_line


def test_a_new_key_is_its_owners_alone_and_its_line_is_ready_to_paste(sentinel: Sentinel) -> None:
    said = sentinel("keys", "new", "oncall", "--out", "my.pem")
    assert said.status == 0
    assert stat.S_IMODE(Path("my.pem").stat().st_mode) == 0o600
    Path("sentinel.yaml").write_text(said.out)
    assert Settings.load().identity == Keyring(
        people={"oncall": Signer.load(Path("my.pem")).public}
    )


def test_a_key_is_never_overwritten(sentinel: Sentinel) -> None:
    sentinel("keys", "new", "oncall")
    before = Path("oncall.pem").read_bytes()
    said = sentinel("keys", "new", "oncall")
    assert (said.status, one_line(said)) == (
        1, "sentinel: oncall.pem exists: a key is never overwritten",
    )  # fmt: skip
    assert Path("oncall.pem").read_bytes() == before


def test_an_odd_name_makes_no_key(sentinel: Sentinel, bare: Path) -> None:
    assert sentinel("keys", "new", "on call").status == 2
    assert list(bare.iterdir()) == []


def broken_runbook(folder: Path) -> Path:
    """A copy of a shipped runbook with a key that nobody knows."""
    source = min(loader.SHIPPED.glob("*.yaml")).read_text()
    folder.mkdir()
    file = folder / "odd.yaml"
    file.write_text(source + "\nsurprise: 1\n")
    return file


def test_a_runbook_with_a_mistake_is_named_by_file_and_line(sentinel: Sentinel) -> None:
    file = broken_runbook(Path("books"))
    line = len(file.read_text().splitlines())
    said = sentinel("runbooks", "lint", "books")
    assert said.status == 1
    assert said.out.startswith(f"{file}:{line}: ")
    assert json.loads(sentinel("runbooks", "lint", "books", "--json").out)[0]["line"] == line


def test_a_runbook_with_a_mistake_starts_nothing(
    sentinel: Sentinel, monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    """`up` stops before topics, database and processes."""
    broken_runbook(bare / "books")
    monkeypatch.setenv("SENTINEL_FILES__RUNBOOKS", str(bare / "books"))
    said = sentinel("up")
    assert said.status == 1
    assert one_line(said).startswith("sentinel: runbooks: ")
    assert sorted(path.name for path in bare.iterdir()) == ["books"]


def test_the_shipped_files_are_without_mistakes(sentinel: Sentinel) -> None:
    assert sentinel("runbooks", "lint").status == 0
    assert sentinel("policy", "lint").status == 0
    assert sentinel("slo", "lint").status == 0
    assert "restart-service" in sentinel("runbooks", "list").out
    assert "99.9000%" in sentinel("slo", "list").out
    assert json.loads(sentinel("slo", "list", "--json").out)[0]["target"] == 0.999


def test_an_objective_with_a_mistake_is_named(sentinel: Sentinel) -> None:
    Path("slo.yaml").write_text("apiVersion: openslo/v1\nkind: SLO\n")
    said = sentinel("slo", "lint", "slo.yaml")
    assert said.status == 1
    assert said.out.startswith("slo.yaml")


def test_a_policy_that_does_not_parse_is_named_by_file_and_line(sentinel: Sentinel) -> None:
    Path("policies").mkdir()
    Path("policies/bad.rego").write_text("package sentinel.policy\n\nanswer := {\n")
    said = sentinel("policy", "lint", "policies")
    assert said.status == 1
    assert said.out.startswith("policies/bad.rego:")


def test_a_policy_is_tried_on_a_plan_of_the_database(kept: Kept, sentinel: Sentinel) -> None:
    said = sentinel("policy", "eval", kept.decision.plan.hash[:8], "--environment", "moon")
    assert said.status == 0
    assert said.out.startswith("scale-out in moon: ")
    assert "judged by regopy " in said.out


def test_a_policy_is_tried_on_a_plan_in_a_file(kept: Kept, sentinel: Sentinel) -> None:
    """As `tail plans --json` writes it."""
    Path("plan.json").write_text(kept.decision.plan.model_dump_json())
    by_file = json.loads(sentinel("policy", "eval", "plan.json", "--json").out)
    by_hash = json.loads(sentinel("policy", "eval", kept.decision.plan.hash, "--json").out)
    assert by_file["rules"] == by_hash["rules"] != []


@pytest.mark.parametrize(
    ("content", "line"),
    [("{}", "plan.json holds no plan: at: Field required"), (None, "plan.json: no such file")],
)
def test_a_file_without_a_plan_is_named(sentinel: Sentinel, content: str | None, line: str) -> None:
    if content is not None:
        Path("plan.json").write_text(content)
    said = sentinel("policy", "eval", "plan.json")
    assert (said.status, one_line(said)) == (1, f"sentinel: {line}")


def test_the_audit_says_how_many_records_are_whole(kept: Kept, sentinel: Sentinel) -> None:
    audit = Audit("sqlite:///sentinel.db", Path("data/audit.checkpoint"))
    audit.append(fixed().said)
    audit.close()
    said = sentinel("audit", "verify")
    assert (said.status, said.out.split(",")[0]) == (0, f"ok: {len(fixed().said)} records")


def test_the_audit_names_the_first_bad_record(kept: Kept, sentinel: Sentinel) -> None:
    audit = Audit("sqlite:///sentinel.db", Path("data/audit.checkpoint"))
    audit.append(fixed().said)
    audit.close()
    engine = opened("sqlite:///sentinel.db", writing=True)
    with engine.begin() as connection:  # as somebody with the file would do it
        for (trigger,) in connection.execute(
            text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        ).all():
            connection.execute(text(f"DROP TRIGGER {trigger}"))
        connection.execute(text("UPDATE audit SET body = '{}' WHERE number = 3"))
    engine.dispose()
    said = sentinel("audit", "verify")
    assert said.status == 1
    assert one_line(said).startswith("not whole: first bad record: 3: record 3 was changed")
    assert json.loads(sentinel("audit", "verify", "--json").out)["first_bad"] == 3


def test_a_lost_checkpoint_is_accepted_by_a_person_only(kept: Kept, sentinel: Sentinel) -> None:
    audit = Audit("sqlite:///sentinel.db", Path("data/audit.checkpoint"))
    audit.append(fixed().said)
    audit.close()
    Path("data/audit.checkpoint").unlink()
    assert sentinel("audit", "verify").status == 1
    assert sentinel("audit", "adopt").status == 2
    assert sentinel("audit", "adopt", "--yes").status == 0
    assert sentinel("audit", "verify").status == 0


def test_a_backtest_scores_a_folder(sentinel: Sentinel) -> None:
    Path("in").mkdir()
    start = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    table = "\n".join(f"{start + 60 * n},{5 + n % 3}" for n in range(50))
    Path("in/a.csv").write_text(f"timestamp,value\n{table}\n")
    said = sentinel("backtest", "in", "out", "--json")
    assert said.status == 0
    assert json.loads(said.out)["samples"] == 50
    assert len(Path("out/a.csv").read_text().splitlines()) == 51


def test_a_backtest_of_nothing_is_one_line(sentinel: Sentinel) -> None:
    said = sentinel("backtest", "in", "out")
    assert said.status == 1
    assert one_line(said) == "sentinel: in is no folder: name the folder that holds the history"
