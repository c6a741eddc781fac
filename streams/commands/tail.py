"""`sentinel tail`: what travels on a topic, decoded, as it comes."""
# ruff: noqa: PLC0415 - heavy imports are paid by the command that needs them, not by --help

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from schemas.errors import Rejected
from streams.commands.terminal import Json, as_json, say, show

if TYPE_CHECKING:
    from rich.text import Text

    from schemas.event import Event
    from schemas.topics import Topic
    from streams.follow import Seen

app = typer.Typer()
EXAMPLES = """Examples:

\b
  sentinel tail incidents
  sentinel tail results --incident inc-4f2a --from-beginning
  sentinel tail samples --service checkout --text latency
  sentinel tail loglines --service checkout --text 'payment refused' --minutes 15
  sentinel tail samples --json --count 10
"""
LONGEST = 300  # characters of a raw record


class Wanted(NamedTuple):
    """Which series and log lines are to be shown; empty: each."""

    service: str
    text: str

    def series(self, names: Iterable[str]) -> list[bool]:
        """Which of some series are."""
        from schemas.frames import escaped

        mark, text = f'service="{escaped(self.service)}"', self.text.lower()
        first, later = (f"{{{mark}", f",{mark}") if self.service else ("", "")
        return [
            (first in name or later in name) and (not text or text in name.lower())
            for name in names
        ]

    def line(self, service: str, text: str) -> bool:
        """Whether a log line is."""
        return self.service in {"", service} and self.text.lower() in text.lower()


@app.command("tail", epilog=EXAMPLES)
def tail(
    topic: Annotated[str, typer.Argument(help="A topic's name; `.v1` may be left out.")],
    *,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="All that is kept, not only what comes.")
    ] = False,
    incident: Annotated[
        str | None, typer.Option(help="Only what is about this incident (or a start of its id).")
    ] = None,
    service: Annotated[
        str, typer.Option(help="Only this service's samples, log lines or events.")
    ] = "",
    text: Annotated[
        str, typer.Option(help="Only series or log lines in which this stands, in any case.")
    ] = "",
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="Begin so far back, and end with what is there by now."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many records.  [default: never]")
    ] = None,
    json: Json = False,
) -> None:
    """Watch what travels on a topic. Ctrl-C ends it; no stage notices."""
    from datetime import UTC, datetime, timedelta

    from schemas.topics import SAMPLES
    from streams.follow import Follower
    from streams.settings import Settings

    chosen, wanted = named(topic), Wanted(service, text)
    _asked_for(chosen, incident, wanted)
    if from_beginning and minutes is not None:
        raise typer.BadParameter("--from-beginning and --minutes are two answers to one question")
    since = None if minutes is None else datetime.now(UTC) - timedelta(minutes=minutes)
    shown = 0
    try:
        with Follower(
            Settings.load().kafka, (chosen,), beginning=from_beginning, since=since
        ) as follower:
            for seen in follower.records() if since is None else follower.kept():
                if incident is not None and not _about(seen, incident):
                    continue
                told = list(_json(seen, wanted) if json else _lines(seen, wanted))
                if not told and (any(wanted) or chosen == SAMPLES):  # a pulse has nothing to show
                    continue
                for value in told if json else ():
                    as_json(value)
                if not json:
                    show(*told)
                shown += 1
                if shown == count:
                    return
    except KeyboardInterrupt:
        return


def _asked_for(chosen: "Topic", incident: str | None, wanted: Wanted) -> None:
    """Raise BadParameter for what the topic's records do not have."""
    from schemas.topics import LOGLINES, SAMPLES

    if incident is not None and chosen.event is None:
        raise typer.BadParameter(f"{chosen.name} is not about incidents: leave --incident out")
    framed = chosen in (SAMPLES, LOGLINES)
    if wanted.text and not framed:
        raise typer.BadParameter(f"--text is for samples and loglines, not for {chosen.name}")
    fields = chosen.event.model_fields if chosen.event else {}
    if wanted.service and not framed and "service" not in fields:
        raise typer.BadParameter(f"{chosen.name} names no service: leave --service out")


