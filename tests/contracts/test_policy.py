"""One contract for both evaluators: regopy in process and a real OPA server answer alike."""

import copy
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbooks.opa import Opa
from runbooks.opa_settings import OpaSettings
from runbooks.rego import EXAMPLE, SHIPPED, Rego
from schemas.errors import Rejected

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.opa, pytest.mark.timeout(600)]  # the first time OPA is built

FREEZES = """\
sentinel:
  config:
    executors: [http]
    unattended: {environments: [development, staging], risks: [low, medium]}
    guarded: {environments: [production]}
    approvers: [ana, bo]
    approval_expires_s: 60.5
    start_within_s: 30
    freezes:
      - {name: sales, environments: [production],
         from: "2026-12-20T00:00:00Z", until: "2027-01-05T00:00:00Z"}
    weekly_freezes:
      - {name: evening, environments: [staging], weekdays: [fri], from_hour: 16, until_hour: 24}
"""
UNREADABLE = FREEZES.replace('"2026-12-20T00:00:00Z"', "soon")


@pytest.fixture(scope="session")
def opa_binary() -> str:
    """A real OPA. Without Go it cannot be had: said loudly, and in CI a failure."""
    built = subprocess.run(
        [ROOT / "deploy/dev/opa.sh"], capture_output=True, text=True, timeout=590, check=False
    )
    if built.returncode and shutil.which("go") is None and os.environ.get("CI") != "true":
        pytest.skip(f"OPA IS NOT TESTED: {built.stderr.strip()}")
    assert built.returncode == 0, built.stderr
    return built.stdout.strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether the server is up, within a minute; False when it has ended."""
    deadline = time.monotonic() + 60
    pause = httpx.Client(transport=httpx.HTTPTransport(retries=3), trust_env=False)
    with pause as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(f"{url}/health").status_code == 200:
                    return True
            except httpx.TransportError:
                continue
    return False


def started(binary: str, folder: Path, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """An OPA with the folder's policies; another port when ours was taken meanwhile."""
    for _ in range(3):
        url = f"http://127.0.0.1:{free_port()}"
        command = [binary, "run", "--server", "--skip-version-check"]
        command += ["--addr", url.removeprefix("http://"), str(folder)]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        if answers(url, process):
            return process, url
        process.kill()
        process.wait()
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module", params=["shipped", "freezes", "unreadable"])
def both(
    request: pytest.FixtureRequest, opa_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Rego, Opa]]:
    """The two evaluators over the same folder."""
    folder = tmp_path_factory.mktemp("policies")
    for file in SHIPPED.iterdir():
        shutil.copy(file, folder)
    if request.param != "shipped":
        data = {"freezes": FREEZES, "unreadable": UNREADABLE}[request.param]
        (folder / "data.yaml").write_text(data)
    log = tmp_path_factory.mktemp("opa") / "opa.log"
    process, url = started(opa_binary, folder, log)
    try:
        with closing(Opa(OpaSettings(url=url, timeout_s=10))) as client:
            yield Rego(folder), client
    finally:
        process.terminate()
        process.wait(timeout=60)


