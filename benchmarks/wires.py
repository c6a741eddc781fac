"""Wire formats at speed: raw records to frames and on to what people see, beside a plain decode.

For each kind of `benchmarks/payloads.py`, one after another on one broker, over the same bytes:

1. plain confluent-kafka consume + decode, which does nothing with what it has: the library's
   parse alone, and the parse with every label, time and value made a Python object. The latter
   is the peer, as `orjson.loads` is for JSON. It reads for at least five seconds, the topic again
   where that is too short, and does so twice, before 2 and after 3: its rate is that of both
   together, and each one's is told beside it, since a machine that others share swings.
2. intake alone, raw records to frames. From the first commit seen to the last one.
3. intake and what reads the frames, each a worker process: metrics to the anomalies that the
   last samples must give, lines to the template rates of the last interval.

Lines are three million: ours begins with origins and templates to learn, whose cost is in its
rates and in its CPU, and no more than a few hundredths of so many. Their times fill 51 minutes,
and what is older than an hour is refused: they must be in Kafka nine minutes after they were made.

Samples and lines in frames are counted afterwards; a single one missing ends the bench. CPU is
of the run of 3, by process and the broker's, start-up left out; bytes are those of the topics'
segments on the broker's disk, as batches travel, compression included.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from benchmarks.histogram_payloads import HISTOGRAMS
from benchmarks.load import producer, send
from benchmarks.payloads import LINE_MS, PAYLOADS, QUIET_MS, SERVICES, STEP_MS, Payload
from benchmarks.workers import Workers, cpu_seconds, resident_mib
from schemas.avro import decode
from schemas.frames import read_coded_lines, read_samples, service_of
from schemas.topics import ANOMALIES, CATALOGUE, LARGE, LOGLINES, PARTITIONS, SAMPLES, Topic
from streams import topics
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings

RAW = Topic("raw.bench", None, "producer", 3_600_000, settings=LARGE)
LAPS = 200  # samples a series: the scorer must be warm for the last ones to be alarms
LINES = 3_000_000
PEER_S = 5.0  # that a plain decoder reads for, each time
AHEAD_KIB = 32 * 1024  # that it fetches ahead: enough, and little is left over when time is up
TAIL = 200  # offsets of a partition of frames, among which its last lines are
LOOK_S = 0.02
PATIENCE_S = 180.0


def run(
    say: Callable[[str], None], *, laps: int = LAPS, lines: int = LINES, only: str = ""
) -> dict[str, Any]:
    """Rates in samples or lines a second, CPU, memory and bytes, by kind; `only` one of them."""
    results: dict[str, Any] = {}
    for make in (*PAYLOADS, *HISTOGRAMS):
        if only in {"", make.__name__}:
            now = time.time_ns() // 1_000_000
            metric = "lines" not in make.__name__ and "logs" not in make.__name__
            size, span = (laps, laps * STEP_MS) if metric else (lines, lines * LINE_MS + QUIET_MS)
            payload = make(size, now - span)
            say(f"{payload.said}: {payload.elements:,} in {len(payload.records):,} records")
            results |= _row(payload, say)
    return results


def _row(payload: Payload, say: Callable[[str], None]) -> dict[str, Any]:
    name = payload.name
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as folder:
        data = Path(folder)
        with EmbeddedBroker(data_dir=data) as broker:
            (pid,) = broker.pids.values()
            alone = KafkaSettings(brokers=broker.bootstrap, topic_prefix="a.", prefix="a-")
            whole = KafkaSettings(brokers=broker.bootstrap, topic_prefix="b.", prefix="b-")
            for kafka in (alone, whole):
                topics.create(kafka, (*CATALOGUE, RAW))
                _fill(kafka, payload)
            bare = _plain(alone, payload, payload.parse)
            before = _plain(alone, payload, payload.read)
            framed = _framed(alone, payload)
            seen = _seen(whole, payload, pid)
            after = _plain(alone, payload, payload.read)
            raw, frames = (_size(data, whole, topic) for topic in (RAW, _frames(payload)))
    both = before + after
    plain = both.per_s
    results = {
        f"plain_consume_{name}_per_s": plain,
        f"plain_consume_{name}_parse_only_per_s": bare.per_s,
        f"plain_consume_{name}_twice_per_s": {"before": before.per_s, "after": after.per_s},
        f"raw_{name}_to_frames_per_s": framed,
        f"raw_{name}_per_s": seen["per_s"],
        f"of_plain_consume_{name}": seen["per_s"] / plain,
        f"of_plain_consume_{name}_to_frames": framed / plain,
        f"cpu_us_{name}": {
            **seen["cpu"],
            "plain consumer": both.cpu_us,
            "plain consumer, parse only": bare.cpu_us,
        },
        f"memory_mib_{name}": seen["memory"],
        f"bytes_{name}": {
            "raw": payload.bytes / payload.elements,
            "raw on the wire": raw / payload.elements,
            "frames on the wire": frames / payload.elements,
        },
    }
    what = "lines" if payload.lines else "points" if payload.samples else "samples"
    end = "template rates" if payload.lines else "anomalies"
    say(f"  plain consume + {payload.decoder}: {plain:,.0f} {what}/s "
        f"({before.per_s:,.0f} before ours, {after.per_s:,.0f} after; parse alone {bare.per_s:,.0f})")  # fmt: skip
    say(f"  raw to frames: {framed:,.0f} {what}/s, {framed / plain:.2f} of it")
    say(f"  raw to {end}: {seen['per_s']:,.0f} {what}/s, {seen['per_s'] / plain:.2f} of it")
    for said in ("cpu_us", "memory_mib", "bytes"):
        shown = ", ".join(f"{k} {v:,.2f}" for k, v in results[f"{said}_{name}"].items())
        say(f"  {said}: {shown}")
    return results


def _fill(kafka: KafkaSettings, payload: Payload) -> None:
    sender, topic = producer(kafka), kafka.topic(RAW)
    for number, value in enumerate(payload.records):
        send(sender, topic, value, b"%d" % (number % payload.ways))
    sender.flush()


def _frames(payload: Payload) -> Topic:
    return LOGLINES if payload.lines else SAMPLES


# ---- the peer


class Peer(NamedTuple):
    """What a plain consumer read, and in what time."""

    elements: float
    seconds: float
    cpu_s: float  # of this process

    def __add__(self, other: "Peer") -> "Peer":  # type: ignore[override] # a sum, no tuple
        """Both together."""
        return Peer(*(one + its for one, its in zip(self, other, strict=True)))

    @property
    def per_s(self) -> float:
        """Elements a second."""
        return self.elements / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU of an element, us."""
        return self.cpu_s / self.elements * 1e6


