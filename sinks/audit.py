"""The audit: every control event in a chain in which no change goes unnoticed.

Record n holds SHA-256 over the hash of record n-1, its own number, and what it says. Whoever
changes, removes, moves or inserts a record breaks the chain there. Only the end of a chain
proves nothing by itself: records cut off the end, or an old copy put back, leave a chain that
is whole. So after each batch the number and hash of the last record go to a checkpoint file
outside the database; with a key, each checkpoint is sealed with HMAC, so that neither the
database nor the file can be rewritten by someone who does not have the key.

What this cannot tell: a record that somebody with the database's password appends, properly
chained, after the last checkpoint; and that both were put back, database and checkpoint file.
Give the audit a database user of its own, and keep copies of the file elsewhere.

Source: Crosby and Wallach, "Efficient Data Structures for Tamper-Evident Logging", 2009
(the hash chain and why its head must be kept elsewhere).
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Engine, insert, select, text

from schemas.avro import HEADER, encode
from schemas.errors import Rejected, SentinelError
from schemas.event import Event
from sinks.checkpoint import GENESIS, Checkpoint, Checkpoints
from sinks.database import AuditRecords, opened, translated, upgrade

LOOKBACK = 1000  # records that may have been inserted or removed together and still be named
BEFORE_ALL = -(2**63)  # a number that somebody made negative is to be found too
CHUNK = 500  # ids a query; SQLite's and PostgreSQL's limits on parameters are far above


class Tampered(SentinelError):  # noqa: N818 - a finding; neither a bad input nor a passing state
    """The chain is not as the checkpoint says: stop, and let a person look."""


@dataclass(frozen=True)
class Verdict:
    """Whether the audit is whole; `first_bad` is the number of the first record that is not."""

    ok: bool
    first_bad: int | None
    reason: str
    count: int


class Record(NamedTuple):
    """One record of the chain; `body` is canonical JSON of the event as on the wire."""

    number: int
    event: str
    schema: str
    body: str
    previous: str
    hash: str


def record_hash(number: int, event: str, schema: str, body: str, previous: str) -> str:
    r"""SHA-256, in hex, over the fields, one a line; JSON holds no line ends, so none can shift.

    >>> record_hash(1, "a", "tick/1", "{}", GENESIS.hash)[:12]
    '266549d6e2e3'
    """
    fields = (previous, str(number), event, schema, body)
    return hashlib.sha256("\n".join(fields).encode("utf-8", "surrogateescape")).hexdigest()


def holds(record: Record, number: int | None = None) -> bool:
    """Whether its hash fits what it says, or would under another number."""
    number = record.number if number is None else number
    fields = (record.event, record.schema, record.body, record.previous)
    if not all(isinstance(field, str) for field in fields):
        return False  # SQLite lets a damaged cell hold any type
    return record.hash == record_hash(number, *fields)


def chained(events: Iterable[Event], head: Checkpoint) -> list[Record]:
    """The records that follow `head` for these events; pure."""
    records: list[Record] = []
    number, previous = head
    for number, event in enumerate(events, head.number + 1):
        value, headers = encode(event)
        body = orjson.dumps(orjson.loads(value), option=orjson.OPT_SORT_KEYS).decode()
        schema = headers[HEADER]
        digest = record_hash(number, event.id, schema, body, previous)
        records.append(Record(number, event.id, schema, body, previous, digest))
        previous = digest
    return records


class Audit:
    """Appends events to the chain; an event that is in it already is not appended again.

    On the first write, and whenever another worker has appended, what lies between checkpoint
    and head is checked before it is sealed. Raises Tampered when it does not fit: what was
    there before a crash is caught up with, what was changed is not.
    """

    def __init__(self, url: str, checkpoint: Path, key: bytes = b"") -> None:
        self.url = url
        self.checkpoints = Checkpoints(checkpoint, key)
        self._engine: Engine | None = None
        self._lock = Lock()

    async def write(self, events: Sequence[tuple[Event, Any]]) -> None:
        """Append a batch in one transaction, then move the checkpoint.

        Raises Unavailable when the database is away, Tampered when the chain is broken.
        """
        await asyncio.to_thread(self.append, [event for event, _ in events])

    def append(self, events: Sequence[Event]) -> None:
        """`write`, for callers that may block."""
        if unnamed := next((event for event in events if not event.id), None):
            raise Rejected(f"{unnamed.SUBJECT} without id: nothing could tell its repetition")
        with self._lock:
            engine = self._opened()
            with translated(engine), engine.begin() as connection:
                _alone(connection)
                sealed = self._sealed(connection)
                head = _confirmed(connection, sealed)
                new = {event.id: event for event in events}
                for known in _known(connection, list(new)):
                    del new[known]
                records = chained(new.values(), head)
                if records:
                    rows = [record._asdict() for record in records]
                    connection.execute(insert(AuditRecords), rows)
                    head = Checkpoint(records[-1].number, records[-1].hash)
            if head != sealed:
                self.checkpoints.add(head)

    def adopt(self) -> Verdict:
        """Begin a new checkpoint file for a chain that is whole: a person's decision.

        For a second host, or after the file was lost; what was cut off before stays unknown.
        Raises Tampered when the chain is broken, Rejected when there is a checkpoint file.
        """
        if self.checkpoints.path.exists():
            raise Rejected(f"{self.checkpoints.path} exists: remove it first if it is to be lost")
        with self._lock:
            engine = self._opened()
            with translated(engine), engine.begin() as connection:
                _alone(connection)
                verdict, head = _walk(connection, [GENESIS])
            if not verdict.ok:
                raise Tampered(verdict.reason)
            self.checkpoints.add(GENESIS)
            self.checkpoints.add(head)
            return verdict

    def close(self) -> None:
        """Let go of all connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _opened(self) -> Engine:
        if self._engine is None:
            upgrade(self.url)
            self._engine = opened(self.url, writing=True)
        return self._engine

    def _sealed(self, connection: Connection) -> Checkpoint:
        """The last checkpoint; the very first is made before the first record is."""
        kept = self.checkpoints.read()
        if kept.problem:
            raise Tampered(kept.problem)
        if kept.points:
            return kept.points[-1]
        if connection.execute(select(AuditRecords.number).limit(1)).first():
            raise Tampered(missing(self.checkpoints.path))
        self.checkpoints.add(GENESIS)
        return GENESIS


