"""The generated folder: every file of it is taken by the loader that Sentinel uses."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from executors.registry import targets
from runbooks import loader, objectives
from runbooks.topology import load_topology
from schemas.errors import Rejected
from streams.demo.mode import Mode
from streams.demo.site import (
    APPROVER,
    RUNBOOK,
    Controls,
    Site,
    approve_command,
    build,
    shortened,
)
from streams.settings import Settings

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
URLS = {name: f"http://127.0.0.1:{9000 + n}" for n, name in enumerate(("workers", "batch"))}


def site(folder: Path, mode: Mode = Mode.fix) -> Site:
    return build(
        folder, brokers="127.0.0.1:9092", controls=Controls(URLS, "secret"), mode=mode, now=NOW
    )


def settings(made: Site) -> Settings:
    return Settings.load({"SENTINEL_CONFIG": str(made.settings)})


def test_the_objective_is_an_hour_that_begins_now_with_an_alert_that_can_fire(
    tmp_path: Path,
) -> None:
    loaded = objectives.load(settings(site(tmp_path)).files.slo)
    (objective,) = loaded.objectives
    assert loaded.notes == ()
    assert objective.service == "checkout"
    assert objective.period.bounds(NOW) == (
        NOW.replace(microsecond=0),
        NOW.replace(microsecond=0) + timedelta(hours=1),
    )
    (alert,) = objective.alerts
    assert alert.factor < 1 / objective.epsilon


def test_the_runbooks_are_the_shipped_ones_but_for_one_verification(tmp_path: Path) -> None:
    folder = settings(site(tmp_path)).files.runbooks
    for file in sorted(loader.SHIPPED.glob("*.yaml")):
        shipped, copied = (
            yaml.safe_load((d / file.name).read_text()) for d in (file.parent, folder)
        )
        if file.stem == RUNBOOK:
            assert copied.pop("verification") == {"within": "40s", "stable": "4s"}
            del shipped["verification"]
        assert copied == shipped


def test_the_runbooks_load_with_the_targets_of_the_settings(tmp_path: Path) -> None:
    made = settings(site(tmp_path))
    allowed = targets(made.executor)
    assert allowed["http"] == URLS.keys()
    assert RUNBOOK in [runbook.name for runbook in loader.load(made.files.runbooks, allowed)]


def test_all_services_of_the_shop_are_one_group(tmp_path: Path) -> None:
    path = settings(site(tmp_path)).files.topology
    assert path is not None
    groups = load_topology(path).groups()
    assert groups.keys() == {"checkout", "shop-queue", "shop-worker", "shop-batch"}
    assert len(set(groups.values())) == 1


@pytest.mark.parametrize(
    ("mode", "environment", "dry_run", "people"),
    [
        (Mode.fix, "staging", False, []),
        (Mode.break_fix, "staging", False, []),
        (Mode.dry_run, "staging", True, []),
        (Mode.manual, "production", False, [APPROVER]),
    ],
)
def test_each_mode_has_its_settings(
    tmp_path: Path,
    mode: Mode,
    environment: str,
    dry_run: bool,  # noqa: FBT001 - a table's column
    people: list[str],
) -> None:
    made = settings(site(tmp_path, mode))
    assert made.environment == environment
    assert made.dry_run is dry_run
    assert list(made.identity.people) == people


def test_nobody_else_can_read_the_token_and_the_key(tmp_path: Path) -> None:
    made = site(tmp_path, Mode.manual)
    assert made.key is not None
    for path in (made.settings, made.key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_command_to_approve_says_who_with_which_key_and_what(tmp_path: Path) -> None:
    made = site(tmp_path, Mode.manual)
    command = approve_command(made, incident="inc-1").split()
    assert command[:3] == [
        f"SENTINEL_CONFIG={made.settings}",
        f"SENTINEL_IDENTITY={APPROVER}",
        f"SENTINEL_IDENTITY_KEY={made.key}",
    ]
    assert command[-2:] == ["approve", "inc-1"]


def test_a_shipped_runbook_of_another_shape_is_not_guessed_about(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="has 0 lines `verification:`"):
        shortened("name: relieve-queue\n", tmp_path)
