"""`sentinel topics`: make them as the catalogue says, and see what is there."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from typing import Any

import typer

from streams.commands.terminal import Json, as_json, rows, say, show

app = typer.Typer(help="Make and list the topics.", no_args_is_help=True)


@app.command("create", epilog="Example: SENTINEL_KAFKA__BROKERS=kafka:9092 sentinel topics create")
def create(*, json: Json = False) -> None:
    """Make the topics that are not there; what is there with other settings is left alone."""
    from streams.cluster import reach
    from streams.settings import Settings
    from streams.topics import create as made

    kafka = Settings.load().kafka
    reach(kafka)
    report = made(kafka)
    if json:
        as_json(report._asdict())
        return
    show(*(f"made {name}" for name in report.created))
    for difference in report.differing:
        say(f"left alone: {difference}")
    show(f"{len(report.created)} made, {len(report.existing)} there as wanted,"
         f" {len(report.differing)} there with other settings")  # fmt: skip


@app.command("list", epilog="Example: sentinel topics list --json")
def listed(*, json: Json = False) -> None:
    """Every topic of the pipeline: what travels on it, its key, and whether it is there."""
    from schemas.topics import CATALOGUE
    from streams.cluster import reach
    from streams.settings import Settings

    kafka = Settings.load().kafka
    there = reach(kafka).topics
    found: list[dict[str, Any]] = [
        {
            "topic": kafka.topic(topic),
            "holds": topic.event.SUBJECT if topic.event else "frames or raw records",
            "key": topic.key,
            "days": topic.retention_ms / 86_400_000,
            "partitions": there.get(kafka.topic(topic), 0),
        }
        for topic in CATALOGUE
    ]
    if json:
        as_json(found)
        return
    body = [
        (t["topic"], t["holds"], t["key"], f"{t['days']:.2g}", str(t["partitions"] or "missing"))
        for t in found
    ]
    rows(("TOPIC", "HOLDS", "KEY", "DAYS", "PARTITIONS"), body)
    if missing := sum(not t["partitions"] for t in found):
        say(f"{missing} missing: run `sentinel topics create`")
