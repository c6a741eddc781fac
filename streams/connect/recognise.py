"""Which format a topic seems to have, how sure that is, and why: from a sample of its records.

Two things must agree: what marks the records as one producer's, and what the format's own
reader takes. `sure` needs both of nearly every record, `likely` of most. Where two formats
explain the records equally, or half the records are something else, the answer is `unsure`
and names the candidates: a person decides, nothing is guessed.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from schemas.errors import Denied, Unavailable
from schemas.masking import masked
from streams.connect.clues import FITS, MARKED, Clue, Clues, Sampled
from streams.connect.inside import Looking, clues_in
from streams.connect.options import refined
from streams.formats import FORMATS, format_of
from streams.formats.avro_schema import NoSchemas, Schemas
from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.limits import Limits
from streams.formats.series import SeriesIndex

Certainty = Literal["sure", "likely", "unsure"]
FEWEST = 3  # records below which nothing is said for certain
ENOUGH = 5  # records that `sure` takes
MOST, NEARLY = 0.8, 0.98  # shares of the records that `likely` and `sure` take
FIT = 0.4  # share that must have a format's shape, where the others could have it
TIE = 0.8  # share of a format's records that another explains as well: then neither is named
LONGEST = 120  # characters of a refusal's reason, in which secrets are masked already
SHOWN = 24  # characters of a record that nobody knows
SECOND = 0.1  # share of a second kind from which a topic counts as mixed
ELEMENT = re.compile(r"^element \d+: | \(and \d+ more like it\)$")  # of one record: no news here
NO_SERVICE = "no-service"


class Found(NamedTuple):
    """What a topic seems to hold."""

    format: str  # a name of `FORMATS`; empty when unsure
    certainty: Certainty
    reasons: tuple[str, ...]
    candidates: tuple[str, ...] = ()  # formats that could be meant, when unsure
    warnings: tuple[str, ...] = ()  # what intake would stumble over
    service: str = ""  # for settings, where records name none
    samples: int = 0  # that came of the records
    lines: int = 0


def recognise(
    topic: str,
    records: Sequence[Sampled],
    now: int,
    limits: Limits | None = None,
    schemas: Schemas | None = None,
) -> Found:
    """What the records of a topic seem to be; `now` is epoch ms."""
    looking = Looking(limits or Limits(), schemas or NoSchemas())
    said = [record for record in records if record.value]  # tombstones and collectd's empty ones
    if not said:
        return Found("", "unsure", ("the sampled records are empty",))
    try:
        named = _named(said)
        clues = [clues_in(record.value, looking) for record in said]
    except (Unavailable, Denied) as error:
        return Found("", "unsure", (str(error),), ("avro",))
    if named in FORMATS:
        clues = [_by_header(named, each) for each in clues]
    elif named:
        why = f"their headers name the format {masked(named)!r:.60}, which is none"
        return Found("", "unsure", (f"{why}: intake refuses them",))
    return Judgement(topic, said, clues, now, looking).found()


def _named(records: Sequence[Sampled]) -> str:
    """The format that every record's headers name; empty when they do not, or differ."""
    names = {format_of(record.headers, "") for record in records}
    if names == {"cloudevents"} or len(names) != 1:
        return ""
    return names.pop()


def _by_header(name: str, clues: Clues) -> dict[str, Clue]:
    """A header is followed at run time, so it counts as a mark where the content allows it."""
    outer = name.partition("@")[0]
    others = {each: clue for each, clue in clues.items() if each.partition("@")[0] != outer}
    return others | {name: Clue(name, MARKED, f"have headers that say {name}")}


