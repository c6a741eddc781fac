"""What a worker process runs: any stages, intake and the clock, until one fails or it is told.

Intake works in a thread of its own, because its client blocks; all else shares one event loop.
"""

import asyncio
import gc
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from schemas.errors import Unavailable
from streams import worker
from streams.cluster import PATIENCE_S, quiet, reach
from streams.exposition import Exposition
from streams.intake.intake import STAGE as INTAKE
from streams.intake.intake import Intake
from streams.pipeline import BY_NAME
from streams.settings import Settings

CLOCK = "clock"
COLLECT_AFTER = (100_000, 20, 50)  # objects, and collections of the younger generation
JOIN_S = 120.0  # takes seconds, after a crash until the dead member is given up
LOOK_S = 0.3  # between two looks at the group


def names() -> tuple[str, ...]:
    """What can be run."""
    return (INTAKE, *BY_NAME, CLOCK)


def run(wanted: Sequence[str], settings: Settings, *, ready: Callable[[str], None]) -> None:
    """Run the named ones until SIGTERM or SIGINT.

    `ready` is called once all have joined, with the URL of their metrics, empty when they are
    not told. Raises Unavailable when Kafka does not answer or the port for metrics is taken,
    and what the first one to fail failed of.
    """
    reach(settings.kafka)
    with Exposition(settings.metrics) as told:

        def joined() -> None:
            told.ready(" ".join(wanted))
            ready(told.url)

        asyncio.run(_run(wanted, settings, joined, told.registry))


async def _run(
    wanted: Sequence[str],
    settings: Settings,
    ready: Callable[[], None],
    registry: CollectorRegistry,
) -> None:
    stages = [BY_NAME[name] for name in wanted if name in BY_NAME]
    stop = threading.Event()
    missing = {"stages", *({INTAKE} & set(wanted))}

    def joined(part: str) -> None:
        missing.discard(part)
        if not missing:
            rarely_collect()
            ready()

    # It hears the signals, so it runs also when it has no stage to run
    works = [
        worker.run(
            stages, settings,
            clock=CLOCK in wanted, ready=lambda: joined("stages"), registry=registry,
        )
    ]  # fmt: skip
    if INTAKE in wanted:
        works.append(_intake(settings, stop, lambda: joined(INTAKE), registry))
    tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    tasks[0].cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


def rarely_collect() -> None:
    """Let Python look for garbage cycles after many more objects, and not in what is loaded.

    A batch of records is ten thousand objects that no cycle holds: as Python comes, intake
    would look through them, and through every module's objects, several times a batch.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


async def _intake(
    settings: Settings,
    stop: threading.Event,
    ready: Callable[[], None],
    registry: CollectorRegistry,
) -> None:
    named = settings.intake.instance or f"{socket.gethostname()}-{os.getpid()}"
    chosen = settings.intake.model_copy(update={"instance": named})
    intake = Intake(chosen, settings.kafka, registry)
    working = asyncio.ensure_future(asyncio.to_thread(intake.run, stop))
    joining = asyncio.ensure_future(_joined(settings, f"{INTAKE}-{named}", intake.warm))
    try:
        await asyncio.wait({working, joining}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            joining.result()
            ready()
        await asyncio.shield(working)
    finally:
        stop.set()
        joining.cancel()
        await working


async def _joined(settings: Settings, name: str, warm: threading.Event) -> None:
    """Return once the group is settled and this worker in it. Raises Unavailable.

    Until it is warm it does not try to join: where nothing is compiled yet that takes minutes.
    """
    while not warm.is_set():  # noqa: ASYNC110 - a thread sets it
        await asyncio.sleep(LOOK_S)
    kafka = settings.kafka
    group, client = f"{kafka.prefix}{INTAKE}", f"{kafka.prefix}{name}"
    admin = AdminClient(quiet(kafka))
    deadline = asyncio.get_running_loop().time() + JOIN_S
    while asyncio.get_running_loop().time() < deadline:
        found = await asyncio.to_thread(_described, admin, group)
        settled = found is not None and found.state == ConsumerGroupState.STABLE
        if settled and any(member.client_id == client for member in found.members):
            return
        await asyncio.sleep(LOOK_S)
    raise Unavailable(f"{INTAKE} did not join its group {group} within {JOIN_S:g} s")


def _described(admin: Any, group: str) -> Any:
    try:
        return admin.describe_consumer_groups([group], request_timeout=PATIENCE_S)[group].result()
    except KafkaException:  # its coordinator is moving or loading: asked again until JOIN_S
        return None
