"""How Faust reads for us: committed records alone, and each of them once a generation.

Faust's consumer is right while nothing moves. Under rebalances it reads what it should not yet,
drops what it has fetched and reads on behind it, joins a group for less than it needs, and commits
no more where transactions left their marks. What is changed here is that, method by method; each
says what went wrong without it. `Thread` runs beside the application, in a loop of its own.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from faust.transport.drivers import aiokafka as driver

from schemas.errors import Unavailable
from streams.group.standstill import Mark

SEEN_S, SEE_AGAIN_S = 60.0, 0.1  # a new topic reaches all brokers in a fraction of a second
ANSWER_S = 5.0  # for a broker that says which topics it knows; milliseconds as a rule

logging.getLogger(__name__).setLevel(logging.CRITICAL)  # Faust logs in our name, see `application`


class Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc] # Faust is untyped
    """Reads committed records alone, and knows when the group last heard of us."""

    heard: float = 0.0  # monotonic; the group keeps our partitions for SESSION_S from then

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - Faust passes it only with its own transactions
        return consumer

    async def on_start(self) -> None:
        """And note when a heartbeat is answered, as of when it was asked."""
        await super().on_start()
        coordinator = self._consumer._coordinator  # noqa: SLF001 - no event tells of a heartbeat
        beat = coordinator._do_heartbeat  # noqa: SLF001 - see above

        async def noted() -> bool:
            asked = time.monotonic()
            answered: bool = await beat()
            if answered:
                self.heard = asked
            return answered

        coordinator._do_heartbeat = noted  # noqa: SLF001 - see above

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Join the group once Kafka shows all of these topics.

        A broker may not know yet what the controller has just created, and a leader that does
        not see a changelog shares out the sources without it.
        """
        await self.call_thread(self._see, frozenset(topics))
        if not self.should_stop:
            await super().subscribe(topics)

    async def _see(self, topics: frozenset[str]) -> None:
        """In the reader's thread. Raises Unavailable when Kafka does not show them in time."""
        client = self._ensure_consumer()._client  # noqa: SLF001 - a consumer's own look asks for all topics
        began = time.monotonic()
        while not self.should_stop:
            client.set_topics(topics)
            await client.force_metadata_update()
            unseen = await self._unseen(client, topics)
            if not unseen:
                return
            if time.monotonic() - began > SEEN_S:
                raise Unavailable(
                    f"Kafka does not show {', '.join(sorted(unseen))}, {SEEN_S:g} s after they were"
                    " created: see whether its controller is there and its brokers follow it"
                )
            await asyncio.sleep(SEE_AGAIN_S)

    async def _unseen(self, client: Any, topics: frozenset[str]) -> set[str]:
        """Those that not all brokers know: the next look is at another one, and counts."""
        unseen = _missing(client.cluster, topics)
        for broker in client.cluster.brokers():
            asked = MetadataRequest(sorted(topics), allow_auto_topic_creation=False)
            told = ClusterMetadata()
            with suppress(KafkaError, TimeoutError):  # one that is away will know when it is back
                answer = await asyncio.wait_for(client.send(broker.nodeId, asked), ANSWER_S)
                told.update_metadata(answer)
                unseen |= _missing(told, topics)
        return unseen

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        """Records of these partitions, none of them when the flow was stopped meanwhile.

        Faust hands down its own set, which a rebalance empties while a fetch waits, and of an
        empty set aiokafka gives every partition's records. Faust drops what it did not ask for,
        and reads on behind it: the rest of a changelog never comes, its recovery never ends.
        """
        stops = self.consumer.stops
        places = frozenset(active_partitions)
        records = await self.call_thread(self._fetch, places, timeout, stops)
        return records if self.consumer.stops == stops else {}

    async def _fetch(self, places: frozenset[Any], patience: float, stops: int) -> Any:
        """In the reader's thread; what came too late is put back at once."""
        consumer = self._ensure_consumer()
        if self.consumer.stops != stops:
            return {}
        records = await self._fetch_records(
            consumer, places, timeout=patience, max_records=consumer._max_poll_records  # noqa: SLF001 - as Faust asks
        )  # fmt: skip
        if self.consumer.stops == stops:
            return records
        for place, taken in records.items():
            consumer.seek(place, taken[0].offset)
        return {}

    async def standing(self) -> dict[tuple[str, int], Mark]:
        """How far each of our partitions has come. Runs in the reader's thread."""
        consumer = self._ensure_consumer()
        assignment = consumer._subscription.subscription.assignment  # noqa: SLF001 - `position` waits for one
        changelogs, given = self.app.tables.changelog_topics, self.consumer.given
        places = [place for place in assignment.tps if place.topic not in changelogs]
        ends = await consumer.end_offsets(places)
        committed = await consumer._coordinator.fetch_committed_offsets(places)  # noqa: SLF001 - `committed` is of one partition
        found = {}
        for place in places:
            state = assignment.state_value(place)
            done = committed[place].offset if place in committed else 0
            at = state.position if state.has_valid_position else done
            last = given.get((place.topic, place.partition), -1)
            found[place.topic, place.partition] = Mark(last, at, ends[place], done)
        return found

    async def on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        """To be given partitions is to be heard."""
        self.heard = time.monotonic()
        await super().on_partitions_assigned(assigned, generation_id)

    async def seek_to_committed(self) -> Any:
        """Where nothing is committed yet, back to the beginning.

        aiokafka leaves such a partition where it is, and that is behind what Faust fetched, and
        threw away, before the tables were complete.
        """
        return await self.call_thread(self._seek_to_committed)

    async def _seek_to_committed(self) -> Any:
        consumer = self._ensure_consumer()
        committed = await consumer.seek_to_committed()
        for place, offset in committed.items():
            if not offset and place.topic not in self.app.tables.changelog_topics:
                consumer.seek(place, 0)
        return committed


