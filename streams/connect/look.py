"""A look at a cluster that leaves nothing behind: what topics there are, their last records.

Partitions are assigned, never subscribed to, under a group name that is used once: no group
appears, no offset is committed, no topic is made, nobody's rebalance is disturbed. On a
cluster where no consumer group ever was, Kafka itself makes its `__consumer_offsets` when
the client library asks for the group's coordinator, as it does for every first consumer.
"""

import fnmatch
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

from confluent_kafka import Consumer, IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.errors import Unavailable
from schemas.topics import CATALOGUE, RAW
from streams.cluster import quiet, reach
from streams.connect.clues import Sampled
from streams.connection import KafkaSettings
from streams.leaders import Place, offsets

LAST = 50  # records of each partition
WATCH_S = 2.0  # between the two moments at which ends are compared, at least
SPREAD_MS = 1000  # of a partition's sample, below which it is a burst and tells no rate
TOPIC_BYTES = 4 * 1024 * 1024  # of one topic's sample
TOPIC_RECORDS = 1000  # the same
FARTHER = 20  # times as many offsets back, where transactions' marks fill the end
TIMEOUT_S = 30.0  # for an answer about many partitions, or for the next of their records
PLACES = 64  # partitions read at once
POLL_S = 0.2
AWAY_S = 5.0  # without any broker, after which none is waited for
INTERNAL = ("__", "_schemas", "_confluent")
Kind = Literal["sampled", "empty", "internal", "own", "foreign", "failed"]


class Rate(NamedTuple):
    """How fast a topic is; `last` is None where no record came."""

    now: float  # records/s while we looked
    tail: float  # records/s from the first to the last record of the sample; 0: a burst
    size: float  # bytes of a record, on average
    last: int | None  # epoch ms of the newest record


@dataclass
class Seen:
    """A topic, and its last records."""

    name: str
    kind: Kind
    partitions: int
    said: str = ""  # why it could not be read
    kept: int = 0  # offsets from the first to the last
    grown: float = 0.0  # offsets/s while we looked
    records: dict[int, list[Sampled]] = field(default_factory=dict)  # by partition
    size: int = 0  # bytes of the sample

    @property
    def sample(self) -> list[Sampled]:
        """All records that were read, oldest first."""
        found = [record for part in self.records.values() for record in part]
        return sorted(found, key=lambda record: record.at)

    @property
    def rate(self) -> Rate:
        """How fast it is."""
        sample = self.sample
        tail = sum(map(_per_second, self.records.values()))
        size = self.size / len(sample) if sample else 0.0
        return Rate(self.grown, tail, size, sample[-1].at if sample else None)


def _per_second(records: Sequence[Sampled]) -> float:
    times = [record.at for record in records]
    spread = max(times, default=0) - min(times, default=0)
    return (len(times) - 1) * 1000 / spread if spread >= SPREAD_MS else 0.0


Progress = Callable[[int, int], None]  # topics looked at, of how many


def look(
    kafka: KafkaSettings,
    patterns: Sequence[str] = (),
    *,
    last: int = LAST,
    watch_s: float = WATCH_S,
    progress: Progress = lambda *_: None,
) -> list[Seen]:
    """The cluster's topics, by name. Raises Unavailable.

    `patterns` as `logs.*` limit them; `last` records of each partition are read.
    """
    there = reach(kafka).topics
    wanted = [
        Seen(name, kind_of(name, kafka), partitions)
        for name, partitions in sorted(there.items())
        if not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    ]
    open_to_us = {each.name: each for each in wanted if each.kind == "sampled"}
    if not open_to_us:
        return wanted
    with Looker(kafka) as looker:
        began = time.monotonic()
        starts, ends = looker.bounds(open_to_us)
        looker.read(open_to_us, starts, ends, last, progress)
        time.sleep(max(0.0, watch_s - (time.monotonic() - began)))
        later = looker.ends(open_to_us.values())
        passed = time.monotonic() - began
    for place, end in later.items():
        open_to_us[place[0]].grown += max(0, end - ends.get(place, end)) / passed
    return wanted


def kind_of(name: str, kafka: KafkaSettings) -> Kind:
    """Whether a topic is to be looked into: Kafka's and Sentinel's own are not."""
    if name.startswith(INTERNAL):
        return "internal"
    if not name.startswith(kafka.topic_prefix):
        return "foreign"  # settings name topics without the prefix, so this one has no name there
    if name in {kafka.topic(topic) for topic in CATALOGUE if topic not in RAW}:
        return "own"
    ours = name.startswith((kafka.prefix, kafka.topic_prefix + kafka.prefix))
    if bool(kafka.prefix) and ours and ("-changelog" in name or "__assignor" in name):
        return "own"
    return "sampled"


