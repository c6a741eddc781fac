"""What a running application is asked."""

import asyncio
from types import SimpleNamespace

from aiokafka import AIOKafkaConsumer

from streams.group.progress import complete, ended


def test_only_the_recovery_of_our_partitions_completes_them() -> None:
    """One that ends between two rebalances has read other changelogs than ours."""
    begins = asyncio.Event()
    recovery = SimpleNamespace(_generation_id=4, signal_recovery_start=begins)
    app = SimpleNamespace(tables=SimpleNamespace(recovery=recovery), consumer_generation_id=4)
    of_ours = complete(app)
    app.consumer_generation_id = 5  # the next partitions are known, their tables are not
    of_others = complete(app)
    recovery._generation_id = 5
    begins.set()
    assert [of_ours, of_others, complete(app)] == [True, False, False]


def test_a_consumer_that_still_starts_has_not_ended() -> None:
    """On a busy machine that takes seconds, and somebody looks once a second."""

    async def scene() -> str:
        consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
        app = SimpleNamespace(
            consumer=SimpleNamespace(_thread=SimpleNamespace(_consumer=consumer)),
            should_stop=False,
            _fetcher=SimpleNamespace(_shutdown=asyncio.Event()),
        )
        try:
            return ended(app)
        finally:
            await consumer.stop()

    assert asyncio.run(scene()) == ""