def _missing(cluster: ClusterMetadata, topics: frozenset[str]) -> set[str]:
    known = topics - cluster.unauthorized_topics  # which the reading tells of
    return {topic for topic in known if not cluster.partitions_for_topic(topic)}


class Consumer(driver.Consumer):  # type: ignore[misc] # Faust is untyped
    """What the application knows of its partitions: paused, acknowledged, given back."""

    stops: int = 0  # how often the flow was stopped: each time, all is read from where it belongs

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.given: dict[tuple[str, int], int] = {}  # the last record of each since then
        self.first: dict[tuple[str, int], int] = {}  # and the first
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> Thread:
        return Thread(self, loop=self.loop, beacon=self.beacon)

    async def subscribe(self, topics: Any) -> None:
        """Never without the tables' changelogs.

        An application that is stopped while it starts would join for its sources alone, and the
        group would share out these apart from the changelogs, to others as well.
        """
        if self.app.tables.changelog_topics <= set(topics):
            await super().subscribe(topics)

    def stop_flow(self) -> None:
        """And forget what was given: a seek follows."""
        self.stops += 1
        self.given, self.first = {}, {}
        super().stop_flow()

    def _to_message(self, tp: Any, record: Any) -> Any:
        self.given[record.topic, record.partition] = record.offset
        self.first.setdefault((record.topic, record.partition), record.offset)
        return super()._to_message(tp, record)

    async def on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        """Nothing is read before the recovery of these partitions has said from where.

        Faust has all of them read for a moment; and a recovery that ends while its partitions
        go starts the flow, which nobody stops again.
        """
        self.stop_flow()
        self._paused_partitions.update(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Before Faust forgets what was acknowledged: finish what is under way, and commit it."""
        if revoked:
            self.stop_flow()
            await self.app.hand_over()
        try:
            if revoked:
                await self.commit()
        finally:  # what could not be committed is read again by the next owner
            await super().on_partitions_revoked(revoked)

    def resume_partitions(self, tps: Any) -> None:
        """Faust resumes before it seeks: nothing may be fetched until it resumes the flow.

        What came in between would count as read, and what the seek went back for be dropped.
        """
        self.stop_flow()
        super().resume_partitions(tps)

    def _new_offset(self, tp: Any) -> int | None:
        """We acknowledge each partition in order, so the last one is the offset to commit.

        Faust looks for holes, and stops committing for good at two of the records that
        transactions leave in a topic right after its first message.
        """
        acked = self._acked[tp]
        if not acked:
            return None
        last: int = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return last + 1

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """No holes are looked for."""

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Nothing: it counts offsets, of which a transaction's end is one that is never read."""


class Transport(driver.Transport):  # type: ignore[misc] # Faust is untyped
    """Faust's, with our consumer."""

    Consumer = Consumer
