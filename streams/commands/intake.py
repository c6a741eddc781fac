"""`sentinel intake`: what intake reads, and what it refused or left out, with what to do."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from streams.commands.terminal import Json, as_json, rows, say, show, span

if TYPE_CHECKING:
    from schemas.intake import Kind
    from streams.intake.reports import Sum, Summary

SHOWN = 10  # services of one rule on one topic; of a tenant that is full there may be thousands
QUIET_S = 30.0  # without a report; a worker that reads something gives one every few seconds
app = typer.Typer(help="What intake reads, refuses and leaves out.", no_args_is_help=True)
EXAMPLES = """Examples:

\b
  sentinel intake report
  sentinel intake report --service checkout
  sentinel intake report --minutes 60 --topic raw.metrics --json
"""


@app.callback()
def _group() -> None:
    """Make `report` a command of its own, also while it is the only one."""


@app.command("report", epilog=EXAMPLES)
def report(
    *,
    minutes: Annotated[
        float, typer.Option(min=0.1, max=1440, help="How far to look back; a day is kept.")
    ] = 15.0,
    service: Annotated[
        str | None,
        typer.Option(help="Why is this service's series missing? What of it is not in the frames."),
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Only what came on this topic.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    json: Json = False,
) -> None:
    """What was refused or left out of late, by topic, tenant, service and rule, and what to do.

    Refused records are in deadletters.v1, masked, the first 64 KiB of each; of each kind one
    example is shown, with its place in Kafka. Elements whose service could not be told have a dash.
    """
    from streams.intake.intake import STAGE
    from streams.intake.lanes import DEFAULT
    from streams.intake.reports import lag, reports, summed
    from streams.settings import Settings

    settings = Settings.load()
    kafka, now = settings.kafka, datetime.now(UTC)
    since = now - timedelta(minutes=minutes)
    found = summed(reports(kafka, since))
    sources = {kafka.topic_prefix + name for name in settings.intake.topics}
    met = set(found.flows) | {(key.topic, key.tenant) for key in found.omissions}
    _meant("--topic", topic, sources | {name for name, _ in met})
    _meant("--tenant", tenant, {DEFAULT, *settings.intake.tenants, *(whose for _, whose in met)})
    waiting = lag(kafka, STAGE, sorted(sources))
    kept = {
        key: total
        for key, total in sorted(
            found.omissions.items(), key=lambda item: (not item[0].refused, -item[1].elements)
        )
        if _wanted(key, service, topic, tenant)
    }
    if json:
        as_json(_for_programs(found, kept, waiting, since, now, topic, tenant))
        return
    _omissions(kept, service, minutes)
    _flows(found, waiting, minutes * 60, now, topic, tenant)
    for name in sorted(sources - waiting.keys()):
        say(f"{name} is in intake.topics, but not on the cluster: correct the name, or make it")


def _meant(option: str, given: str | None, known: set[str]) -> None:
    """Raise BadParameter for a name that nothing has, lest "nothing was refused" be said of it."""
    if given is not None and given not in known:
        what = option.removeprefix("--")
        raise typer.BadParameter(f"no {what} {given!r}; there are {', '.join(sorted(known))}")


def _wanted(key: "Kind", service: str | None, topic: str | None, tenant: str | None) -> bool:
    return (
        (service is None or key.service in {service, ""})
        and (topic is None or key.topic == topic)
        and (tenant is None or key.tenant == tenant)
    )


def _place(total: "Sum") -> str:
    """Where the example stands in Kafka; empty when that is not known."""
    one = total.example
    return f"{one.topic}/{one.partition}/{one.offset}" if one and one.offset >= 0 else ""


def _omissions(kept: "dict[Kind, Sum]", service: str | None, minutes: float) -> None:
    from streams.intake.advice import advice

    whose = f" of {service}" if service else ""
    its = {k for k in kept if service is None or k.service}
    if not its:
        show(f"nothing{whose} was refused or left out in the last {minutes:g} min")
        if service:
            look = f"sentinel tail samples --service {service} --minutes {minutes:g}"
            show(f"whether it comes at all: `{look}`, and `sentinel connect` for other topics")
        if kept:
            show("these are not known to be anybody's:")
    if not kept:
        return
    few, more = (kept, {}) if service else _few(kept)
    body = [
        (
            Text(key.rule, "red" if key.refused else "dim"),
            "refused" if key.refused else "left out",
            key.topic, key.tenant, key.service or "-",
            str(total.elements), str(total.letters), _place(total) or "-",
        )
        for key, total in few.items()
    ]  # fmt: skip
    head = ("RULE", "IT WAS", "TOPIC", "TENANT", "SERVICE", "ELEMENTS", "LETTERS", "EXAMPLE")
    rows(head, body)
    for (rule, topic, tenant), others in more.items():
        lost = sum(total.elements for total in others)
        what = f"{len(others)} more services on {topic}, tenant {tenant}: {lost} elements"
        show(f"{rule}: {what}; `--service NAME` tells of one, `--json` of all")
    show("")
    for rule in dict.fromkeys(key.rule for key in kept):
        reason = next(
            (t.example.reason for k, t in kept.items() if k.rule == rule and t.example), ""
        )
        example = f" (as in: {reason})" if reason else ""
        show(f"{rule}: {advice(rule)}{example}")
    show("")


def _few(
    kept: "dict[Kind, Sum]",
) -> "tuple[dict[Kind, Sum], dict[tuple[str, str, str], list[Sum]]]":
    """The services that lost most by each rule; of the others the sums by rule, topic, tenant."""
    few: dict[Kind, Sum] = {}
    more: dict[tuple[str, str, str], list[Sum]] = {}
    met: Counter[tuple[str, str, str]] = Counter()
    for key, total in kept.items():
        place = key.rule, key.topic, key.tenant
        met[place] += 1
        if met[place] <= SHOWN or not key.service:
            few[key] = total
        else:
            more.setdefault(place, []).append(total)
    return few, more


def _flows(
    found: "Summary", waiting: dict[str, int], seconds: float, now: datetime,
    topic: str | None, tenant: str | None,
) -> None:  # fmt: skip
    chosen = _chosen(found, waiting, topic, tenant)
    body = [
        (
            name, whose or "-", _rate(read.records / seconds), _rate(read.size / seconds),
            str(read.samples), str(read.lines), str(waiting.get(name, "-")),
        )
        for (name, whose), read in chosen.items()
    ]  # fmt: skip
    rows(("TOPIC", "TENANT", "RECORDS/S", "BYTES/S", "SAMPLES", "LINES", "LAG"), body)
    for name in sorted(found.held):
        say(f"tenant {name} waits for its bytes_per_s: its lag grows, nothing is lost")
    if found.workers:
        last = max(now - max(found.workers.values()), timedelta())  # it may have come meanwhile
        count = len(found.workers)
        quiet = ""
        if last.total_seconds() > QUIET_S:
            behind = sum(waiting.values())
            quiet = f": {behind} records wait, does one still run?" if behind else ", all is read"
        say(f"{count} worker{'s' * (count > 1)}, the last word {span(last)} ago{quiet}")
    else:
        say("no worker of intake has read anything in this time: does one run (`sentinel up`)?")


def _rate(value: float) -> str:
    """Something a second; of little, that it is not nothing."""
    return f"{value:.0f}" if value >= 10 or not value else f"{value:.2g}"  # noqa: PLR2004 - two digits


def _chosen(
    found: "Summary", waiting: dict[str, int], topic: str | None, tenant: str | None
) -> dict[tuple[str, str], Any]:
    """What was read, by topic and tenant; topics of which nothing was are there, too."""
    from streams.intake.reports import Read

    silent = {(name, ""): Read() for name in waiting if name not in {t for t, _ in found.flows}}
    return {
        (name, whose): read
        for (name, whose), read in sorted((found.flows | silent).items())
        if (topic is None or name == topic) and (tenant is None or whose in {tenant, ""})
    }


def _for_programs(
    found: "Summary", kept: "dict[Kind, Sum]", waiting: dict[str, int], since: datetime,
    now: datetime, topic: str | None, tenant: str | None,
) -> dict[str, Any]:  # fmt: skip
    from streams.intake.advice import advice

    return {
        "since": since,
        "until": now,
        "left_out": [
            {
                **key._asdict(),
                "elements": total.elements,
                "letters": total.letters,
                "example": {
                    "place": _place(total),
                    "reason": total.example.reason if total.example else "",
                },
                "todo": advice(key.rule),
            }
            for key, total in kept.items()
        ],
        "topics": [
            {"topic": name, "tenant": whose, **vars(read), "lag": waiting.get(name)}
            for (name, whose), read in _chosen(found, waiting, topic, tenant).items()
        ],
        "held": sorted(found.held),
        "workers": found.workers,
    }
