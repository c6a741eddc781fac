"""`sentinel bridge`: what comes over HTTP, pushed by whoever has it or scraped by us, to Kafka."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

import re
from typing import Annotated

import typer

from streams.commands.terminal import say

app = typer.Typer()
EXAMPLES = """Examples:

\b
  sentinel bridge --port 9201
  SENTINEL_BRIDGE__TOKENS__SHOP__TOKEN=$SHOP_TOKEN sentinel bridge --host 0.0.0.0
  sentinel bridge --scrape checkout=http://127.0.0.1:8000 --interval 1s
"""
SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


@app.command("bridge", epilog=EXAMPLES)
def bridge(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.  [default: bridge.host]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; 0: a free one.  [default: bridge.port]"),
    ] = None,
    scrape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=URL",
            help="Scrape this target; repeatable.  [default: bridge.scrape.targets]",
        ),
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(
            help="Between scrapes, as 500ms, 1s or 1m.  [default: bridge.scrape.interval_s]"
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log more than warnings.")] = False,
) -> None:
    """Take metrics, logs and alerts over HTTP and give them to Kafka, until SIGTERM or Ctrl-C.

    JSON at /ingest, OTLP at /v1/metrics and /v1/logs, Prometheus remote write at /api/v1/write,
    Alertmanager's webhook at /ingest/alertmanager; /openapi.json tells all of it. Senders are
    answered 2xx once Kafka has confirmed. Other machines are let in with tokens only.
    """
    from streams.bridge.serving import addresses, serve
    from streams.logs import set_up
    from streams.settings import Settings

    pulled: dict[str, object] = {}
    if scrape:
        pulled["targets"] = tuple(scrape)
    if interval is not None:
        pulled["interval_s"] = seconds(interval)
    set_up(verbose=verbose)
    settings = Settings.load()
    pulling = settings.bridge.scrape.model_copy(update=pulled)
    given = {"host": host, "port": port, "scrape": pulling}
    chosen = settings.bridge.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )

    def ready(base: str) -> None:
        for line in addresses(base):
            say(line)
        say(f"ready: bridge at {base}")

    serve(chosen, settings.kafka, settings.intake, ready=ready)


def seconds(text: str) -> float:
    """A length of time in seconds. Raises BadParameter.

    >>> seconds("500ms"), seconds("1s"), seconds("2")
    (0.5, 1.0, 2.0)
    """
    found = SPAN.fullmatch(text.strip())
    value = float(found[1]) * UNITS[found[2]] if found else 0.0
    if value <= 0:
        raise typer.BadParameter(f"{text!r} is no length of time: write 500ms, 1s or 1m")
    return value
