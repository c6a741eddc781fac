"""`sentinel connect`: what is on a cluster's topics, and the settings that read it."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from streams.commands.terminal import Json, as_json, console, rows, say, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.connect.look import Progress
    from streams.connect.report import Line
    from streams.settings import Settings

app = typer.Typer()
UNSETTLED = 3  # exit status: looked, and something is left for a person to find out
STYLES = {"sure": "green", "likely": "yellow", "unsure": "bold red"}
EXAMPLES = """Examples:

\b
  SENTINEL_KAFKA__BROKERS=kafka:9092 sentinel connect
  sentinel connect --topic 'logs.*' --topic metrics --write sentinel.yaml
  sentinel connect --json | jq '.[] | select(.certainty == "unsure")'

Exit status: 0 every topic with records is recognised, 3 some are not, 1 failure (Kafka is
away, the file is there already), 2 wrong use.
"""


@app.command("connect", epilog=EXAMPLES)
def connect(
    *,
    topic: Annotated[
        list[str] | None,
        typer.Option(help="Only topics of this name; * and ? match any. May be repeated."),
    ] = None,
    last: Annotated[
        int, typer.Option(min=1, max=1000, help="How many records of each partition to look at.")
    ] = 50,
    write: Annotated[
        Path | None, typer.Option(help="Write the settings to this file, YAML.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file if it is there.")
    ] = False,
    json: Json = False,
) -> None:
    """Look at a cluster's topics and say what each seems to hold, why, and how fast it is.

    Nothing is changed on the cluster: no group, no offset, no topic is left behind. The last
    records of each partition are read; what marks them as one producer's and what the
    format's own reader takes must agree. What is not certain is called unsure.
    """
    import time

    from schemas.errors import Rejected
    from streams.connect.fragment import refuse_to_overwrite
    from streams.connect.look import look
    from streams.connect.report import lines
    from streams.settings import Settings

    if write is not None:
        refuse_to_overwrite(write, force=force)
    settings = Settings.load()
    with _progress() as progress:
        seen = look(settings.kafka, topic or (), last=last, progress=progress)
    if not seen and topic:
        raise Rejected(f"no topic is called {' or '.join(topic)}: `sentinel connect` shows all")
    now = time.time_ns() // 1_000_000
    with _schemas(settings) as schemas:
        prefix, limits = settings.kafka.topic_prefix, settings.intake.limits
        found = list(lines(seen, now, prefix, limits, schemas))
    if json:
        as_json([line.as_dict() for line in found])
    else:
        _told(found, now)
    if write is not None:
        _written(write, found, settings)
    if not all(line.settled for line in found):
        raise typer.Exit(UNSETTLED)


@contextmanager
def _progress() -> "Iterator[Progress]":
    """How many topics were looked at, while it goes; on a terminal only."""
    from rich.progress import Progress as Bar

    err = console(stderr=True)
    with Bar(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("reading topics", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _schemas(settings: "Settings") -> Any:
    """The schema registry, if there is one."""
    from streams.formats.avro_schema import NoSchemas

    if not settings.intake.registry.url:
        return nullcontext(NoSchemas())
    from streams.formats.registry import Registry

    return closing(Registry(settings.intake.registry))


def _told(found: "Sequence[Line]", now: int) -> None:
    """A table, and below it what intake would stumble over."""
    from streams.connect.report import SAID, amount, speed

    told = [line for line in found if line.kind in {"sampled", "empty", "failed"}]
    body = []
    for line in told:
        each = line.found
        sure = each.certainty if line.kind == "sampled" else line.kind
        name = each.format or " or ".join(each.candidates) or "-"
        why = each.reasons[:1] if each.format else each.reasons  # the file and --json have all
        body.append((
            line.topic, name, Text(sure, STYLES.get(sure, "")), speed(line.rate, now),
            amount(line.rate, now), "; ".join(why),
        ))  # fmt: skip
    if body:
        rows(("TOPIC", "FORMAT", "HOW SURE", "RECORDS/S", "BYTES/S", "WHY"), body)
    for line in told:
        show(*(f"{line.topic}: beware: {warning}" for warning in line.found.warnings))
        if line.found.service:
            said = (
                f"records name no service: intake.services says {line.found.service!r}, correct it"
            )
            show(f"{line.topic}: beware: {said}")
    for kind in ("internal", "own", "foreign"):
        if number := sum(line.kind == kind for line in found):
            say(f"{number} not looked into: {SAID[kind]}")
    if not body:
        say("no topic to look into")


def _written(path: Path, found: "Sequence[Line]", settings: "Settings") -> None:
    from streams.connect.fragment import fragment, save
    from streams.intake.settings import IntakeSettings

    head = (
        "Made by `sentinel connect` from what it saw on the topics. Check it, then start with",
        f"SENTINEL_CONFIG={path} sentinel up",
    )
    recognised = [(line.name, line.found) for line in found if line.kind == "sampled"]
    own = IntakeSettings().topics
    save(path, fragment(recognised, head, settings.intake.registry.url, own))
    left = sum(not each.format for _, each in recognised)
    say(f"wrote {path}: {len(recognised) - left} topics, {left} as comments because unsure")