class Judgement:
    """The records of one topic, and what speaks for which format."""

    def __init__(
        self,
        topic: str,
        records: Sequence[Sampled],
        clues: Sequence[Mapping[str, Clue]],
        now: int,
        looking: Looking,
    ) -> None:
        self.topic, self.records, self.clues = topic, records, clues
        self.now, self.looking = now, looking
        self.warnings: list[str] = []
        self.reasons: list[str] = []

    def found(self) -> Found:
        """The verdict."""
        kinds = Counter(
            name for each in self.clues for name, clue in each.items() if clue.strength >= FITS
        )
        if not kinds:
            return self._weak()
        best = max(kinds, key=lambda name: (self._weight(name), name))
        self.reasons.append(self._why(best))
        if best not in FORMATS:
            return self._unsure((), f"Sentinel does not read {best}")
        if rivals := [name for name in kinds if name != best and self._ties(name, best)]:
            for name in rivals:
                self.reasons.append(self._why(name))
            return self._unsure((best, *rivals), "they are explained equally well by each")
        others = self._others(best)
        if others and max(others.values()) >= max(2, SECOND * len(self.records)):
            second = max(others, key=lambda name: others[name])
            self.reasons.append(self._why(second))
            self.warnings.append(f"two kinds in one topic: {best} and {second}")
            return self._unsure((best, second), "a topic has one format")
        rest = sum(not _compatible(best, each) for each in self.clues)
        if rest > (1 - MOST) * len(self.records) or kinds[best] < FIT * len(self.records):
            self.warnings.append(f"{rest} of {len(self.records)} records are something else")
            return self._unsure((best,), "too few records are plainly of that format")
        return self._read(best)

    def _read(self, best: str) -> Found:
        """Whether the format's own reader agrees."""
        option = refined(best, self.records)
        name, total = option.format, len(self.records)
        self.reasons += option.reasons
        self.warnings += option.warnings
        if option.rivals:
            return self._unsure(option.rivals, "nothing in them tells which")
        try:
            parsed, service = self._parsed(name)
        except (Unavailable, Denied) as error:
            return self._unsure((name,), str(error))
        refused = {reject.record: reject for reject in parsed.rejects}
        taken = total - len(refused)
        what = f"{len(parsed.samples.code)} samples, {len(parsed.lines.service)} log lines"
        self.reasons.append(f"the reader of {name} takes {taken} of {total} ({what})")
        if refused:
            rule, times = Counter(each.rule for each in refused.values()).most_common(1)[0]
            reason = next(each.reason for each in refused.values() if each.rule == rule)
            said = f"{times} of {total} records would be refused, {rule}: "
            self.warnings.append(said + ELEMENT.sub("", reason)[:LONGEST])
        if taken < MOST * total:
            return self._unsure((name,), "its reader refuses too many of them")
        if total < FEWEST:
            word = "record is" if total == 1 else "records are"
            return self._unsure((name,), f"{total} {word} too few to be certain")
        self._outdated(name, service)
        marked = sum(best in each and each[best].strength == MARKED for each in self.clues)
        sure = min(marked, taken) >= NEARLY * total and total >= ENOUGH and not option.likely
        return Found(
            name,
            "sure" if sure else "likely",
            tuple(self.reasons),
            warnings=tuple(self.warnings),
            service=service,
            samples=len(parsed.samples.code),
            lines=len(parsed.lines.service),
        )

    def _parsed(self, name: str) -> tuple[Parsed, str]:
        """What the reader makes of the records, and the service that it must be told."""
        free = {"late_s": 0, "future_s": 0}
        parsed = self._batch(name, "", free)
        if not any(reject.rule == NO_SERVICE for reject in parsed.rejects):
            return parsed, ""
        service = service_named(self.topic)
        return self._batch(name, service, free), service

    def _batch(self, name: str, service: str, change: Mapping[str, float]) -> Parsed:
        limits = self.looking.limits.model_copy(update=dict(change))
        at = np.array([record.at for record in self.records], np.int64)
        batch = Batch(
            [record.value for record in self.records], at, np.full_like(at, self.now), service
        )
        return FORMATS[name](batch, Reading(limits, SeriesIndex(limits), self.looking.schemas))

    def _outdated(self, name: str, service: str) -> None:
        """Say what intake's limits of time would refuse."""
        late = [
            reject
            for reject in self._batch(name, service, {}).rejects
            if reject.rule in {"too-late", "in-the-future"}
        ]
        if late:
            setting = "late_s" if late[0].rule == "too-late" else "future_s"
            reason = ELEMENT.sub("", late[0].reason)
            self.warnings.append(
                f"{len(late)} of {len(self.records)} records hold times that intake refuses"
                f" ({reason}): see intake.limits.{setting}"
            )

    def _weak(self) -> Found:
        """Nothing but what could be anything."""
        weak = Counter(name for each in self.clues for name in each)
        first = self.records[0].value
        if not weak:
            return self._unsure((), f"no format that Sentinel knows; {_start(first)}")
        most = [name for name, number in weak.most_common() if number == max(weak.values())]
        self.reasons += dict.fromkeys(self._why(name) for name in most)
        why = "nothing marks them as one of these" if len(most) > 1 else "that alone says little"
        return self._unsure(tuple(most), why)

    def _weight(self, name: str) -> int:
        return sum(each[name].strength for each in self.clues if name in each)

    def _ties(self, name: str, best: str) -> bool:
        """Whether another format explains most of what the best one does, as well as it does."""
        of_best = [each for each in self.clues if best in each and each[best].strength >= FITS]
        equal = sum(name in each and each[name].strength >= each[best].strength for each in of_best)
        return equal > TIE * len(of_best)

    def _others(self, best: str) -> Counter[str]:
        """Records that speak for another format and not for the best one."""
        return Counter(
            name
            for each in self.clues
            if best not in each or each[best].strength < FITS
            for name, clue in each.items()
            if clue.strength >= FITS
        )

    def _why(self, name: str) -> str:
        """What speaks for a format; where it has several kinds of records, of two of them."""
        reasons = Counter(each[name].why for each in self.clues if name in each)
        return " and ".join(
            f"{number} of {len(self.records)} records {why}"
            for why, number in reasons.most_common(2)
        )

    def _unsure(self, candidates: Sequence[str], why: str) -> Found:
        read = tuple(name for name in candidates if name in FORMATS)
        return Found("", "unsure", (*self.reasons, why), read, tuple(self.warnings))


def _compatible(name: str, clues: Clues) -> bool:
    """Whether a record could be of a format, and is not rather of another."""
    own = clues.get(name)
    return own is not None and all(each.strength <= own.strength for each in clues.values())


GENERIC = {
    "raw", "log", "logs", "line", "lines", "metric", "metrics", "event", "events", "topic", "data",
    "stream", "prod", "production", "v1", "v2", "json", "text", "kafka", "telemetry", "input",
}  # fmt: skip


def service_named(topic: str) -> str:
    """A service's name from a topic's: what is left without words that any topic may have.

    >>> service_named("logs.nginx-edge.v1"), service_named("raw.logs")
    ('nginx-edge', 'raw.logs')
    """
    words = topic.replace("_", ".").replace("-", ".").split(".")
    kept = [word for word in words if word and word.lower() not in GENERIC]
    return "-".join(kept) or topic


def _start(value: bytes) -> str:
    """How a record begins, for a person; secrets masked."""
    with suppress(ValueError, RecursionError):
        document = msgspec.json.decode(value)
        if isinstance(document, dict):
            return f"the first has the fields {', '.join(document)[: 3 * SHOWN]}"
    begin = value[: 8 * SHOWN]
    text = begin.decode("utf-8", "ignore")
    plain = " ".join(text.split()).isprintable() and len(text.encode()) > NEARLY * len(begin) - 1
    shown = repr(masked(text)[:SHOWN]) if plain else begin[: SHOWN // 3].hex(" ")
    return f"the first begins {shown}"
