"""The inspection: what is there, what is missing or wrong, and what to do about each.

Nothing is changed by looking: no topic is made, no database created, and targets are only
asked with GET.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from executors.http import Http
from executors.http_targets import HttpSettings
from executors.registry import targets
from runbooks import loader, objectives
from runbooks.rates import load_rates
from runbooks.rego import EXAMPLE, lint_policies
from schemas.avro import EVENTS, drift
from schemas.errors import Denied, Rejected, SentinelError, Unavailable
from schemas.topics import CATALOGUE, RAW, TICKS
from sinks.revision import revision
from streams import parts
from streams.broker.java import find_java
from streams.cluster import quiet, reach, release
from streams.follow import Follower
from streams.settings import Settings
from streams.topics import differences

SKEW_S = 2.0  # clocks of one network agree to milliseconds; answers may be 30 s ahead
QUIET_S = 5.0  # a tick comes every second
TARGET_S = 5.0  # for a target's answer
LOOK_S = 3.0  # for a tick

Status = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """One thing that was looked at; `todo` is empty when it is ok or the detail says it."""

    name: str
    status: Status
    detail: str
    todo: str = ""


def inspect(settings: Settings) -> Iterator[Finding]:
    """Everything, the cluster first; what cannot be looked at is a finding as well."""
    cluster = _guarded("kafka", lambda: kafka(settings), "")
    yield from cluster
    if all(found.status != "fail" for found in cluster):
        yield from _guarded("topics", lambda: topics(settings), "run `sentinel topics create`")
        yield from _guarded("intake", lambda: intake(settings), "correct intake.topics")
        yield from _guarded("clock", lambda: clock(settings), "run `sentinel worker clock`")
    yield from schemas()
    yield from _guarded("database", lambda: database(settings), "start it, or correct database.url")
    yield from files(settings)
    yield from people(settings)
    yield from _guarded("executor", lambda: executor(settings), "correct the settings of executor")
    yield from java()


def _guarded(name: str, look: Callable[[], Iterator[Finding]], todo: str) -> list[Finding]:
    try:
        return list(look())
    except SentinelError as error:
        return [Finding(name, "fail", str(error), todo)]


def kafka(settings: Settings) -> Iterator[Finding]:
    """Whether it answers, and what it is."""
    cluster = reach(settings.kafka)
    said = f"{len(cluster.brokers)} brokers at {', '.join(cluster.brokers)}, cluster {cluster.id}"
    yield Finding("kafka", "ok", f"{said}, features of {release(settings.kafka)}")


def topics(settings: Settings) -> Iterator[Finding]:
    """Whether all are there, with the catalogue's settings."""
    there = reach(settings.kafka).topics
    present = [topic for topic in CATALOGUE if settings.kafka.topic(topic) in there]
    if missing := [t.name for t in CATALOGUE if t not in present]:
        detail = f"{len(missing)} missing: {', '.join(missing)}"
        yield Finding("topics", "fail", detail, "run `sentinel topics create`")
    try:
        differing = differences(AdminClient(quiet(settings.kafka)), settings.kafka, present)
    except KafkaException as error:
        raise Unavailable(f"cannot read their settings: {error.args[0].str()}") from error
    for said in differing.values():
        yield Finding("topics", "warn", said, "change the topic if that was not meant")
    if not missing and not differing:
        yield Finding("topics", "ok", f"all {len(present)} as the catalogue wants them")


def intake(settings: Settings) -> Iterator[Finding]:
    """Whether the topics that intake is to read are there; our own were looked for already."""
    there, prefix = reach(settings.kafka).topics, settings.kafka.topic_prefix
    named = settings.intake.topics.keys() - {topic.name for topic in RAW}
    if missing := sorted(name for name in named if prefix + name not in there):
        detail = f"{', '.join(missing)} in intake.topics, not on the cluster"
        yield Finding("intake", "warn", detail, "correct the name, or make the topic")
    else:
        yield Finding("intake", "ok", f"reads {len(settings.intake.topics)} topics")


def clock(settings: Settings) -> Iterator[Finding]:
    """Whether ticks come, and how the time on them differs from ours."""
    with Follower(settings.kafka, (TICKS,)) as follower:
        for seen in follower.records(for_s=LOOK_S):
            yield skew((datetime.now(UTC) - seen.event().at).total_seconds())
            return
    todo = "run `sentinel up`, or `sentinel worker clock`"
    yield Finding("clock", "warn", f"no tick in {LOOK_S:g} s: nothing times out", todo)


def skew(age_s: float) -> Finding:
    """What to say of a tick that came with this age, seconds; a tick is sent as it is made."""
    if -SKEW_S <= age_s <= QUIET_S:
        return Finding("clock", "ok", f"ticks come, {max(age_s, 0):.1f} s old when they are here")
    way = "behind" if age_s < 0 else "ahead of"
    detail = f"this machine is {abs(age_s):.0f} s {way} the one that ticks"
    return Finding("clock", "fail", detail, "set both by NTP: answers carry their time")


def schemas() -> Iterator[Finding]:
    """Whether models and committed schemas agree."""
    problems = drift()
    for line in problems:
        yield Finding("schemas", "fail", line, "reinstall Sentinel, or run `make schemas`")
    if not problems:
        yield Finding("schemas", "ok", f"{len(EVENTS)} kinds of events, none drifted")