def missing(path: Path) -> str:
    """What to say when there are records but no checkpoint."""
    return (
        f"no checkpoint at {path}, so nobody can tell whether records were cut off the end:"
        " restore it, or accept the chain as it is with `sentinel audit adopt`"
    )


def _alone(connection: Connection) -> None:
    """One writer at a time; on SQLite the transaction itself sees to it."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE audit IN EXCLUSIVE MODE"))  # reading goes on


def _known(connection: Connection, ids: list[str]) -> set[str]:
    found: set[str] = set()
    for first in range(0, len(ids), CHUNK):
        asked = select(AuditRecords.event).where(AuditRecords.event.in_(ids[first : first + CHUNK]))
        found.update(connection.execute(asked).scalars())
    return found


def _records(connection: Connection, after: int) -> Generator[Record]:
    """Records in order, streamed; close it when it is not read to its end."""
    row = AuditRecords
    asked = select(row.number, row.event, row.schema, row.body, row.previous, row.hash)
    with connection.execute(
        asked.where(row.number > after).order_by(row.number), execution_options={"yield_per": 1000}
    ) as found:
        for fields in found:
            yield Record(*fields)


def _confirmed(connection: Connection, sealed: Checkpoint) -> Checkpoint:
    """The chain's head, with all from the checkpoint on checked. Raises Tampered."""
    if sealed.number:
        asked = select(AuditRecords.hash).where(AuditRecords.number == sealed.number)
        if connection.execute(asked).scalar() != sealed.hash:
            raise Tampered(
                f"audit record {sealed.number} is not the one that the checkpoint confirms:"
                " run `sentinel audit verify`"
            )
    head = sealed
    with closing(_records(connection, sealed.number)) as records:
        for record in records:
            if not _fits(record, head):
                raise Tampered(
                    f"audit record {head.number + 1} does not follow from the checkpoint:"
                    " run `sentinel audit verify`"
                )
            head = Checkpoint(record.number, record.hash)
    return head


def verify(url: str, checkpoint: Path, key: bytes = b"") -> Verdict:
    """Read the whole chain and compare it with itself and with the checkpoints.

    Names the first record that was changed, removed, moved, inserted or cut off. Raises
    Unavailable when the database is away, Rejected when there is none.
    """
    kept = Checkpoints(checkpoint, key).read()
    engine = opened(url, writing=False)
    try:
        with translated(engine), engine.connect() as connection:
            verdict, _ = _walk(connection, kept.points or [GENESIS])
    finally:
        engine.dispose()
    if not verdict.ok:
        return verdict
    if kept.problem:
        return Verdict(ok=False, first_bad=None, reason=kept.problem, count=verdict.count)
    if not kept.points and verdict.count:
        return Verdict(ok=False, first_bad=None, reason=missing(checkpoint), count=verdict.count)
    return verdict