class Looker:
    """The connection that looks."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka, self._away = kafka, ""
        patient = {**quiet(kafka), "socket.timeout.ms": int(TIMEOUT_S * 1000)}
        self._admin = AdminClient(patient)
        self._consumer = Consumer(
            {
                **patient,
                "group.id": f"{kafka.prefix}connect-{secrets.token_hex(4)}",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "allow.auto.create.topics": False,
                "auto.offset.reset": "earliest",  # where what we saw was deleted meanwhile
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": 16 * 1024,
                "error_cb": self._noted,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def bounds(self, topics: Mapping[str, Seen]) -> tuple[dict[Place, int], dict[Place, int]]:
        """First and next offsets of all partitions; topics without any record are noted."""
        starts = self._offsets(topics.values(), OffsetSpec.earliest())
        ends = self._offsets(topics.values(), OffsetSpec.latest())
        for (name, partition), start in starts.items():
            topics[name].kept += max(0, ends.get((name, partition), start) - start)
        for topic in topics.values():
            if topic.kind == "sampled" and not topic.kept:
                topic.kind = "empty"
        return starts, ends

    def ends(self, topics: Collection[Seen]) -> dict[Place, int]:
        """Next offsets of all partitions that could be read."""
        return self._offsets(
            [topic for topic in topics if topic.kind != "failed"], OffsetSpec.latest()
        )

    def _offsets(self, topics: Collection[Seen], spec: Any) -> dict[Place, int]:
        by_name = {topic.name: topic for topic in topics}
        wanted = [
            (topic.name, partition)
            for topic in topics
            if topic.kind != "failed"
            for partition in range(topic.partitions)
        ]
        found = offsets(
            self._admin, wanted, spec, TIMEOUT_S, isolation_level=IsolationLevel.READ_COMMITTED
        )
        result: dict[Place, int] = {}
        for place, offset in found.items():
            if isinstance(offset, int):
                result[place] = offset
            else:
                self._failed(by_name[place[0]], offset)
        return result

    def _failed(self, topic: Seen, error: Any) -> None:
        if error.code() in {KafkaError._TIMED_OUT, KafkaError._TRANSPORT}:  # noqa: SLF001 - librdkafka's own errors have such names
            raise Unavailable(f"Kafka at {self._kafka.brokers}: {error.str()}")
        topic.kind, topic.said = "failed", error.str()

    def read(
        self,
        topics: Mapping[str, Seen],
        starts: Mapping[Place, int],
        ends: Mapping[Place, int],
        last: int,
        progress: Progress,
    ) -> None:
        """The last records of every partition that has any. Raises Unavailable."""
        full = [topic for topic in topics.values() if topic.kind == "sampled"]
        done = 0
        for some in _portions(full):
            for back in (last, last * FARTHER):
                places = {
                    (topic.name, partition): max(start, end - min(back, _share(topic, back)))
                    for topic in some
                    if not topic.records
                    for partition in range(topic.partitions)
                    if (end := ends.get((topic.name, partition), 0))
                    > (start := starts.get((topic.name, partition), 0))
                }
                self._tails(topics, places, ends, last)
            for topic in some:
                if topic.kind == "sampled" and not topic.records:
                    topic.kind = "empty"  # transactions that were aborted, or compacted away
            done += len(some)
            progress(done, len(full))

    def _tails(
        self, topics: Mapping[str, Seen], places: Mapping[Place, int], ends: Mapping[Place, int],
        last: int,
    ) -> None:  # fmt: skip
        """Records from where `places` say to the ends."""
        if not places:
            return
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in places.items()])
        left = set(places)
        until = time.monotonic() + TIMEOUT_S
        while left and time.monotonic() < until:
            if self._away and time.monotonic() > until - TIMEOUT_S + AWAY_S:
                break
            for message in self._consumer.consume(500, POLL_S):
                until = time.monotonic() + TIMEOUT_S
                place = message.topic(), message.partition()
                if place not in left:
                    continue
                if message.error():
                    left -= self._ended(topics, place, message.error())
                    continue
                if not _taken(topics[place[0]], message, last) or (
                    message.offset() >= ends[place] - 1
                ):
                    left.discard(place)
                    self._consumer.incremental_unassign([TopicPartition(*place)])
        self._consumer.unassign()
        if left and self._away:
            raise Unavailable(f"Kafka at {self._kafka.brokers} went away: {self._away}")

    def _ended(self, topics: Mapping[str, Seen], place: Place, error: Any) -> set[Place]:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - as above
            return {place}
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            self._failed(topics[place[0]], error)
            return {place}
        return set()  # what comes again until our patience ends

    def _noted(self, error: Any) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - as above
            self._away = error.str()


def _portions(topics: Sequence[Seen]) -> Iterator[list[Seen]]:
    """Topics that are read at once."""
    held: list[Seen] = []
    for topic in topics:
        held.append(topic)
        if sum(each.partitions for each in held) >= PLACES:
            yield held
            held = []
    if held:
        yield held


def _share(topic: Seen, last: int) -> int:
    """Records of one partition, so that all partitions have some in the sample."""
    return max(1, max(TOPIC_RECORDS, last) // topic.partitions)


def _taken(topic: Seen, message: Any, last: int) -> bool:
    """Take a record; false when the topic's sample is large enough."""
    value = message.value() or b""
    count = sum(map(len, topic.records.values()))
    if count and (topic.size + len(value) > TOPIC_BYTES or count >= max(TOPIC_RECORDS, last)):
        return False
    headers = {
        str(name).lower(): (given or b"").decode("utf-8", "replace")
        for name, given in message.headers() or []
    }
    _, at = message.timestamp()
    part = topic.records.setdefault(message.partition(), [])
    part.append(Sampled(value, at if at > 0 else time.time_ns() // 1_000_000, headers))
    topic.size += len(value)
    return True
