"""`sentinel policy`: whether the policies compile, and what they say of a plan."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import Rejected
from streams.commands.terminal import Json, as_json, say, show

if TYPE_CHECKING:
    from schemas.plans import Plan
    from streams.settings import Settings

app = typer.Typer(help="Check policies, try one on a plan.", no_args_is_help=True)
EXAMPLES = """Examples:

\b
  sentinel policy eval 6be627 --environment production
  sentinel tail plans --count 1 --json > plan.json && sentinel policy eval plan.json
"""
CLOSED = "fail-closed"  # the rule of a decision for which the policies could not be heard


@app.command("lint", epilog="Example: sentinel policy lint ops/policies")
def lint(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of *.rego.  [default: files.policies]")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Say every mistake with file and line; exit status 1 when there is one."""
    from runbooks.rego import lint_policies
    from streams.settings import Settings

    where = folder or Settings.load().files.policies
    problems = lint_policies(where)
    if json:
        as_json([{"file": str(p.path), "line": p.line, "problem": p.message} for p in problems])
    else:
        show(*map(str, problems))
    if problems:
        say(f"{len(problems)} mistakes in {where}: every plan would be refused")
        raise typer.Exit(1)
    say(f"{where}: the policies compile and answer")


@app.command("eval", epilog=EXAMPLES)
def evaluated(
    plan: Annotated[
        str, typer.Argument(help="A JSON file with a plan, or the start of a plan's hash or id.")
    ],
    *,
    environment: Annotated[
        str | None, typer.Option(help="As if the plan were for this place.  [default: its own]")
    ] = None,
    json: Json = False,
) -> None:
    """Show what the policies say of a plan now: effect, rules, reasons, limits. Nothing is sent."""
    from datetime import UTC, datetime

    from agents.policy import evaluate_plan, explain_decision
    from streams.parts import evaluator
    from streams.settings import Settings

    settings = Settings.load()
    found = read_plan(plan, settings)
    place = environment or found.environment
    decision = evaluate_plan(found, place, evaluator(settings), datetime.now(UTC))
    if json:
        as_json(decision.model_dump(exclude={"plan"}))
    else:
        show(*explain_decision(decision))
    if any(rule.id == CLOSED for rule in decision.rules):
        say("the policies gave no clear answer: run `sentinel policy lint`")
        raise typer.Exit(1)


def read_plan(named: str, settings: "Settings") -> "Plan":
    """The plan in a JSON file, or the one in the database. Raises Rejected."""
    from pydantic import ValidationError

    from schemas.plans import Plan
    from sinks.history import History

    path = Path(named)
    if not path.is_file():
        if path.suffix == ".json":
            raise Rejected(f"{path}: no such file")
        with History(settings.database.url.get_secret_value()) as history:
            return history.plan(named)
    try:
        return Plan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Rejected(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise Rejected(f"{path} holds no plan: {where}: {first['msg']}") from error
