"""The catalogue: what is shipped is sound, and what is wrong is said with file and line."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from runbooks.loader import SHIPPED, lint, load
from runbooks.resolve import blast_radius, resolved, values_for
from schemas.errors import Rejected
from schemas.event import Severity

GOOD = """\
apiVersion: sentinel/v1
kind: Runbook
name: widen
version: 3
owner: shop-team
description: More of it.
services: [shop]
risk: low
blast_radius: [shop]
environments: [staging]
params:
  replicas: {type: integer, min: 1, max: 8, default: 2, by_severity: {high: 4}}
  pause: {type: duration, min: 1s, max: 5m, default: 30s}
when:
  any:
    - {name: "*depth*", direction: up}
steps:
  - name: scale
    summary: Have {{params.replicas}}
    touches: shop
    use: http
    precheck:
      call: {target: shop, method: GET, path: /state}
      expect: replicas < {{params.replicas}}
    observe: {target: shop, method: GET, path: /state}
    do:
      target: shop
      method: POST
      path: /scale
      json: {replicas: "{{params.replicas}}", pause: "{{params.pause}}"}
    undo: {target: shop, method: POST, path: /scale, json: {replicas: "{{before.replicas}}"}}
    timeout: 30s
verification: {within: 5m, stable: 30s}
"""


@pytest.fixture
def problems(tmp_path: Path) -> Callable[..., list[str]]:
    """Lints GOOD after replacements, and says the problems without the folder."""

    def lint_with(*replacements: tuple[str, str]) -> list[str]:
        text = GOOD
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new, 1)
        (tmp_path / "widen.yaml").write_text(text)
        return [str(p).removeprefix(f"{tmp_path}/") for p in lint(tmp_path, {"http"})]

    return lint_with


def test_the_shipped_runbooks_are_sound() -> None:
    assert lint(SHIPPED, {"http"}) == []
    names = [runbook.name for runbook in load(SHIPPED, {"http"})]
    assert names == ["enable-degraded-mode", "relieve-queue", "restart-service"]


def test_relieving_the_queue_scales_then_throttles_then_clears() -> None:
    """Calls as the demo shop's control surface takes them; sizes grow with severity, bounded."""
    runbook = next(r for r in load(SHIPPED, {"http"}) if r.name == "relieve-queue")
    sent = {}
    for severity in Severity:
        values = values_for(runbook, incident="inc-1", service="checkout", severity=severity)
        steps = resolved(runbook, values)
        calls = [orjson.loads(step.do.arguments) for step in steps]
        assert [(c["target"], c["path"]) for c in calls] == [
            ("shop-workers", "/control/scale"),
            ("shop-batch", "/control/throttle"),
            ("shop-queue", "/control/clear"),
        ]
        assert {step.touches for step in steps} == set(blast_radius(runbook, values))
        sent[severity] = [c["json"] for c in calls]
    assert sent[Severity.low] == [{"replicas": 4}, {"per_second": 2}, {"source": "shop-batch"}]
    assert sent[Severity.critical] == [{"replicas": 6}, {"per_second": 1}, {"source": "shop-batch"}]


def test_a_good_runbook_resolves_with_types_kept(
    tmp_path: Path, problems: Callable[..., list[str]]
) -> None:
    assert problems() == []
    (runbook,) = load(tmp_path, {"http"})
    values = values_for(runbook, incident="inc-1", service="shop", severity=Severity.critical)
    (step,) = resolved(runbook, values)
    assert orjson.loads(step.do.arguments)["json"] == {"replicas": 4, "pause": 30}
    assert step.precheck is not None
    assert step.precheck.expect == "replicas < 4"
    assert step.summary == "Have 4"
    assert step.undo is not None
    assert orjson.loads(step.undo.arguments)["json"] == {"replicas": "{{before.replicas}}"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("owner: shop-team\n", "", "widen.yaml:1: owner: is missing"),
        ("owner:", "onwer:", "widen.yaml:5: onwer: unknown key: remove it or correct its spelling"),
        ("version: 3", "version: one", "widen.yaml:4: version: Input should be a valid integer"),
        ("name: widen", "name: Widen It", "widen.yaml:3: name: String should match pattern"),
        ("risk: low", "risk: none", "widen.yaml:8: risk: Input should be 'low', 'medium' or 'high'"),
        ("default: 2", "default: 9", "widen.yaml:12: params.replicas: 9 is outside 1 to 8"),
        ("high: 4", "high: 80", "widen.yaml:12: params.replicas: 80 is outside 1 to 8"),
        ("high: 4", "urgent: 4", "Input should be 'low', 'medium', 'high' or 'critical'"),
        ("default: 2", "default: '2'", "params.replicas.default: Input should be a valid"),
        ("default: 2", "default: true", "params.replicas.default: Input should be a valid"),
        ("type: integer", "type: whole", "does not match any of the expected tags"),
        ("default: 30s", "default: 30", "params.pause.default: must be a duration"),
        ("default: 30s", "default: 9m", "params.pause: 540.0 is outside 1.0 to 300.0"),
        ('    - {name: "*depth*", direction: up}', "    []", "when: needs conditions on signals"),
        ("direction: up", "direction: upwards", "when.any.0.direction: Input should be 'up' or"),
        ("use: http", "use: shell", "widen.yaml:21: steps.0.use: unknown executor 'shell'; there are"),
        ("touches: shop", "touches: bank", "widen.yaml:20: steps.0.touches: 'bank' is not in blast"),
        ("< {{params.replicas}}", "< {{params.x}}", "steps.0.precheck.expect: unknown placeholder"),
        ("replicas < ", "open('x') < ", "widen.yaml:18: steps.0: a check knows no calls"),
        ("replicas < {{params.replicas}}", "replicas", None),
        ('{replicas: "{{params.r', '{replicas: "{{parms.r', "steps.0.do: unknown placeholder parms"),
        ("{{before.replicas}}", "{{before.a b}}", "widen.yaml:31: steps.0.undo: '{{before.a b}}'"),
        ("{{before.replicas}}", "{{params.replicas}}", None),
        ("path: /scale\n", "path: /{{before.x}}\n", "only undo may use the state before"),
        ("observe: {target: shop, method: GET, path: /state}\n    ", "", "only undo may use the"),
        ("method: GET", "method: POST", "widen.yaml:23: steps.0.precheck.call: must only read"),
        ("path: /scale\n", "path: scale\n", "steps.0.do: path must begin with /"),
        ("method: POST\n", "methode: POST\n", "steps.0.do: needs method"),
        ("method: POST\n", "methode: POST\n", "steps.0.do: has unknown methode"),
        ("timeout: 30s", "timeout: soon", "steps.0.timeout: 'soon' is no duration"),
        ("stable: 30s", "stable: 6m", "widen.yaml:33: verification.stable: is longer than"),
        ('pause: "{{params.pause}}"', "x: 1", "widen.yaml:13: params.pause: no step uses it"),
        ("owner: shop-team", "owner: a\nowner: b", "widen.yaml:6: key 'owner' is there twice"),
        ("owner: shop-team", "owner: [", "widen.yaml:7: is no YAML"),
        ("owner: shop-team", "owner: &a b", None),
        ("services: [shop]", "services: &a [shop]\nx: *a", "widen.yaml:8: alias *a: write it out"),
        ('"{{params.pause}}"', "{{params.pause}}", "widen.yaml:30: a key must be plain text"),
        ("description: More of it.", "description: 2026-01-01", "widen.yaml:6: description: Input"),
        ("path: /scale\n", "path: 2026-01-01\n", "steps.0.do.path: "),
    ],
)  # fmt: skip
def test_a_fault_is_one_clear_line(
    problems: Callable[..., list[str]], old: str, new: str, expected: str | None
) -> None:
    """None: the change is fine, so that the faults beside it are not there by accident."""
    found = problems((old, new))
    if expected is None:
        assert found == []
        return
    assert any(expected in line for line in found), found
    assert all("\n" not in line and line.startswith("widen.yaml:") for line in found)