def _plain(kafka: KafkaSettings, payload: Payload, decoder: Callable[[bytes], Any]) -> Peer:
    """A consumer that decodes and forgets, for `PEER_S`, from the topic's beginning each time."""
    settings = {"fetch.message.max.bytes": 8 * 1024 * 1024, "queued.max.messages.kbytes": AHEAD_KIB}
    consumer = _consumer(kafka, "plain", **settings)
    places = [TopicPartition(kafka.topic(RAW), p, OFFSET_BEGINNING) for p in range(RAW.partitions)]
    found = Peer(0.0, 0.0, 0.0)
    while found.seconds < PEER_S:
        consumer.assign(places)
        found += _pass(consumer, payload, decoder, PEER_S - found.seconds)
    consumer.close()
    return found


def _pass(
    consumer: Consumer, payload: Payload, decoder: Callable[[bytes], Any], longest_s: float
) -> Peer:
    """Once through the topic, or as far as the time goes; the clock starts with a first record."""
    if not consumer.consume(1, timeout=30):
        raise RuntimeError("the plain consumer got nothing in 30 s")
    seen, records = 0, len(payload.records) - 1
    began, spent, took = time.perf_counter(), time.process_time(), 0.0
    while seen < records and took < longest_s:
        messages = consumer.consume(min(10_000, records - seen), timeout=0.1)
        for message in messages:
            decoder(message.value())
        seen += len(messages)
        took = time.perf_counter() - began
    elements = payload.elements * seen / len(payload.records)
    return Peer(elements, took, time.process_time() - spent)


def _consumer(kafka: KafkaSettings, group: str, **settings: Any) -> Consumer:
    return Consumer(
        {
            **kafka.confluent(), "group.id": group, "enable.auto.commit": False,
            "queued.min.messages": 10_000_000, "queued.max.messages.kbytes": 262_144,
            "fetch.queue.backoff.ms": 5, **settings,
        }
    )  # fmt: skip


# ---- ours


def _framed(kafka: KafkaSettings, payload: Payload) -> float:
    """Elements a second from raw records to frames, nobody reading these."""
    with _working(kafka, payload, {}) as workers:
        began, before, ended = _committed(kafka, workers)
    share = 1 - before / len(payload.records)
    _counted(kafka, payload)
    return payload.elements * share / (ended - began)


def _seen(kafka: KafkaSettings, payload: Payload, broker: int) -> dict[str, Any]:
    """The same to the end of the stage that reads the frames; CPU and memory by process."""
    stage = "logs" if payload.lines else "detect"
    with _working(kafka, payload, {stage: [stage]}) as workers:
        pids = {name: pid for one in workers for name, pid in one.pids.items()}
        pids["broker"] = broker
        at_first = {name: cpu_seconds(pid) for name, pid in pids.items()}
        began, before, _ = _committed(kafka, workers)
        wait = _rates_until if payload.lines else _anomalies_until
        ended = wait(kafka, payload)
        cpu = {name: cpu_seconds(pid) - at_first[name] for name, pid in pids.items()}
        memory = {name: resident_mib(pid) for name, pid in pids.items()}
    share = 1 - before / len(payload.records)
    return {
        "per_s": payload.elements * share / (ended - began),
        "cpu": {name: seconds / payload.elements * 1e6 for name, seconds in cpu.items()},
        "memory": memory,
    }


