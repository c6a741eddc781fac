"""A worker: the stages it was given, in one process, until it is told to stop or one fails.

A stage that fails stops the worker with one line that says why, so that whoever supervises
it (`sentinel up`, systemd, Kubernetes) starts it again; what was not acknowledged is read again.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from schemas.errors import SentinelError
from streams.clock import Clock
from streams.columns import ColumnShell
from streams.kafka import Shell
from streams.keeping import SinkShell
from streams.settings import Settings
from streams.stage import Stage

log = logging.getLogger(__name__)
STUCK_S = 120.0  # joining a group and recovering tables takes seconds; then start over


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


def shell(stage: Stage, settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> Running:
    """The stage with the shell that suits what it is made of."""
    loop = asyncio.get_running_loop()
    made: Any = stage.make(settings)
    if hasattr(made, "feed"):
        return ColumnShell(
            stage, made, settings.kafka, save_s=settings.detect.save_s, clock=clock, loop=loop
        )
    if hasattr(made, "write"):
        return SinkShell(stage, made, settings.kafka, clock=clock, loop=loop)
    return Shell(stage, made, settings.kafka, clock=clock, loop=loop)


async def run(
    stages: Sequence[Stage], settings: Settings, *, clock: bool, ready: Callable[[], None]
) -> None:
    """Run stages (and, if asked, the clock) until SIGTERM or SIGINT; raises what one failed of.

    `ready` is called once all have joined their groups.
    """
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[None] = loop.create_future()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, _stop_once, stopping)
    running: list[Running] = [shell(stage, settings) for stage in stages]
    if clock:
        running.append(Clock(settings.kafka, now=utc_now))
    ends = {stopping, *(one.failed for one in running)}
    starting = loop.create_task(_start(running))
    try:
        await asyncio.wait({starting, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            ready()
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        starting.cancel()
        await asyncio.gather(*(_stop(one) for one in running))
    for one in running:
        if one.failed.done():
            one.failed.result()


def _stop_once(stopping: asyncio.Future[None]) -> None:
    if not stopping.done():
        stopping.set_result(None)


async def _start(running: Sequence[Running]) -> None:
    try:
        await asyncio.wait_for(asyncio.gather(*(r.start() for r in running)), STUCK_S)
    except TimeoutError as error:
        raise SentinelError(f"the stages did not come up within {STUCK_S:g} s") from error


async def _stop(one: Running) -> None:
    try:
        await asyncio.wait_for(one.stop(), 10.0)
    except TimeoutError:
        log.warning("a stage did not stop within 10 s: what it had not acknowledged is read again")