UNDO = '    undo: {target: shop, method: POST, path: /scale, json: {replicas: "{{before.replicas}}"}}\n'


def test_every_step_is_undone_or_says_why_not(problems: Callable[..., list[str]]) -> None:
    assert problems((UNDO, "")) == ["widen.yaml:18: steps.0.undo: is missing"]
    assert "needs a `because`" in problems((UNDO, "    undo: none\n"))[0]
    assert "must be the call" in problems((UNDO, "    undo: nothing\n"))[0]
    assert "must be the call" in problems((UNDO, "    undo:\n"))[0]
    assert problems((UNDO, "    undo: none\n    because: It only adds.\n")) == []
    assert "and only that does" in problems((UNDO, UNDO + "    because: It only adds.\n"))[0]


def test_names_are_given_once(tmp_path: Path, problems: Callable[..., list[str]]) -> None:
    step = GOOD[GOOD.index("  - name: scale") : GOOD.index("verification")]
    assert problems((step, step + step)) == [
        "widen.yaml:18: steps.0.name: 'scale' is there twice",
        "widen.yaml:33: steps.1.name: 'scale' is there twice",
    ]
    assert problems() == []
    (tmp_path / "zz.yml").write_text(GOOD)
    assert [str(p) for p in lint(tmp_path, {"http"})] == [
        f"{tmp_path}/zz.yml:3: runbook 'widen' is in widen.yaml too: rename one"
    ]


def test_a_text_parameter_needs_a_limit(problems: Callable[..., list[str]]) -> None:
    pause = "pause: {type: duration, min: 1s, max: 5m, default: 30s}"
    assert (
        "needs a `pattern` or an `enum`"
        in problems((pause, "pause: {type: string, default: a}"))[0]
    )
    text = "pause: {type: string, default: a, pattern: '[a-c]+'}"
    assert problems((pause, text)) == []
    assert "'d' does not match" in problems((pause, text.replace("default: a", "default: d")))[0]
    assert "no regular expression" in problems((pause, text.replace("[a-c]+", "[")))[0]
    assert (
        "is none of b, c" in problems((pause, "pause: {type: string, default: a, enum: [b, c]}"))[0]
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "a.yaml:1: is empty"),
        (b"\xff\xfe\xfa", "a.yaml:1: is no YAML"),
        (b"- 1\n", "a.yaml:1: runbook: Input should be a valid dictionary"),
        (b"a: 1\n---\nb: 2\n", "a.yaml:2: is no YAML"),
        (b"a: !!python/object/apply:os.system [id]\n", "a.yaml:1: is no YAML"),
        (b"[" * 5000, "a.yaml:1: is no YAML"),
        (b"? [a]\n: 1\n", "a.yaml:1: a key must be plain text"),
    ],
)
def test_a_file_that_is_no_runbook_is_one_line(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    found = [str(p).removeprefix(f"{tmp_path}/") for p in lint(tmp_path, {"http"})]
    assert found
    assert found[0].startswith(expected), found


def test_one_fault_refuses_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text("kind: Runbook\n")
    with pytest.raises(Rejected, match=r"b\.yaml:1: apiVersion: is missing"):
        load(tmp_path, {"http"})


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="holds no runbook"):
        load(tmp_path, {"http"})
