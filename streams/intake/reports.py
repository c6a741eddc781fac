"""What intake refused or left out of late, from its own reports: Kafka is all that is needed.

No group is joined and nothing is committed. Reports tell each omission once, in the transaction
that made it, so their sums are exact whatever was killed meanwhile. Lag is asked of the brokers, so
that it is told also when no worker runs.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from confluent_kafka import (
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.avro import HEADER, decode
from schemas.errors import Rejected, Unavailable
from schemas.intake import IntakeReport, Kind, Omission
from schemas.topics import INTAKE_REPORTS
from streams import leaders
from streams.cluster import PATIENCE_S, quiet, reach
from streams.committed import Committed
from streams.connection import KafkaSettings

log = logging.getLogger(__name__)
LARGEST = 16 * 1024 * 1024  # bytes
GIVES_S = 20.0  # until what is known to be there must come, from a busy broker, too


@dataclass
class Sum:
    """Omissions of one kind."""

    elements: int = 0
    letters: int = 0
    example: Omission | None = None  # the newest


@dataclass
class Read:
    """What was read of a topic for a tenant."""

    records: int = 0
    size: int = 0
    samples: int = 0
    lines: int = 0


@dataclass
class Summary:
    """All reports of a time, summed."""

    omissions: dict[Kind, Sum] = field(default_factory=dict)
    flows: dict[tuple[str, str], Read] = field(default_factory=dict)
    workers: dict[str, datetime] = field(default_factory=dict)  # each one's last word
    held: set[str] = field(default_factory=set)  # tenants, in a worker's last word


def summed(reports: Iterable[IntakeReport]) -> Summary:
    """The sums of reports, given in each worker's order; one that comes again counts once."""
    result, seen = Summary(), set[str]()
    held: dict[str, tuple[str, ...]] = {}
    for report in reports:
        if report.id and report.id in seen:
            continue
        seen.add(report.id)
        result.workers[report.worker] = report.at
        held[report.worker] = report.held
        for omission in report.omissions:
            total = result.omissions.setdefault(omission.kind, Sum())
            total.elements += omission.elements
            total.letters += omission.letters
            if total.example is None or omission.offset >= 0:
                total.example = omission
        for flow in report.flows:
            read = result.flows.setdefault((flow.topic, flow.tenant), Read())
            read.records += flow.records
            read.size += flow.size
            read.samples += flow.samples
            read.lines += flow.lines
    result.held = {tenant for tenants in held.values() for tenant in tenants}
    return result


def reports(kafka: KafkaSettings, since: datetime) -> Iterator[IntakeReport]:
    """The reports that were written from `since` on, of each worker in order.

    Raises Unavailable when Kafka does not answer, Rejected when there is no topic of reports.
    """
    topic = kafka.topic(INTAKE_REPORTS)
    partitions = reach(kafka).topics.get(topic, 0)
    if not partitions:
        raise Rejected(f"topic {topic} does not exist: run `sentinel topics create`")
    consumer = Consumer(
        {
            **quiet(kafka),
            "group.id": f"{kafka.prefix}intake-report",  # must be there; it is never joined
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.message.max.bytes": LARGEST,
        }
    )
    try:
        yield from _read(consumer, topic, partitions, since)
    except KafkaException as error:
        raise Unavailable(f"Kafka at {kafka.brokers}: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _read(
    consumer: Consumer, topic: str, partitions: int, since: datetime
) -> Iterator[IntakeReport]:
    moment = int(since.timestamp() * 1000)
    asked = [TopicPartition(topic, number, moment) for number in range(partitions)]
    begin = [p for p in leaders.since(consumer, asked, PATIENCE_S) if p.offset != OFFSET_END]
    left = {place.partition for place in begin}
    if left:
        consumer.assign(begin)
    while left:
        message = consumer.poll(GIVES_S)
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - librdkafka's own errors have such names
        if message.error() is None:
            yield from _told(message)
        elif message.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - as above
            left.discard(message.partition())
        else:
            raise KafkaException(message.error())


def _told(message: Any) -> Iterator[IntakeReport]:
    """The report in a record; what holds none is said, and costs no other."""
    schema = dict(message.headers() or []).get(HEADER) or b""
    try:
        event = decode(message.value() or b"", schema.decode("utf-8", "replace"))
    except Rejected as error:
        place = f"{message.topic()}/{message.partition()}/{message.offset()}"
        log.warning("%s is no report: %s", place, error)
    else:
        if isinstance(event, IntakeReport):
            yield event


def lag(kafka: KafkaSettings, group: str, topics: Iterable[str]) -> dict[str, int]:
    """Records of each topic that the group has not committed; topics that are there alone.

    Raises Unavailable.
    """
    partitions = reach(kafka).topics
    places = [(topic, p) for topic in topics for p in range(partitions.get(topic, 0))]
    if not places:
        return {}
    admin = AdminClient(quiet(kafka))
    try:
        with closing(Committed(quiet(kafka), f"{kafka.prefix}{group}")) as asked:
            committed = asked(places, PATIENCE_S)
        ends = leaders.every_offset(admin, places, OffsetSpec.latest(), PATIENCE_S)
        begins = leaders.every_offset(admin, places, OffsetSpec.earliest(), PATIENCE_S)
    except KafkaException as error:
        raise Unavailable(f"Kafka at {kafka.brokers}: {error.args[0].str()}") from error
    result = dict.fromkeys((topic for topic, _ in places), 0)
    for place, offset in committed.items():
        done = max(offset, begins[place])  # negative: nothing was committed
        result[place[0]] += max(0, ends[place] - done)
    return result