def database(settings: Settings) -> Iterator[Finding]:
    """Whether it answers, and whether its tables are this version's."""
    url = settings.database.url.get_secret_value()
    try:
        found = revision(url)
    except Rejected as error:
        yield Finding("database", "warn", str(error), "run `sentinel up`: it makes the database")
        return
    if found.has == found.wants:
        yield Finding("database", "ok", f"{found.where}, version {found.has}")
    else:
        detail = f"{found.where} has version {found.has or 'none'}, not {found.wants}"
        yield Finding("database", "fail", detail, "run `sentinel up`: it upgrades the tables")


def files(settings: Settings) -> Iterator[Finding]:
    """Whether runbooks, policies, objectives, topology and rates are without mistakes."""
    yield from _runbooks(settings)
    yield from _policies(settings)
    yield from _objectives(settings)
    if settings.files.topology is None:
        todo = "name a file in files.topology, so that related anomalies become one incident"
        yield Finding("topology", "warn", "none: every service is on its own", todo)
    else:
        yield from _guarded("topology", lambda: _topology(parts.topology(settings)), "correct it")
    yield from _guarded("rates", lambda: _rates(settings), "correct the file")


def _runbooks(settings: Settings) -> Iterator[Finding]:
    folder, names = settings.files.runbooks, targets(settings.executor)
    problems = loader.lint(folder, names)
    for problem in problems:
        yield Finding("runbooks", "fail", str(problem), "correct the line")
    if not problems:
        number = len(loader.load(folder, names))
        yield Finding("runbooks", "ok", f"{number} in {folder}")


def _policies(settings: Settings) -> Iterator[Finding]:
    if settings.opa.url:
        try:
            judge = parts.evaluator(settings)
            judge.evaluate(EXAMPLE)
            yield Finding("policies", "ok", f"{judge.engine} answers")
        except SentinelError as error:
            yield Finding("policies", "fail", str(error), "every plan is refused: mend OPA")
        return
    problems = lint_policies(settings.files.policies)
    for problem in problems:
        yield Finding("policies", "fail", str(problem), "correct the line")
    if not problems:
        yield Finding("policies", "ok", f"{settings.files.policies}, in process")


def _objectives(settings: Settings) -> Iterator[Finding]:
    folder = settings.files.slo
    problems = objectives.lint(folder)
    for problem in problems:
        status: Status = "fail" if problem.severity == "error" else "warn"
        yield Finding("objectives", status, str(problem), "correct the file")
    if not any(problem.severity == "error" for problem in problems):
        number = len(objectives.load(folder).objectives)
        if not number:
            todo = "write one, or budgets and forecasts stay empty"
            yield Finding("objectives", "warn", f"none in {folder}", todo)
        else:
            yield Finding("objectives", "ok", f"{number} in {folder}")


def _topology(loaded: Any) -> Iterator[Finding]:
    services = loaded.groups()
    yield Finding(
        "topology", "ok", f"{len(services)} services, {len(set(services.values()))} groups"
    )


def _rates(settings: Settings) -> Iterator[Finding]:
    load_rates(settings.files.rates)
    yield Finding("rates", "ok", str(settings.files.rates))


def people(settings: Settings) -> Iterator[Finding]:
    """Whether anybody can answer."""
    known = sorted(settings.identity.people)
    if known:
        yield Finding("people", "ok", f"may answer: {', '.join(known)}")
    else:
        todo = "make a key with `sentinel keys new NAME`, put its line under identity.people"
        yield Finding("people", "warn", "nobody: no plan that needs approval can run", todo)


def executor(settings: Settings) -> Iterator[Finding]:
    """Whether the targets answer; they are only read."""
    chosen = settings.executor
    if settings.dry_run:
        yield Finding("executor", "ok", "dry run: nothing will be changed")
    if not isinstance(chosen, HttpSettings):
        todo = "set executor.backend when plans are to be carried out"
        yield Finding("executor", "warn", f"{chosen.backend}: no plan can be carried out", todo)
        return
    if not chosen.targets:
        yield Finding("executor", "warn", "http without targets", "list them in executor.targets")
    for name, error in asyncio.run(_asked(chosen)).items():
        if error is None:
            yield Finding("executor", "ok", f"{name} answers at {chosen.targets[name].base_url}")
        else:
            todo = f"start it, or correct executor.targets.{name}"
            yield Finding("executor", "fail", f"{name}: {error}", todo)


async def _asked(chosen: Any) -> dict[str, str | None]:
    """By target, why it cannot be used; None when it answers."""
    http = Http(chosen, lambda: datetime.fromtimestamp(time.time(), UTC))
    try:
        return {name: await _answer(http, name) for name in chosen.targets}
    finally:
        await http.close()


async def _answer(http: Any, name: str) -> str | None:
    root = {"target": name, "method": "GET", "path": "/"}
    try:
        await http.read(root, timeout_s=TARGET_S)
    except Rejected:
        return None  # it answered, if only that there is nothing at /
    except Denied as error:
        return f"it refuses us: {error}"
    except SentinelError as error:
        return str(error)
    return None


def java() -> Iterator[Finding]:
    """Whether an embedded broker could start; clusters of one's own need none."""
    try:
        found = find_java()
    except SentinelError as error:
        yield Finding("java", "warn", str(error), "only `make demo` and the tests need it")
    else:
        yield Finding("java", "ok", f"{found.major} at {found.executable}")
