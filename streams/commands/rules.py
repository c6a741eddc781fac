"""`sentinel rules`: the static limits, and whether they are written without mistakes."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import Rejected
from streams.commands.terminal import Json, as_json, rows, say

if TYPE_CHECKING:
    from runbooks.thresholds import Rule

app = typer.Typer(help="Check and list static limits.", no_args_is_help=True)
Where = Annotated[Path | None, typer.Argument(help="YAML file of rules.  [default: files.rules]")]


@app.command("check", epilog="Example: sentinel rules check ops/rules.yaml")
def check(where: Where = None) -> None:
    """Say the first mistake with rule and field; exit status 2 when there is one."""
    path, found = _loaded(where)
    say(f"{len(found)} rules in {path}, no mistakes")


@app.command("list", epilog="Example: sentinel rules list --json")
def listed(where: Where = None, *, json: Json = False) -> None:
    """Every rule with its condition, when it is over, and its severity."""
    _, found = _loaded(where)
    if json:
        as_json([_plain(rule) for rule in found])
        return
    body = [tuple(_plain(rule).values()) for rule in found]
    rows(("RULE", "WHEN", "CLEAR", "SEVERITY", "REASON"), body)


def _loaded(where: Path | None) -> tuple[Path, "tuple[Rule, ...]"]:
    from runbooks.thresholds import load_rules
    from streams.settings import Settings

    path = where or Settings.load().files.rules
    if path is None:
        raise Rejected("no rules: name a file, here or in files.rules (SENTINEL_FILES__RULES)")
    return path, load_rules(path)


def _plain(rule: "Rule") -> dict[str, str]:
    return {
        "id": rule.id,
        "when": rule.when.text,
        "clear": rule.clear.text,
        "severity": rule.severity.value,
        "reason": rule.reason,
    }
