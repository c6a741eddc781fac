"""The peer that people write: a Faust agent, one event a message, scored by the same scorer.

`faust_peer.py BROKERS TOPIC EVENTS` prints events a second, from the first event handled on.
"""

import asyncio
import sys
import tempfile
import time

import faust

from agents.scorer.block import BlockState
from agents.scorer.scorer import score_rows, warm_up


class Metric(faust.Record, serializer="json", validation=False):  # type: ignore[call-arg,misc] # Faust is untyped
    """One event."""

    service: str
    metric: str
    at: int
    value: float
    labels: dict[str, str]


async def main(brokers: str, topic: str, events: int) -> float:
    """Handle `events`, return how many a second."""
    loop = asyncio.get_running_loop()
    app = faust.App(
        "bench-faust", broker=f"kafka://{brokers}", store="memory://", web_enabled=False, loop=loop,
        datadir=tempfile.mkdtemp(), topic_disable_leader=True, consumer_auto_offset_reset="earliest",
        stream_wait_empty=False, autodiscover=False,
    )  # fmt: skip
    done: asyncio.Future[float] = loop.create_future()
    state, rows = BlockState(20_000), dict[str, int]()

    @app.agent(app.topic(topic, value_type=Metric))  # type: ignore[untyped-decorator] # Faust is untyped
    async def score(stream: faust.Stream[Metric]) -> None:
        seen, began = 0, 0.0
        async for event in stream:
            began = began or time.perf_counter()
            name = f"{event.service}/{event.metric}/{event.labels['instance']}/{event.labels['endpoint']}"
            row = rows.get(name)
            if row is None:
                row = rows[name] = state.claim()
            score_rows(state, [row], [event.at / 1000], [event.value])
            seen += 1
            if seen == events:
                done.set_result(seen / (time.perf_counter() - began))

    await app.start()
    rate = await done
    await app.stop()
    return rate


if __name__ == "__main__":
    warm_up()
    print(asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