def named(name: str) -> "Topic":
    """The topic of that name. Raises BadParameter, listing the topics."""
    from schemas.topics import BY_NAME

    found = BY_NAME.get(name) or BY_NAME.get(f"{name}.v1")
    if found is None:
        raise typer.BadParameter(f"no topic {name!r}; there are {', '.join(sorted(BY_NAME))}")
    return found


def _about(seen: "Seen", prefix: str) -> bool:
    from sinks.store import incident_of

    try:
        ident = incident_of(seen.event())
    except Rejected:
        return False
    return bool(ident) and ident.removeprefix("inc-").startswith(prefix.removeprefix("inc-"))


def _lines(seen: "Seen", wanted: Wanted) -> "Iterator[str | Text]":
    """The record for a person: an event, a frame's series or log lines, or text as it is."""
    from schemas.topics import LOGLINES, SAMPLES
    from streams.commands.lines import line, moment

    try:
        if seen.topic.event is not None:
            yield from map(line, _event(seen, wanted))
        elif seen.topic == SAMPLES:
            for series in _series(seen.value, wanted):
                at, last, number = series["at"][-1], series["value"][-1], len(series["at"])
                more = f"  ({number} samples)" if number > 1 else ""
                yield f"{moment(at)}  {series['series']}  {last:g}{more}"
        elif seen.topic == LOGLINES:
            for row in _loglines(seen.value, wanted):
                yield f"{moment(row['at'])}  {row['service']}  {row['severity']}  {row['text']}"
        else:
            text = seen.value[: LONGEST * 4].decode("utf-8", "replace")
            more = " ..." if len(text) > LONGEST or len(seen.value) > LONGEST * 4 else ""
            yield f"{moment(seen.at)}  {' '.join(text[:LONGEST].split())}{more}"
    except Rejected as error:
        say(f"{seen.topic.name}/{seen.partition}/{seen.offset}: {error}")


def _json(seen: "Seen", wanted: Wanted) -> Iterator[Any]:
    """The record for a program, one value a line."""
    from schemas.topics import LOGLINES, SAMPLES

    try:
        if seen.topic.event is not None:
            yield from (event.model_dump() for event in _event(seen, wanted))
        elif seen.topic == SAMPLES:
            yield from _series(seen.value, wanted)
        elif seen.topic == LOGLINES:
            yield from _loglines(seen.value, wanted)
        else:
            yield {"at": seen.at, "key": seen.key, "value": seen.value, "headers": seen.headers}
    except Rejected as error:
        say(f"{seen.topic.name}/{seen.partition}/{seen.offset}: {error}")


def _event(seen: "Seen", wanted: Wanted) -> "Iterator[Event]":
    event = seen.event()
    if wanted.service in {"", getattr(event, "service", "")}:
        yield event


def _series(frame: bytes, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """A frame's samples by series, in the order in which the series first occur."""
    import numpy as np

    from schemas.frames import read_samples

    samples = read_samples(frame)
    rows = np.array(wanted.series(samples.names), np.bool_)[samples.code]
    found: dict[int, dict[str, Any]] = {}
    for code, at, value in zip(
        samples.code[rows].tolist(),
        samples.at[rows].tolist(),
        samples.value[rows].tolist(),
        strict=True,
    ):
        series = found.setdefault(code, {"series": samples.names[code], "at": [], "value": []})
        series["at"].append(_utc(at))
        series["value"].append(value)
    yield from found.values()


def _loglines(frame: bytes, wanted: Wanted) -> Iterator[dict[str, Any]]:
    from schemas.frames import read_lines, rows

    for service, at, severity, text, labels in rows(read_lines(frame)):
        if not wanted.line(service, text):
            continue
        yield {
            "at": _utc(at),
            "service": service,
            "severity": severity,
            "text": text,
            "labels": labels,
        }


def _utc(milliseconds: int) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(milliseconds / 1000, UTC)