@contextmanager
def _working(
    kafka: KafkaSettings, payload: Payload, others: Mapping[str, list[str]]
) -> Iterator[tuple[Workers, Workers]]:
    """Intake, and before it what reads its frames."""
    told = {"INTAKE__TOPICS": orjson.dumps({RAW.name: payload.format}).decode()}
    if payload.service:
        told["INTAKE__SERVICES"] = orjson.dumps({RAW.name: payload.service}).decode()
    with Workers(kafka, {**others}, **told) as readers:
        readers.wait_ready()
        with Workers(kafka, {"intake": ["intake"]}, **told) as intake:
            intake.wait_ready()
            yield (readers, intake)


def _committed(kafka: KafkaSettings, workers: tuple[Workers, ...]) -> tuple[float, int, float]:
    """When intake's first commit was seen and what it held, and when the last was; epoch s."""
    consumer = Consumer({**kafka.confluent(), "group.id": f"{kafka.prefix}intake"})
    places = [TopicPartition(kafka.topic(RAW), p) for p in range(RAW.partitions)]
    began, first, end = 0.0, 0, time.monotonic() + PATIENCE_S
    ends = sum(consumer.get_watermark_offsets(place)[1] for place in places)
    try:
        while True:
            done = sum(max(place.offset, 0) for place in consumer.committed(places, timeout=10))
            now = time.time()
            if done and not first:
                began, first = now, done
            if done >= ends:
                if first >= ends:
                    raise RuntimeError("all was one commit of intake's: too little for a rate")
                return began, first, now
            for one in workers:
                one.check()
            if time.monotonic() > end:
                raise RuntimeError(f"intake read {done} of {ends} records in {PATIENCE_S:g} s")
            time.sleep(LOOK_S)
    finally:
        consumer.close()


def _counted(kafka: KafkaSettings, payload: Payload) -> None:
    """Raise RuntimeError when frames do not hold exactly what was written."""
    topic, found = _frames(payload), 0
    read: Callable[[bytes], Any] = read_coded_lines if payload.lines else read_samples
    for message in everything(kafka, topic):
        found += len(read(message.value()))
    if found != (due := payload.samples or payload.elements):
        raise RuntimeError(f"{found} in frames, {due} due")


def everything(kafka: KafkaSettings, topic: Topic, *, tail: int = 0) -> Iterator[Any]:
    """The committed records of a topic, of the last `tail` offsets of each partition, 0: all."""
    consumer = _consumer(
        kafka,
        "everything",
        **{"isolation.level": "read_committed", "enable.partition.eof": True},
    )
    places = [TopicPartition(kafka.topic(topic), p) for p in range(topic.partitions)]
    for place in places:
        low, high = consumer.get_watermark_offsets(place, timeout=10)
        place.offset = max(low, high - tail) if tail else low
    consumer.assign(places)
    left = topic.partitions
    while left:
        for message in consumer.consume(1000, timeout=1.0):
            if message.error() is None:
                yield message
            else:  # the end of a partition
                left -= 1
    consumer.close()


def _anomalies_until(kafka: KafkaSettings, _payload: Payload) -> float:
    """When the last service's jump was said, epoch s."""
    waiting, ended = set(range(SERVICES)), 0
    for message in _following(kafka, ANOMALIES):
        event: Any = decode(message.value(), dict(message.headers())["schema"].decode())
        if event.change == "opened" and event.value > 4000:
            waiting.discard(int(event.service.removeprefix("service-")))
            ended = max(ended, message.timestamp()[1])
        if not waiting:
            break
    return ended / 1000


def _rates_until(kafka: KafkaSettings, payload: Payload) -> float:
    """When the rates of the last interval before the quiet end were said, epoch s."""
    last = max(
        int(read_coded_lines(m.value()).at.max()) for m in everything(kafka, LOGLINES, tail=TAIL)
    )
    services = (
        {payload.service} if payload.service else {f"service-{k:03d}" for k in range(SERVICES)}
    )
    ended = 0
    for message in _following(kafka, SAMPLES):
        frame = read_samples(message.value())
        if len(frame) and int(frame.at.max()) > last - QUIET_MS:
            services.discard(service_of(frame.names[0]))
            ended = max(ended, message.timestamp()[1])
        if not services:
            break
    return ended / 1000


def _following(kafka: KafkaSettings, topic: Topic) -> Iterator[Any]:
    """A topic's records from its beginning on, for as long as there is patience."""
    consumer = _consumer(kafka, "following", **{"fetch.wait.max.ms": 20})
    consumer.assign([TopicPartition(kafka.topic(topic), p, OFFSET_BEGINNING) for p in range(PARTITIONS)])  # fmt: skip
    end = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < end:
            message = consumer.poll(1.0)
            if message is not None and message.error() is None:
                yield message
    finally:
        consumer.close()
    raise RuntimeError(f"{topic.name} does not say all that it must, after {PATIENCE_S:g} s")


def _size(data: Path, kafka: KafkaSettings, topic: Topic) -> int:
    """Bytes of a topic's segments on the broker's disk."""
    name = kafka.topic(topic)
    return sum(file.stat().st_size for file in data.glob(f"node-*/data/{name}-*/*.log"))
