"""`sentinel audit`: whether the record of what was done is whole."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from typing import Annotated

import typer

from streams.commands.terminal import Json, as_json, confirmed, say, show

app = typer.Typer(
    help="Verify that no record was changed, removed or cut off.", no_args_is_help=True
)


@app.command("verify", epilog="Example: sentinel audit verify && echo whole")
def verified(*, json: Json = False) -> None:
    """Read the whole chain; name the first record that is bad. Exit status 1 when one is."""
    from sinks.audit import verify
    from streams.settings import Settings

    settings = Settings.load()
    verdict = verify(
        settings.database.url.get_secret_value(),
        settings.audit.checkpoint,
        settings.audit.key.get_secret_value().encode(),
    )
    if json:
        as_json(verdict)
    elif verdict.ok:
        show(f"ok: {verdict.reason}")
    else:
        place = "" if verdict.first_bad is None else f"first bad record: {verdict.first_bad}: "
        say(f"not whole: {place}{verdict.reason}")
    if not verdict.ok:
        raise typer.Exit(1)


@app.command("adopt", epilog="Example: sentinel audit adopt --yes")
def adopt(*, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Accept a chain that is whole but has no checkpoint: what was cut off before stays unknown."""
    from sinks.audit import Audit
    from streams.settings import Settings

    settings = Settings.load()
    url = settings.database.url.get_secret_value()
    confirmed(f"Begin a new checkpoint at {settings.audit.checkpoint}?", yes=yes)
    audit = Audit(url, settings.audit.checkpoint, settings.audit.key.get_secret_value().encode())
    try:
        verdict = audit.adopt()
    finally:
        audit.close()
    show(f"ok: {verdict.reason}")
