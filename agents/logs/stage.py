"""Logs: frames of lines in; templates, rates and anomalies out; one block a partition.

A line passes the joiner, which makes one entry of a trace, the miner, which gives it a
template, and the tally, which counts it. The three are saved together with the offset of the
last frame that they include, so whatever is read twice is learned once and said with the same
ids. What is strange at night in the rates themselves is for the metric scorer, to which they
go as samples.
"""

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from agents.logs.entries import LEVELS, FrameJoiner
from agents.logs.lives import BUCKET_S, RECENT, Said
from agents.logs.miner import Miner, warm_up
from agents.logs.multiline import GAP_MS
from agents.logs.rates import BUCKET_MS, Tally
from agents.logs.services import Note
from agents.logs.settings import LogSettings
from schemas.anomalies import Anomaly
from schemas.errors import Rejected
from schemas.event import Event, derive
from schemas.frames import CodedLines, Samples, canonical
from schemas.masking import masked
from schemas.templates import Template

VERSION = 1
STATISTICS = {
    "new template": ("log_new_templates", "never seen", BUCKET_S),
    "missing template": ("log_missing_templates", "rhythm", BUCKET_S),
    "silent": ("log_lines", "rhythm", BUCKET_S),
    "error share": ("log_error_share", "share", RECENT * BUCKET_S),
}  # kind -> series, statistic, horizon in seconds


class _Wire(msgspec.Struct):
    version: int
    included: int
    newest: int
    joiner: bytes
    miner: bytes
    tally: bytes


class LogBlock:
    """All that is known of the lines of a partition."""

    def __init__(self, settings: LogSettings) -> None:
        self.joiner = FrameJoiner()
        self.miner = Miner()
        self.tally = Tally(settings)
        self.newest = 0  # time of the newest line, epoch milliseconds
        self.included = self.saved = -1
        self.changed = False

    def dump(self) -> bytes:
        """Everything, for the changelog."""
        parts = self.joiner.dump(), self.miner.dump(), zlib.compress(self.tally.dump())
        return msgspec.msgpack.encode(_Wire(VERSION, self.included, self.newest, *parts))

    @classmethod
    def load(cls, raw: bytes, settings: LogSettings) -> "LogBlock":
        """Undo `dump`. Raises Rejected for another version or damaged bytes."""
        try:
            wire = msgspec.msgpack.decode(raw, type=_Wire)
            tally = zlib.decompress(wire.tally)
        except (msgspec.MsgspecError, zlib.error) as error:
            raise Rejected(f"a block of log templates cannot be read: {error}") from error
        if wire.version != VERSION:
            raise Rejected(
                f"a block of log templates has version {wire.version}, this reads {VERSION}"
            )
        block = cls(settings)
        block.joiner = FrameJoiner.load(wire.joiner)
        block.miner = Miner.load(wire.miner)
        block.tally = Tally.load(tally, settings)
        block.newest = wire.newest
        block.included = block.saved = wire.included
        return block


class Logs:
    """The templates of the partitions that this worker has."""

    def __init__(self, settings: LogSettings, groups: Mapping[str, str]) -> None:
        self.settings = settings
        self._groups = groups
        self._blocks: dict[int, LogBlock] = {}
        warm_up()

    # ---- what the shell keeps

    def blocks(self, partition: int) -> list[LogBlock]:
        """One: the partition's templates belong together."""
        if partition not in self._blocks:
            self._blocks[partition] = LogBlock(self.settings)
        return [self._blocks[partition]]

    def load(self, partition: int, saved: Mapping[int, bytes]) -> list[str]:
        """Take a partition up from its saved block; what had to begin anew.

        Raises Rejected for a block that cannot be read, unless the settings say to learn anew.
        """
        self.drop(partition)
        try:
            for number in saved:
                self._blocks[partition] = LogBlock.load(saved[number], self.settings)
        except Rejected as error:
            if self.settings.reset_damaged:
                return [str(error)]
            raise Rejected(
                f"of the log templates of partition {partition}, {error}: run the version that"
                " wrote it, or set logs.reset_damaged to learn them anew"
            ) from error
        return []

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker has now."""
        self._blocks.pop(partition, None)

    # ---- what a frame does

    def feed(self, lines: CodedLines, partition: int, offset: int) -> list[Event | Samples]:
        """Learn a frame; templates, rates and anomalies of the buckets that it closes."""
        (block,) = self.blocks(partition)
        if offset <= block.included:
            return []
        block.included, block.changed = offset, True
        if len(lines):
            block.newest = max(block.newest, int(lines.at.max()))
        entries = block.joiner.feed(lines, block.newest - GAP_MS)
        mined = block.miner.feed(entries.gists())
        block.tally.feed(entries, mined.ids)
        notes = block.tally.merge(mined.merges)
        closed = block.tally.close(block.newest, lambda ident: _text(block.miner, ident))
        told = _Telling(block.miner, self._groups, f"loglines/{partition}/{offset}")
        return [
            *(told.template(*note) for note in (*notes, *closed.notes)),
            *closed.samples.values(),
            *(told.anomaly(service, said) for service, said in closed.said),
        ]


class _Telling:
    """Notes and changes as events, with ids that a replay gives again."""

    def __init__(self, miner: Miner, groups: Mapping[str, str], cause: str) -> None:
        self._miner, self._groups, self._cause = miner, groups, cause

    def template(self, service: str, bucket: int, note: Note) -> Template:
        lines = str(note.lines)
        return Template(
            id=derive("template", service, note.ident, note.change, note.into, str(bucket), lines),
            at=_moment(bucket),
            cause=self._cause,
            group=self._groups.get(service, service),
            change=note.change,
            service=service,
            template=note.ident,
            into=note.into,
            text=_text(self._miner, note.into or note.ident),
            severity=LEVELS[note.rank],
            sample=note.sample,
            count=note.lines,
            since=_moment(note.since - 1),
        )

    def anomaly(self, service: str, said: Said) -> Anomaly:
        life, change = said.life, said.change
        metric, statistic, horizon = STATISTICS[life.kind]
        at = _moment(said.bucket)
        return Anomaly(
            id=derive("logs", life.anomaly, change, str(said.bucket)),
            at=at,
            cause=self._cause,
            group=self._groups.get(service, service),
            anomaly=life.anomaly,
            change=change,
            source="log",
            kind=life.kind,
            service=service,
            series=canonical(metric, {"service": service}),
            direction="down" if life.kind in {"silent", "missing template"} else "up",
            severity=life.severity,
            score=life.score,
            raw=0.0 if change == "cleared" else life.score,
            value=life.value,
            low=life.low,
            high=life.high,
            since=_moment(life.since),
            ending=said.ending,
            statistic=statistic,
            horizon_s=float(horizon),
            reason=life.reason,
            evidence_lines=tuple(life.lines),
        )


def _text(miner: Miner, ident: str) -> str:
    """A template's text, masked; its id when the miner has forgotten it."""
    return _shown(miner.template(ident)) if ident in miner else ident


@lru_cache(maxsize=16_384)
def _shown(template: str) -> str:
    """Masked; a template is told of again and again."""
    return masked(template)


@lru_cache(maxsize=64)
def _moment(bucket: int) -> datetime:
    """The end of a bucket."""
    return datetime.fromtimestamp((bucket + 1) * BUCKET_MS / 1000, UTC)