def ordered(value: object) -> object:
    """Sets come as lists in any order."""
    if isinstance(value, dict):
        return {key: ordered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted((ordered(inner) for inner in value), key=repr)
    return value


def asked(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    made = copy.deepcopy(EXAMPLE)
    change(made)
    return made


def drop(*path: str) -> Callable[[dict[str, Any]], object]:
    def change(document: dict[str, Any]) -> None:
        inner: Any = document
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return change


PLAIN: list[dict[str, Any]] = [
    asked(lambda d, e=environment, r=risk, dry=dry, t=times: d.update(  # type: ignore[misc]
        environment=e, plan=d["plan"] | {"risk": r, "dry_run": dry}, **t))
    for environment in ("development", "staging", "production", "moon", "")
    for risk in ("low", "medium", "high")
    for dry in (False, True)
    for times in (
        {"now": "2026-03-06T15:59:59Z", "hour": 15, "weekday": "fri"},
        {"now": "2026-12-25T17:00:00Z", "hour": 17, "weekday": "fri"},
    )
]  # fmt: skip
STEP = EXAMPLE["plan"]["steps"][0]  # type: ignore[index]
ODD: list[dict[str, Any]] = [
    asked(lambda d: d["plan"].update(steps=[])),
    asked(lambda d: d["plan"].update(blast_radius=[])),
    asked(lambda d: d["plan"].update(blast_radius=["bank", "shop"])),
    asked(lambda d: d["plan"].update(steps=[STEP, {**STEP, "name": "b", "touches": "bank"}])),
    asked(lambda d: d["plan"].update(steps=[{**STEP, "executors": ["http", "shell"]}])),
    asked(lambda d: d["plan"].update(steps=[{**STEP, "executors": ["a", "b"]}] * 2)),
    asked(lambda d: d["plan"].update(steps=[{k: v for k, v in STEP.items() if k != "touches"}])),
    asked(lambda d: d["plan"].update(steps=[{k: v for k, v in STEP.items() if k != "name"}])),
    asked(lambda d: d["plan"].update(steps=[{**STEP, "executors": []}])),
    asked(lambda d: d["plan"].update(steps=[{**STEP, "touches": 7}])),
    asked(lambda d: d["plan"].update(steps=[{}])),
    asked(lambda d: d["plan"].update(steps=["scale"])),
    asked(lambda d: d["plan"].update(steps={"a": STEP})),
    asked(lambda d: d["plan"].update(steps="scale")),
    asked(lambda d: d["plan"].update(risk=None)),
    asked(lambda d: d["plan"].update(dry_run="true")),
    asked(lambda d: d.update(environment=["staging"])),
    asked(lambda d: d.update(environment=7)),
    asked(lambda d: d.update(hour="12", now=12)),
    asked(drop("plan")),
    asked(drop("plan", "steps")),
    asked(drop("plan", "blast_radius")),
    asked(drop("plan", "dry_run")),
    asked(drop("environment")),
    asked(drop("now")),
    asked(drop("weekday")),
    {},
]


HOSTILE = [
    '"', "\\", '\\"', "\n", "\x00", 'a"b\\c', "`", "{{params.x}}", "%s %d %v", "${x}", "a\x00shop", "\x1b",
    '"}, {"id": "x", "effect": "allow', "shop\x00bank", "\u2028", "input.plan", "data.sentinel", "'",
]  # fmt: skip


def said(evaluator: Rego | Opa, document: dict[str, Any]) -> object:
    try:
        return ordered(evaluator.evaluate(document))
    except Rejected as error:
        return "undefined" if "undefined" in str(error) else str(error)


def test_both_evaluators_give_the_same_answers(both: tuple[Rego, Opa]) -> None:
    rego, opa = both
    for document in (*PLAIN, *ODD):
        assert said(rego, document) == said(opa, document), document
    effects = {
        rule["effect"]
        for document in PLAIN
        for rule in rego.evaluate(document)["rules"]  # type: ignore[index]
    }
    assert effects >= {"allow", "approve", "constrain"}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])) | st.sampled_from(HOSTILE))
def test_a_text_from_outside_reads_the_same_in_both(both: tuple[Rego, Opa], text: str) -> None:
    """Names that come from labels turn up in reasons, whole, and change no effect."""
    rego, opa = both
    document = asked(lambda d: d["plan"].update(steps=[{**STEP, "touches": text, "name": text}]))
    assert said(rego, document) == said(opa, document)
    renamed = asked(lambda d: d.update(incident=d["incident"] | {"service": text}))
    assert said(rego, renamed) == said(rego, EXAMPLE)


def test_the_policies_pass_their_own_tests_and_opas_strict_check(opa_binary: str) -> None:
    for command in (["test"], ["check", "--strict"], ["fmt", "--fail", "--list"]):
        done = subprocess.run(
            [opa_binary, *command, SHIPPED], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