def _walk(connection: Connection, points: Sequence[Checkpoint]) -> tuple[Verdict, Checkpoint]:
    """The verdict on the chain, and its head, against the checkpoints in ascending order."""
    with closing(_records(connection, BEFORE_ALL)) as records:
        head, bad = _compared(records, dict(points))
    last = points[-1]
    if bad is None and last.number > head.number:
        bad = Finding(
            head.number + 1,
            f"records {head.number + 1} to {last.number} are missing at the end:"
            " they were cut off, or an old copy was restored",
        )
    if bad is not None:
        return Verdict(ok=False, first_bad=bad[0], reason=bad[1], count=head.number), head
    return Verdict(ok=True, first_bad=None, reason=_whole(head, last), count=head.number), head


def _compared(
    records: Iterator[Record], expected: dict[int, str]
) -> tuple[Checkpoint, "Finding | None"]:
    """The last record that is as it should be, and what is wrong after it."""
    agreed = 0  # number of the last checkpoint that the chain agreed with
    head = GENESIS
    recent: deque[Record] = deque(maxlen=LOOKBACK)
    for record in records:
        if not _fits(record, head):
            return head, diagnosis(record, next(records, None), recent, expected)
        recent.append(record)
        if expected.get(record.number, record.hash) != record.hash:
            following = next(records, None)
            return head, misfit(following, next(records, None), recent, agreed)
        head = Checkpoint(record.number, record.hash)
        if head.number in expected:
            agreed = head.number
    return head, None


def _fits(record: Record, head: Checkpoint) -> bool:
    """Whether the record is the one that follows `head`."""
    return record.number == head.number + 1 and record.previous == head.hash and holds(record)


def _whole(head: Checkpoint, last: Checkpoint) -> str:
    if head.number == last.number:
        return f"{head.number} records, none altered; the checkpoint confirms the last"
    ahead = head.number - last.number
    return f"{head.number} records, none altered; the last {ahead} await their checkpoint"


class Finding(NamedTuple):
    """The number of the first bad record, and what was done there."""

    first_bad: int
    reason: str


def misfit(
    following: Record | None, after: Record | None, recent: deque[Record], agreed: int
) -> Finding:
    """What was done when the newest of `recent` is whole, but not what its checkpoint says.

    What follows may still tell that only the newest is wrong; else all that one knows is that
    it happened after the checkpoint `agreed`.
    """
    newest = recent[-1]
    if following and not _fits(following, Checkpoint(newest.number, newest.hash)):
        found = diagnosis(following, after, recent, {})
        if found.first_bad == newest.number:
            return found
    return Finding(
        agreed + 1,
        f"records were rewritten between {agreed + 1} and {newest.number}:"
        " their chain is whole, but not the one that was confirmed",
    )


def diagnosis(
    record: Record, following: Record | None, recent: Iterable[Record], expected: dict[int, str]
) -> Finding:
    """Which record is the first bad one, where `record` does not fit the newest of `recent`."""
    hashes = {GENESIS.number: GENESIS.hash} | {known.number: known.hash for known in recent}
    last = max(hashes)
    number = last + 1
    if record.number < number:
        return Finding(record.number, f"record {record.number} has no place in the chain")
    if record.number > number:
        return Finding(number, f"record {number} is missing: it was removed")
    if not holds(record):
        return _origin(record, hashes)
    # It fits itself but not its predecessor: one of the two was remade.
    confirmed = following.previous if following else expected.get(number)
    if confirmed == record.hash and last:
        return Finding(last, f"record {last} was changed and its hash made to fit")
    return Finding(number, f"record {number} was inserted or remade: it follows from no other")


def _origin(record: Record, hashes: dict[int, str]) -> Finding:
    """Whether a record whose hash does not fit is one that was moved, or changed."""
    number = record.number
    for shift in range(1, LOOKBACK + 1):
        if holds(record, number + shift):
            return Finding(
                number, f"record {number} is missing: {shift} removed, the rest moved up"
            )
        origin = number - shift
        if holds(record, origin) and record.previous == hashes.get(origin - 1):
            return Finding(origin, f"record {origin} was inserted: those after it were moved down")
    return Finding(number, f"record {number} was changed: its hash does not fit what it says")
