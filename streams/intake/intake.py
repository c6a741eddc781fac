"""Intake: raw bytes in, frames out, and the worker loop around both.

Raw records are read in batches, parsed column by column by their topic's format, and
written as frames to the partition of their service. What cannot be read goes to the dead
letters with what it broke. Offsets, frames and letters are one Kafka transaction, so a
record is in the frames or in the dead letters exactly once, whatever is killed when.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME
from prometheus_client import CollectorRegistry

from schemas.avro import encode
from schemas.errors import Denied, SentinelError, Unavailable
from schemas.frames import pulse, write_samples
from schemas.operations import DeadLetter
from schemas.topics import DEADLETTERS, INTAKE_REPORTS, LOGLINES, SAMPLES
from streams.connection import KafkaSettings
from streams.formats import FORMATS, format_of
from streams.formats.avro_schema import NoSchemas
from streams.formats.columns import Batch, Parsed, Reading, Reject, joined, refused
from streams.formats.registry import Registry
from streams.formats.series import SeriesIndex
from streams.intake.account import Account
from streams.intake.exactly_once import ExactlyOnce
from streams.intake.framing import Frame, line_frames, sample_frames
from streams.intake.lanes import DEFAULT
from streams.intake.metrics import IntakeMetrics
from streams.intake.pulse import Pulse
from streams.intake.redaction import Redaction
from streams.intake.settings import IntakeSettings
from streams.intake.suspects import suspects
from streams.intake.tenants import Tenancy, lanes, owner

log = logging.getLogger(__name__)
STAGE = "intake"
KEPT_BYTES = 64 * 1024  # of a dead letter's original; its true size is told beside it
EARLIEST = 946_684_800_000  # ms, of 2000: before is -1 for none, 0, or seconds taken for ms
AHEAD = 3_600_000  # ms that a producer's clock may be ahead, as brokers have it by default
KEPT_HEADERS, KEPT_HEADER = 32, 1024  # how many, and characters of each
HOUSEKEEPING_S = 1.0  # gauges, idle series
SHORTEST_S = 0.02  # of a wait for records
PACE = 3.0  # commits: a wait is so long, which leaves a commit a quarter of the time at most


class Source(NamedTuple):
    """How a topic's records are to be read, unless they say otherwise."""

    format: str
    service: str  # of records that name none
    tenant: str  # of records whose headers name none


class Part(NamedTuple):
    """Records of one topic, tenant and format."""

    topic: str
    tenant: str
    format: str
    reading: Reading


