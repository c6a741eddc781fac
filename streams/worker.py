"""A worker: the stages it was given, in one process, until it is told to stop or one fails.

A stage that fails stops the worker with one line that says why, so that whoever supervises
it (`sentinel up`, systemd, Kubernetes) starts it again; what was not acknowledged is read again.
"""

import asyncio
import logging
import signal
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from schemas.errors import Rejected, SentinelError, Unavailable
from streams.clock import Clock
from streams.cluster import PATIENCE_S, quiet
from streams.columns import ColumnShell
from streams.kafka import Shell
from streams.keeping import SinkShell
from streams.settings import Settings
from streams.stage import Stage
from streams.stage_metrics import StageMetrics
from streams.topics import replication

log = logging.getLogger(__name__)
STUCK_S = 120.0  # joining a group and recovering tables takes seconds; then start over
PAUSES = (0.5, 0.5, 1.0, 0.0)  # seconds: not every broker has heard yet of a topic just made
STOP_S = 15.0  # a batch under way is given 4, the last saves 2
GIVE_UP_S = 8.0  # Faust, stopped while it starts, may wait for a thread that never came up


class Running(Protocol):
    """A stage as it runs."""

    failed: asyncio.Future[None]

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End in order."""


def utc_now() -> datetime:
    """The wall clock, the only one: everything below is given the time."""
    return datetime.now(UTC)


def shell(
    stage: Stage,
    settings: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    metrics: StageMetrics | None = None,
) -> Running:
    """The stage with the shell that suits what it is made of."""
    loop = asyncio.get_running_loop()
    made: Any = stage.make(settings)
    if hasattr(made, "feed"):
        return ColumnShell(
            stage, made, settings.kafka,
            save_s=settings.detect.save_s, clock=clock, loop=loop, metrics=metrics,
        )  # fmt: skip
    if hasattr(made, "write"):
        return SinkShell(stage, made, settings.kafka, clock=clock, loop=loop, metrics=metrics)
    return Shell(stage, made, settings.kafka, clock=clock, loop=loop, metrics=metrics)


async def run(
    stages: Sequence[Stage],
    settings: Settings,
    *,
    clock: bool,
    ready: Callable[[], None],
    registry: CollectorRegistry | None = None,
) -> None:
    """Run stages (and, if asked, the clock) until SIGTERM or SIGINT.

    `ready` is called once all have joined their groups. Raises SentinelError, one line, for
    whatever stopped one of them. Their metrics go to `registry`.
    """
    metrics = StageMetrics(registry)
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[None] = loop.create_future()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, _stop_once, stopping)
    settings = await asyncio.to_thread(_fitted, settings, stages)
    running: dict[str, Running] = {
        stage.name: shell(stage, settings, metrics=metrics) for stage in stages
    }
    if clock:
        running["clock"] = Clock(settings.kafka, now=utc_now)
    ends = {stopping, *(one.failed for one in running.values())}
    starting = loop.create_task(_start(running))
    try:
        await asyncio.wait({starting, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            ready()
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        starting.cancel()
        await asyncio.wait({starting})
        up = not starting.cancelled() and starting.exception() is None
        patience = STOP_S if up else GIVE_UP_S
        await asyncio.gather(*(_stop(name, one, patience) for name, one in running.items()))
        failures = [  # each is asked for, also when the start itself failed
            (name, error)
            for name, one in running.items()
            if one.failed.done() and (error := one.failed.exception())
        ]
    for name, error in failures[1:]:
        log.warning("%s", said(name, error))
    for name, error in failures:
        raise said(name, error) from error


def said(name: str, error: BaseException) -> SentinelError:
    """What a stage failed of, in one line; where, when it is not one of our own errors."""
    if isinstance(error, SentinelError):
        return error
    line = " ".join(str(error).split()) or "no reason given"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return SentinelError(f"{name}: {type(error).__name__}: {line}{where}")


def _fitted(settings: Settings, stages: Sequence[Stage]) -> Settings:
    """The settings as this cluster needs them: changelogs get as many copies as the topics.

    Raises Unavailable when Kafka is away, Rejected when a topic that is read is not there.
    """
    kafka = settings.kafka
    admin = AdminClient(quiet(kafka))
    wanted = {kafka.topic(topic) for stage in stages for topic in stage.source}
    try:
        for pause in PAUSES:
            missing = wanted - admin.list_topics(timeout=PATIENCE_S).topics.keys()
            if not missing:
                break
            time.sleep(pause)
        copies = replication(admin, kafka)
    except KafkaException as error:
        raise Unavailable(f"Kafka at {kafka.brokers}: {error.args[0].str()}") from error
    if missing:
        raise Rejected(f"no topic {', '.join(sorted(missing))}: run `sentinel topics create`")
    return settings.model_copy(update={"kafka": kafka.model_copy(update={"replication": copies})})


def _stop_once(stopping: asyncio.Future[None]) -> None:
    if not stopping.done():
        stopping.set_result(None)


async def _start(running: Mapping[str, Running]) -> None:
    starts = {asyncio.ensure_future(_started(name, one)): name for name, one in running.items()}
    if not starts:  # intake runs beside us, and alone
        return
    try:
        done, late = await asyncio.wait(
            starts, timeout=STUCK_S, return_when=asyncio.FIRST_EXCEPTION
        )
    finally:
        for start in starts:
            start.cancel()
        await asyncio.wait(starts)
    for start in done:
        start.result()
    if late:
        names = ", ".join(starts[start] for start in late)
        raise Unavailable(f"{names} did not join within {STUCK_S:g} s: is Kafka well?")


async def _started(name: str, one: Running) -> None:
    try:
        await one.start()
    except Exception as error:
        raise said(name, error) from error


async def _stop(name: str, one: Running, patience: float) -> None:
    try:
        await asyncio.wait_for(one.stop(), patience)
    except TimeoutError:
        log.warning("%s did not stop within %g s: it is left to its group", name, patience)
    except Exception as error:  # noqa: BLE001 - the others stop too, and why we stop is told
        log.warning("not stopped in order: %s", said(name, error))
