"""What is asked of a running application: how far it has come, and whether all of it still runs.

Neither Faust nor aiokafka tells of any of this, so it is read off their insides: here and nowhere
else, so that another release of theirs has one file to break.
"""

import asyncio
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from schemas.errors import Unavailable
from streams.group.standstill import Mark
from streams.stage_metrics import Reached


def heard(app: Any) -> float:
    """When the group last heard of us, on the monotonic clock."""
    moment: float = app.consumer._thread.heard  # noqa: SLF001 - our own class, behind Faust's
    return moment


def reached(app: Any) -> dict[tuple[str, int], Reached]:
    """How far each partition was fetched that we have, changelogs included."""
    thread = app.consumer._thread  # noqa: SLF001 - Faust tells of positions only by waiting for them
    subscribed = thread._consumer and thread._consumer._subscription.subscription  # noqa: SLF001 - as above
    if not subscribed or not subscribed.assignment:
        return {}
    last, found = app.consumer._read_offset, {}  # noqa: SLF001 - as above
    first = app.consumer.first
    for place in list(subscribed.assignment.tps):
        state = subscribed.assignment.state_value(place)
        if state is not None and state.has_valid_position and state.highwater is not None:
            before = last.get(TP(place.topic, place.partition))
            found[place.topic, place.partition] = Reached(
                -1 if before is None else before,
                state.position,
                state.highwater,
                first.get((place.topic, place.partition), -1),
            )
    return found


async def standing(app: Any, patience_s: float) -> dict[tuple[str, int], Mark]:
    """How far Kafka says that each partition goes which we have, and how far we have come.

    Past Faust's queue of calls, which may be what stands still. Raises Unavailable when Kafka
    does not say so in time.
    """
    thread = app.consumer._thread  # noqa: SLF001 - our own class, behind Faust's
    asked = asyncio.run_coroutine_threadsafe(thread.standing(), thread.thread_loop)
    try:
        return await asyncio.wait_for(asyncio.wrap_future(asked), patience_s)
    except (KafkaError, TimeoutError) as error:
        raise Unavailable(f"Kafka does not say how far its partitions go: {error!r}") from error


def waiting(app: Any) -> bool:
    """Whether a partition is not read on until records before have been handled."""
    return bool(app.consumer._buffered_partitions)  # noqa: SLF001 - nothing tells of it


def ended(app: Any) -> str:
    """What should run for as long as the application does, and has ended; mostly nothing."""
    consumer = app.consumer._thread._consumer  # noqa: SLF001 - neither library tells of it
    if consumer is None or app.should_stop:
        return ""
    coordinator = consumer._coordinator  # noqa: SLF001 - as above
    if (error := getattr(coordinator, "_pending_exception", None)) is not None:
        return f"its place in the group, of {error!r}"
    parts = {
        "its place in the group": getattr(coordinator, "_coordination_task", None),
        # Neither is there while the consumer starts, which takes its time on a busy machine
        "what fetches": getattr(consumer._fetcher, "_fetch_task", None),  # noqa: SLF001 - as above
    }
    for name, task in parts.items():
        if task is not None and task.done():
            return name
    return "what hands records on" if app._fetcher._shutdown.is_set() else ""  # noqa: SLF001 - as above


def complete(app: Any) -> bool:
    """Whether the recovery that says it has ended is that of the partitions we have now.

    One may end while its partitions go, and before that of the next has begun.
    """
    recovery = app.tables.recovery
    current: bool = recovery._generation_id == app.consumer_generation_id  # noqa: SLF001 - the signal carries nothing
    return current and not recovery.signal_recovery_start.is_set()


def remaining(app: Any) -> int:
    """Records of changelogs that are still to be read before work begins."""
    left: int = app.tables.recovery.active_remaining_total()
    return left
