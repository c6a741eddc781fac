"""`sentinel up`: topics, database and every stage, on this machine, until Ctrl-C."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import Rejected, Unavailable
from streams.commands.terminal import say

if TYPE_CHECKING:
    from streams.settings import Settings
    from streams.up import Up

app = typer.Typer()
EXAMPLES = """Examples:

\b
  sentinel up
  sentinel up --bridge
  sentinel up --without execute --without forecast
  SENTINEL_KAFKA__BROKERS=kafka:9092 sentinel up
"""


@app.command("up", epilog=EXAMPLES)
def up(
    *,
    without: Annotated[
        list[str] | None, typer.Option(metavar="STAGE", help="Leave this stage out; repeatable.")
    ] = None,
    bridge: Annotated[
        bool, typer.Option("--bridge", help="Take metrics, logs and alerts over HTTP as well.")
    ] = False,
    logs: Annotated[Path, typer.Option(help="Folder for what the stages log.")] = Path("data/logs"),
) -> None:
    """Start the whole pipeline on this machine and keep it running; Ctrl-C stops it in order.

    Makes the topics that are missing and brings the database to this version first. Nothing is
    started when a runbook, a policy or an objective has a mistake.
    """
    from streams.settings import Settings
    from streams.up import Up, groups

    settings = Settings.load()
    try:
        chosen = groups(without or (), bridge=bridge)
    except Rejected as error:
        raise typer.BadParameter(str(error)) from error
    _prepare(settings)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    running = Up(None, chosen, logs, say=say, metrics_port=settings.metrics.port)
    waiting = threading.Thread(target=_announce, args=(running,), daemon=True)
    with running:
        say(f"starting {len(chosen)} processes; they log to {logs}")
        waiting.start()
        stopping.wait()
        say("stopping")
    say("stopped")


def _prepare(settings: "Settings") -> None:
    """Check the files, make the topics, upgrade the database. Raises for what keeps us."""
    from sinks.database import upgrade
    from streams import inspection, topics
    from streams.cluster import reach

    faults = [found for found in inspection.files(settings) if found.status == "fail"]
    if faults:
        raise Rejected("\n".join(f"{found.name}: {found.detail}" for found in faults))
    reach(settings.kafka)
    report = topics.create(settings.kafka)
    if report.created:
        say(f"made {len(report.created)} topics")
    for difference in report.differing:
        say(f"topic left as it is: {difference}")
    upgrade(settings.database.url.get_secret_value())


def _announce(running: "Up") -> None:
    try:
        running.ready()
        say("all stages are ready: try `sentinel tail incidents`")
    except Unavailable as error:
        say(str(error))
