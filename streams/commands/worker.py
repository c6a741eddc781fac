"""`sentinel worker`: the named stages in this process, each in its own consumer group."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from typing import Annotated

import typer

from streams.commands.terminal import say

app = typer.Typer()
EXAMPLES = """Examples:

\b
  sentinel worker intake
  sentinel worker detect slo
  sentinel worker execute clock --verbose
"""


@app.command("worker", epilog=EXAMPLES)
def worker(
    stages: Annotated[list[str], typer.Argument(help="Names as in streams/pipeline.py.")],
    *,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more than warnings.")] = False,
) -> None:
    """Run stages until SIGTERM, Ctrl-C or a failure; what was not acknowledged is read again.

    Beside the stages there are `intake` (raw records to frames) and `clock` (the ticks that
    stages wait with; run it once or twice, twice does no harm). When all have joined, it says
    so, and where its metrics are for Prometheus (settings: metrics.host, metrics.port).
    """
    from streams.logs import set_up
    from streams.running import names, run
    from streams.settings import Settings

    wanted = list(dict.fromkeys(stages))
    if unknown := [name for name in wanted if name not in names()]:
        raise typer.BadParameter(f"no stage {', '.join(unknown)}; there are {', '.join(names())}")
    set_up(verbose=verbose)
    named = " ".join(wanted)
    run(
        wanted,
        Settings.load(),
        ready=lambda url: say(f"ready: {named}" + (f" (metrics at {url})" if url else "")),
    )