class Intake:
    """A worker of the group that turns raw topics into frames."""

    def __init__(
        self,
        settings: IntakeSettings,
        kafka: KafkaSettings,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        """`clock` gives epoch ms, for pulses; the machine's if none is given."""
        self._settings, self._kafka, self._clock = settings, kafka, clock or _now
        self._metrics = IntakeMetrics(registry or CollectorRegistry())
        self.warm = threading.Event()  # set once all is compiled, before the group is joined
        self._registry = Registry(settings.registry) if settings.registry.url else None
        self._redaction = Redaction(settings.redaction, settings.limits.decoded_bytes)
        self._tenancy = Tenancy(
            settings.tenants,
            settings.limits,
            settings.tenant_label,
            self._registry or NoSchemas(),
            self._redaction.label,
        )
        self._lanes = lanes(settings.tenants, kafka.topic_prefix)
        self._sources = {
            kafka.topic_prefix + topic: Source(
                name, settings.services.get(topic, ""), owner(settings.tenants, topic)
            )
            for topic, name in settings.topics.items()
        }
        self._name = settings.instance or f"{socket.gethostname()}-{os.getpid()}"
        self._began, self._reports = _now(), 0
        self._account = Account(self._name, datetime.now(UTC))
        self._partitions: dict[str, int] = {}
        self._tidied = 0.0
        self._record_bytes = 0.0  # of the last turn's records, on average

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; everything read by then is committed.

        Raises FencedError when another worker took this one's name, Rejected when a topic
        to write to does not exist.
        """
        try:
            self._work(stop)
        finally:
            if self._registry:
                self._registry.close()

    def _work(self, stop: threading.Event) -> None:
        settings = self._settings
        warm_up(
            self._tenancy.readings[DEFAULT], {source.format for source in self._sources.values()}
        )
        self.warm.set()
        with ExactlyOnce(
            self._kafka,
            group=STAGE,
            name=f"{STAGE}-{self._name}",
            topics=sorted(self._sources),
            stop=stop,
            ended=self._ended,
            start=settings.start,
            consumer={
                "queued.max.messages.kbytes": settings.queue_kib,
                "session.timeout.ms": settings.session_timeout_ms,
                "heartbeat.interval.ms": settings.session_timeout_ms // 6,
            },
            transaction_timeout_ms=settings.transaction_timeout_ms,
            lanes=self._lanes,
            ending=self._ending,
        ) as loop:
            for topic in (SAMPLES, LOGLINES, DEADLETTERS, INTAKE_REPORTS):
                self._partitions[topic.name] = loop.partitions(self._kafka.topic(topic))
            with Pulse(
                self._kafka,
                group=f"{self._kafka.prefix}{STAGE}",
                topics=self._sources,
                every_s=settings.pulse_s,
                clock=self._clock,
                holds=loop.has,
            ) as pulses:
                while not stop.is_set():
                    self._turn(loop, pulses)

    def _ended(self, committed: bool) -> None:  # noqa: FBT001 - the loop's call
        """Follow the end of a transaction."""
        for omission in self._account.omissions():
            self._metrics.omitted(omission)
        self._metrics.ended(committed=committed)
        self._account.ended(committed=committed)
        for reading in self._tenancy.readings.values():
            reading.series.totals.ended(committed=committed)

    def _ending(self, loop: ExactlyOnce) -> None:
        """Tell, in the transaction itself, what it keeps out."""
        report = self._account.report(datetime.now(UTC), self._lanes.held())
        if report is not None:
            self._reports += 1
            cause = f"{report.worker}/{self._began}/{self._reports}"
            stamped = report.stamped(stage=STAGE, cause=cause, position="0", trace="")
            value, headers = encode(stamped)
            key = report.worker.encode()
            loop.produce(self._kafka.topic(INTAKE_REPORTS), value, key=key, headers=headers)

    def _turn(self, loop: ExactlyOnce, pulses: Pulse) -> None:
        most = fitting(self._settings, self._record_bytes)
        longest = self._settings.commit_ms / 1000
        read = loop.consume(most, min(longest, max(PACE * loop.commit_s, SHORTEST_S)))
        if read:
            with self._metrics.parse_seconds.time():
                sizes = [self._handle(topic, messages, loop) for topic, messages in read.items()]
            self._record_bytes = sum(sizes) / sum(map(len, read.values()))
        if pulses.found and loop.begin() and (as_of := pulses.take()):
            value = write_samples(pulse(as_of))
            for partition in range(self._partitions[SAMPLES.name]):
                self._send(loop, self._kafka.topic(SAMPLES), "pulses", Frame(partition, value, 0))
        if sum(map(len, read.values())) < most or loop.age_s > longest:
            loop.commit()
            self._tidy(loop)

    def _tidy(self, loop: ExactlyOnce) -> None:
        if time.monotonic() - self._tidied < HOUSEKEEPING_S:
            return
        self._tidied = time.monotonic()
        held = self._lanes.held()
        for tenant, reading in self._tenancy.readings.items():
            reading.series.sweep(_now())
            self._metrics.series.labels(tenant).set(len(reading.series))
            self._metrics.held.labels(tenant).set(tenant in held)
        for (topic, partition), records in loop.lag().items():
            self._metrics.lag.labels(topic, str(partition)).set(records)

    def _handle(self, topic: str, messages: Sequence[Any], loop: ExactlyOnce) -> int:
        """Records of a topic to frames; their bytes."""
        source = self._sources[topic]
        began, size = time.perf_counter(), 0
        for name, among in by_format(messages, source.format).items():
            for tenant, records in self._tenancy.split(among, source.tenant).items():
                batch = batch_of(records, source.service, _now())
                size += (its := sum(map(len, batch.values)))
                self._metrics.add("records", len(records), topic, tenant)
                self._metrics.add("bytes", its, topic, tenant)
                part = Part(topic, tenant, name, self._tenancy.readings[tenant])
                parsed = self._parsed(name, batch, part.reading)
                self._account.read((topic, tenant), len(records), its, parsed)
                self._write(part, parsed, records, loop)
        self._lanes.cost(topic, size, time.perf_counter() - began)
        return size

    def _parsed(self, name: str, batch: Batch, reading: Reading) -> Parsed:
        parser = FORMATS.get(name)
        if parser is None:
            return refused(len(batch.values), "unknown-format", f"no format {name!r:.80}")
        try:
            return parser(batch, reading)
        except (Unavailable, Denied):
            raise  # no fault of the record: what is needed to read it is away
        except Exception:
            if len(batch.values) == 1:
                log.exception("a fault in the format %s; its record goes to the dead letters", name)
                return refused(1, "parser-failed", f"a fault of ours in the format {name}")
        return self._one_by_one(name, batch, reading)

    def _one_by_one(self, name: str, batch: Batch, reading: Reading) -> Parsed:
        """The batch, read record by record, so that a parser's fault costs one record."""
        parts = [self._parsed(name, batch.only(i), reading) for i in range(len(batch.values))]
        return joined(parts)

    def _write(self, part: Part, parsed: Parsed, records: Sequence[Any], loop: ExactlyOnce) -> None:
        metrics, most = self._metrics, self._settings.frame_rows
        index = part.reading.series
        for frame in sample_frames(parsed.samples, index, self._partitions[SAMPLES.name], most):
            self._send(loop, self._kafka.topic(SAMPLES), "samples", frame)
        lines = self._redaction.lines(parsed.lines)
        for frame in line_frames(lines, self._partitions[LOGLINES.name], most):
            self._send(loop, self._kafka.topic(LOGLINES), "lines", frame)
        now, whose = datetime.now(UTC), (part.topic, part.tenant)
        for reject in parsed.rejects:
            dead = letter(records[reject.record], reject, now, self._redaction, part.format)
            value, headers = encode(dead)
            topic = self._kafka.topic(DEADLETTERS)
            key = records[reject.record].topic().encode()
            loop.produce(topic, value, key=key, headers=headers)
            its = reject._replace(reason=dead.reason)
            self._account.refused(whose, its, records[reject.record])
        metrics.add("samples", len(parsed.samples.code), part.format)
        metrics.add("lines", len(parsed.lines.service), part.format)

    def _send(self, loop: ExactlyOnce, topic: str, kind: str, frame: Frame) -> None:
        loop.produce(topic, frame.value, key=b"%d" % frame.partition, partition=frame.partition)
        self._metrics.add("frames", 1, kind)


def fitting(settings: IntakeSettings, record_bytes: float) -> int:
    """Records of the next batch, when those of the last one had so many bytes on average."""
    told = settings.batch_kib * 1024 / max(record_bytes, 1.0)
    return max(1, min(settings.batch_records, int(told)))


def batch_of(records: Sequence[Any], service: str, now: int) -> Batch:
    """Records as a batch; `now` is epoch ms.

    Lateness is counted from a record's own time, so that what waited in Kafka while we were
    away is not late. A broker's time also replaces our clock: a replay then decides the same.
    A producer may say anything: a time that cannot be is taken for none, and then ours counts.
    """
    kind, _ = records[0].timestamp()  # a setting of the topic
    at = np.array([record.timestamp()[1] for record in records], np.int64)
    values = [record.value() or b"" for record in records]
    if kind == TIMESTAMP_LOG_APPEND_TIME:
        return Batch(values, at, at, service)
    said = (at >= EARLIEST) & (at <= now + AHEAD)
    return Batch(values, np.where(said, at, now), np.full(len(values), now, np.int64), service)


def warm_up(reading: Reading, formats: Collection[str] = ()) -> None:
    """Read and frame one sample: the first time takes a second or two of imports.

    Three times: then its series, its bytes and what reads them without Python are known.
    Each of `formats` reads an empty record, which loads it, and compiles what it compiles.
    Better before the group gives us partitions than with records waiting.
    """
    event = b'{"service":"-","metric":"-","at":"2026-01-01T00:00:00Z","value":0}'
    at = np.array([1_767_225_600_000], np.int64)
    scratch = Reading(reading.limits, SeriesIndex(reading.limits))
    for name in formats:
        FORMATS[name](Batch([b""], at, at), scratch)
    for _ in range(3):
        parsed = FORMATS["json"](Batch([event], at, at), scratch)
    list(sample_frames(parsed.samples, scratch.series, 1, 1))
    suspects([""], 0)


def by_format(records: Sequence[Any], otherwise: str) -> dict[str, Sequence[Any]]:
    """Records by the format that their headers name, or else their topic's."""
    headers = [record.headers() for record in records]
    if not any(headers):
        return {otherwise: records}
    result: dict[str, Sequence[Any]] = {}
    for record, said in zip(records, headers, strict=True):
        name = format_of(_told(said), otherwise) if said else otherwise
        result.setdefault(name, []).append(record)  # type: ignore[attr-defined]
    return result


def letter(
    record: Any, reject: Reject, now: datetime, redaction: Redaction, name: str
) -> DeadLetter:
    """The dead letter of a record of the format `name`."""
    value: bytes = record.value() or b""
    place = f"{record.topic()}/{record.partition()}/{record.offset()}"
    headers = redaction.headers(_told(record.headers() or []))
    shown = redaction.letter(value, reject.reason, KEPT_BYTES, packed="remote-write" in name)
    unstamped = DeadLetter(
        at=now,
        group=record.topic(),
        stage=STAGE,
        rule=reject.rule,
        reason=shown.reason[:1000],
        topic=record.topic(),
        partition=record.partition(),
        offset=record.offset(),
        size=len(value),
        original=shown.original,
        headers=headers,
    )
    trace = headers.get("traceparent", "")
    return unstamped.stamped(stage=STAGE, cause=place, position=reject.rule, trace=trace)


def serve(
    settings: IntakeSettings, kafka: KafkaSettings, registry: CollectorRegistry | None = None
) -> int:
    """Run a worker in this process until SIGTERM or SIGINT; the exit status."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        Intake(settings, kafka, registry).run(stop)
    except SentinelError as error:
        log.error("%s", error)  # noqa: TRY400 - it is one line for a person, not a fault of ours
        return 1
    return 0


def _now() -> int:
    return time.time_ns() // 1_000_000


def _told(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    return {
        name.lower()[:KEPT_HEADER]: (value or b"")[:KEPT_HEADER].decode(errors="backslashreplace")
        for name, value in headers[:KEPT_HEADERS]
    }
