"""What was found on a cluster, topic by topic, for a person and for programs."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from streams.connect.look import Kind, Rate, Seen
from streams.connect.recognise import Found, recognise
from streams.formats.avro_schema import Schemas
from streams.formats.limits import Limits

NOTHING = Found("", "unsure", ())
SAID: dict[Kind, str] = {
    "empty": "no records are kept in it",
    "internal": "Kafka's or its tools' own",
    "own": "Sentinel's own",
    "foreign": "not under kafka.topic_prefix",
}
OLD_MS = 60_000  # since the last record, from which a topic counts as quiet
FAST = 10.0  # a second, from which tenths are noise


class Line(NamedTuple):
    """One topic."""

    topic: str  # on the cluster
    name: str  # in settings, which leave the prefix out
    kind: Kind
    partitions: int
    kept: int
    rate: Rate
    found: Found
    sampled: int = 0  # records that were looked at

    @property
    def settled(self) -> bool:
        """Whether nothing is left for a person to find out."""
        return self.kind != "failed" and (self.kind != "sampled" or bool(self.found.format))

    def as_dict(self) -> dict[str, Any]:
        """For programs; null where there is nothing."""
        told = self.found
        looked_at = self.kind == "sampled"
        return {
            "topic": self.topic,
            "kind": self.kind,
            "partitions": self.partitions,
            "offsets_kept": self.kept,
            "records_sampled": self.sampled,
            "format": told.format or None,
            "certainty": told.certainty if looked_at else None,
            "candidates": told.candidates,
            "reasons": told.reasons,
            "warnings": told.warnings,
            "service": told.service or None,
            "records_per_second": round(self.rate.now, 3) if looked_at else None,
            "records_per_second_in_sample": round(self.rate.tail, 3) if looked_at else None,
            "bytes_per_record": round(self.rate.size) if looked_at else None,
            "newest_ms": self.rate.last,
        }


def lines(
    seen: Iterable[Seen], now: int, prefix: str, limits: Limits, schemas: Schemas
) -> Iterator[Line]:
    """What each topic is; `now` is epoch ms, `prefix` that of all our topics."""
    for topic in seen:
        name = topic.name.removeprefix(prefix)
        sample = topic.sample
        found = NOTHING._replace(reasons=(topic.said or SAID.get(topic.kind, ""),))
        if topic.kind == "sampled":
            found = recognise(name, sample, now, limits, schemas)
        yield Line(
            topic.name, name, topic.kind, topic.partitions, topic.kept, topic.rate, found,
            len(sample),
        )  # fmt: skip


def speed(rate: Rate, now: int) -> str:
    """Records a second, for a person; of the sample, where none came while we looked."""
    if rate.last is None:
        return "-"
    if rate.now:
        return _number(rate.now)
    if now - rate.last <= OLD_MS:
        return f"~{_number(rate.tail)}" if rate.tail else "a burst"
    return "quiet"


def amount(rate: Rate, now: int) -> str:
    """Bytes a second, for a person."""
    if rate.last is None or not (rate.now or (rate.tail and now - rate.last <= OLD_MS)):
        return "-"
    size = (rate.now or rate.tail) * rate.size
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:  # noqa: PLR2004 - the unit
            return f"{_number(size)} {unit}"
        size /= 1024
    return f"{_number(size)} GiB"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= FAST else f"{value:.2g}"
