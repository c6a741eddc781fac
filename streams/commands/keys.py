"""`sentinel keys`: the key with which a person signs answers."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

import sys
from pathlib import Path
from typing import Annotated

import typer

from streams.commands.terminal import say

app = typer.Typer(help="Make the key that you sign answers with.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Make the key that you sign answers with."""


@app.command(
    "new",
    epilog="Example: sentinel keys new oncall --out ~/.config/sentinel/oncall.pem",
)
def new(
    name: Annotated[str, typer.Argument(help="Who you are in the settings, identity.people.NAME.")],
    out: Annotated[Path | None, typer.Option(help="The key's file.  [default: NAME.pem]")] = None,
) -> None:
    """Make an Ed25519 key, readable by you alone, and print its public line for the settings."""
    from pydantic import TypeAdapter, ValidationError

    from schemas.identity import Name, Signer

    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise typer.BadParameter(
            f"{name!r} is no name: letters, digits and ._@+- only, 100 at most"
        ) from error
    path = out or Path(f"{name}.pem")
    signer = Signer.generate()
    signer.save(path)
    sys.stdout.write(f'identity:\n  people:\n    "{name}": "{signer.public}"\n')
    say(f"The key is in {path}: keep it. Put the lines above into sentinel.yaml, and answer with")
    say(f"SENTINEL_IDENTITY={name} SENTINEL_IDENTITY_KEY={path}")
