# ruff: noqa: S608 - numbers of our own, put into statements that tamper
"""The audit's promises: nothing is appended twice, and no change goes unnoticed."""

import asyncio
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from schemas.errors import Rejected, Unavailable
from schemas.operations import Tick
from sinks.audit import Audit, Tampered, Verdict, record_hash, verify
from sinks.checkpoint import GENESIS, KEPT, Checkpoint, Checkpoints
from sinks.database import opened
from tests.sinks.conftest import fresh
from tests.sinks.postgres import Postgres
from tests.story import START, fixed

FIELDS = ("number", "event", "schema", "body", "previous", "hash")
TRIGGERS = {
    "sqlite": [f"DROP TRIGGER audit_{name}" for name in ("update", "delete", "insert")],
    "postgresql": ["ALTER TABLE audit DISABLE TRIGGER ALL"],
}


def ticks(first: int, count: int) -> list[Tick]:
    return [
        Tick(id=f"tick-{n}", at=START + timedelta(seconds=n), group="", number=n)
        for n in range(first, first + count)
    ]


def whole(count: int) -> Verdict:
    reason = f"{count} records, none altered; the checkpoint confirms the last"
    return Verdict(ok=True, first_bad=None, reason=reason, count=count)


def append(url: str, checkpoint: Path, *batches: list[Tick], key: bytes = b"") -> None:
    audit = Audit(url, checkpoint, key)
    try:
        for batch in batches:
            asyncio.run(audit.write([(event, None) for event in batch]))
    finally:
        audit.close()


def tamper(url: str, *statements: str, **values: object) -> None:
    """What somebody does who has the database's password."""
    engine = opened(url, writing=True)
    with engine.begin() as connection:
        for statement in (*TRIGGERS[engine.dialect.name], *statements):
            connection.execute(text(statement), values if ":" in statement else {})
    engine.dispose()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere" / "audit.checkpoint"


@pytest.fixture
def filled(url: str, checkpoint: Path) -> str:
    """Twenty records in four batches."""
    append(url, checkpoint, *(ticks(n, 5) for n in range(1, 21, 5)))
    return url


def test_a_chain_that_nobody_touched_is_whole(filled: str, checkpoint: Path) -> None:
    assert verify(filled, checkpoint) == whole(20)


def test_real_events_are_chained(url: str, checkpoint: Path) -> None:
    script = fixed()
    audit = Audit(url, checkpoint)
    asyncio.run(audit.write(script.positions()))
    audit.close()
    assert verify(url, checkpoint).count == len(script.said)


def test_an_event_that_comes_again_is_not_appended_again(filled: str, checkpoint: Path) -> None:
    append(filled, checkpoint, ticks(1, 20), [*ticks(20, 2), *ticks(21, 1)])
    assert verify(filled, checkpoint).count == 21


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET body = '{}' WHERE number = 3",
        "UPDATE audit SET hash = hash WHERE number = 3",
        "DELETE FROM audit WHERE number = 20",
        "DELETE FROM audit",
        "INSERT INTO audit VALUES (22, 'x', 'tick/1', '{}', '', '')",
        "INSERT INTO audit VALUES (0, 'x', 'tick/1', '{}', '', '')",
        "INSERT INTO audit VALUES (20, 'x', 'tick/1', '{}', '', '')",
        "INSERT INTO audit VALUES (21, 'tick-7', 'tick/1', '{}', '', '')",
    ],
)
def test_the_database_refuses_all_but_the_next_record(
    filled: str, checkpoint: Path, statement: str
) -> None:
    engine = opened(filled, writing=True)
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    assert verify(filled, checkpoint).ok


def test_sqlite_does_not_replace_either(tmp_path: Path, checkpoint: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    append(url, checkpoint, ticks(1, 5))
    connection = sqlite3.connect(tmp_path / "a.db")
    for number, event in ((3, "x"), (6, "tick-3")):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(
                "INSERT OR REPLACE INTO audit VALUES (?, ?, 't', '{}', '', '')", (number, event)
            )
    connection.close()


@pytest.mark.postgres
def test_postgresql_does_not_truncate_either(postgres: Postgres, checkpoint: Path) -> None:
    url = fresh(postgres)
    append(url, checkpoint, ticks(1, 5))
    engine = opened(url, writing=True)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text("TRUNCATE audit"))
    engine.dispose()


def remade(connection: Connection, number: int, body: str) -> None:
    """A record changed, and its hash made to fit."""
    row = connection.execute(text(f"SELECT * FROM audit WHERE number = {number}")).mappings().one()
    digest = record_hash(number, row["event"], row["schema"], body, row["previous"])
    connection.execute(
        text("UPDATE audit SET body = :body, hash = :hash WHERE number = :number"),
        {"body": body, "hash": digest, "number": number},
    )


def rewritten(connection: Connection, number: int) -> None:
    """A record changed, and the whole chain after it made to fit."""
    remade(connection, number, '{"forged":true}')
    rows = connection.execute(
        text(f"SELECT * FROM audit WHERE number >= {number} ORDER BY number")
    ).mappings()
    previous = None
    for row in rows.all():
        before = row["previous"] if previous is None else previous
        previous = record_hash(row["number"], row["event"], row["schema"], row["body"], before)
        connection.execute(
            text("UPDATE audit SET previous = :before, hash = :hash WHERE number = :number"),
            {"before": before, "hash": previous, "number": row["number"]},
        )


def forged(connection: Connection, number: int) -> None:
    """A record inserted that follows properly on the one before; the rest moved down."""
    connection.execute(text(f"UPDATE audit SET number = number + 1000 WHERE number >= {number}"))
    connection.execute(text("UPDATE audit SET number = number - 999 WHERE number >= 1000"))
    previous = GENESIS.hash
    if number > 1:
        previous = connection.execute(
            text(f"SELECT hash FROM audit WHERE number = {number - 1}")
        ).scalar_one()
    digest = record_hash(number, "forged", "tick/1", "{}", previous)
    connection.execute(
        text("INSERT INTO audit VALUES (:number, 'forged', 'tick/1', '{}', :previous, :hash)"),
        {"number": number, "previous": previous, "hash": digest},
    )


def swapped(connection: Connection, a: int, b: int) -> None:
    for old, new in ((a, -1), (b, a), (-1, b)):
        connection.execute(text(f"UPDATE audit SET number = {new} WHERE number = {old}"))


def removed(connection: Connection, first: int, last: int, *, close: bool) -> None:
    connection.execute(text(f"DELETE FROM audit WHERE number BETWEEN {first} AND {last}"))
    if close:
        gap = last - first + 1
        connection.execute(text(f"UPDATE audit SET number = number + 1000 WHERE number > {last}"))
        connection.execute(
            text(f"UPDATE audit SET number = number - {1000 + gap} WHERE number > 1000")
        )


@pytest.mark.parametrize(
    ("deed", "first_bad", "reason"),
    [
        (lambda c: c.execute(text("UPDATE audit SET body = '{}' WHERE number = 7")), 7, "changed"),
        (lambda c: c.execute(text("UPDATE audit SET number = 99 WHERE number = 7")), 7, "missing"),
        (
            lambda c: c.execute(text("UPDATE audit SET number = -4 WHERE number = 7")),
            -4,
            "no place",
        ),
        (lambda c: remade(c, 7, '{"forged":1}'), 7, "hash made to fit"),
        (lambda c: remade(c, 1, '{"forged":1}'), 1, "hash made to fit"),
        (lambda c: remade(c, 19, '{"forged":1}'), 19, "hash made to fit"),
        (lambda c: remade(c, 20, '{"forged":1}'), 16, "rewritten between 16 and 20"),
        (lambda c: rewritten(c, 7), 6, "rewritten between 6 and 10"),
        (lambda c: swapped(c, 4, 9), 4, "changed|moved"),
        (lambda c: swapped(c, 4, 5), 4, "missing|changed"),
        (lambda c: removed(c, 6, 6, close=False), 6, "record 6 is missing"),
        (lambda c: removed(c, 6, 8, close=True), 6, "3 removed, the rest moved up"),
        (lambda c: removed(c, 1, 1, close=True), 1, "1 removed, the rest moved up"),
        (lambda c: removed(c, 18, 20, close=False), 18, "18 to 20 are missing at the end"),
        (lambda c: removed(c, 1, 20, close=False), 1, "1 to 20 are missing at the end"),
        (lambda c: forged(c, 7), 7, "record 7 was inserted"),
        (lambda c: forged(c, 1), 1, "record 1 was inserted"),
        (lambda c: forged(c, 20), 20, "record 20 was inserted"),
    ],
)
def test_the_first_bad_record_is_named(
    filled: str,
    checkpoint: Path,
    deed: Callable[[Connection], object],
    first_bad: int,
    reason: str,
) -> None:
    engine = opened(filled, writing=True)
    with engine.begin() as connection:
        for statement in TRIGGERS[engine.dialect.name]:
            connection.execute(text(statement))
        deed(connection)
    engine.dispose()
    verdict = verify(filled, checkpoint)
    assert (verdict.ok, verdict.first_bad) == (False, first_bad)
    assert re.search(reason, verdict.reason), verdict.reason


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A SQLite chain of 300 records, all its guards gone; tests work on copies."""
    folder = tmp_path_factory.mktemp("long")
    url = f"sqlite:///{folder / 'audit.db'}"
    append(url, folder / "checkpoint", *(ticks(n, 30) for n in range(1, 301, 30)))
    tamper(url, "DROP INDEX ix_audit_event")
    with sqlite3.connect(folder / "audit.db") as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    yield folder / "audit.db", folder / "checkpoint"
    shutil.rmtree(folder)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    number=st.integers(1, 300),
    field=st.sampled_from(FIELDS),
    bit=st.integers(0, 2**16),
)
def test_one_flipped_bit_anywhere_is_found_and_named(
    long: tuple[Path, Path], tmp_path: Path, number: int, field: str, bit: int
) -> None:
    """Also one that makes the text no text any more."""
    copy = tmp_path / "copy.db"
    shutil.copy(long[0], copy)
    connection = sqlite3.connect(copy)
    connection.text_factory = bytes
    (value,) = connection.execute(f"SELECT {field} FROM audit WHERE number = {number}").fetchone()
    if field == "number":
        changed: object = value ^ (1 << (9 + bit % 40))  # a number that nobody else has
    else:
        raw = bytearray(value)
        raw[bit // 8 % len(raw)] ^= 1 << bit % 8
        changed = bytes(raw)
    setting = "?" if field == "number" else "CAST(? AS TEXT)"
    connection.execute(f"UPDATE audit SET {field} = {setting} WHERE number = {number}", (changed,))
    connection.commit()
    connection.close()
    verdict = verify(f"sqlite:///{copy}", long[1])
    assert (verdict.ok, verdict.first_bad) == (False, number)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_removing_inserting_moving_and_cutting_are_found_and_named(
    long: tuple[Path, Path], tmp_path: Path, data: st.DataObject
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(long[0], copy)
    first = data.draw(st.integers(1, 298), "first")
    last = data.draw(st.integers(first + 1, 300), "last")
    deeds: dict[str, Callable[[Connection], None]] = {
        "remove": lambda c: removed(c, first, last, close=False),
        "remove and close up": lambda c: removed(c, first, last, close=True),
        "cut": lambda c: removed(c, first, 300, close=False),
        "insert": lambda c: forged(c, first),
        "swap": lambda c: swapped(c, first, last),
        "remake": lambda c: remade(c, first, '{"forged":1}'),
    }
    deed = deeds[data.draw(st.sampled_from(sorted(deeds)), "deed")]
    engine = opened(f"sqlite:///{copy}", writing=True)
    with engine.begin() as connection:
        deed(connection)
    engine.dispose()
    verdict = verify(f"sqlite:///{copy}", long[1])
    assert (verdict.ok, verdict.first_bad) == (False, first)
    for more in tmp_path.glob("copy.db*"):
        more.unlink()


def test_an_old_copy_put_back_is_found(tmp_path: Path, checkpoint: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    append(url, checkpoint, ticks(1, 5))
    shutil.copy(tmp_path / "a.db", tmp_path / "old.db")
    append(url, checkpoint, ticks(6, 5))
    for file in tmp_path.glob("a.db*"):
        file.unlink()
    shutil.move(tmp_path / "old.db", tmp_path / "a.db")
    verdict = verify(url, checkpoint)
    assert (verdict.ok, verdict.first_bad) == (False, 6)
    assert "an old copy was restored" in verdict.reason
    with pytest.raises(Tampered, match="audit record 10 is not the one"):
        append(url, checkpoint, ticks(11, 5))


def test_a_crash_before_the_checkpoint_is_no_tampering(filled: str, checkpoint: Path) -> None:
    """The next batch, or the same again, catches up."""
    before = checkpoint.read_bytes()
    append(filled, checkpoint, ticks(21, 5))
    checkpoint.write_bytes(before)
    reason = "25 records, none altered; the last 5 await their checkpoint"
    assert verify(filled, checkpoint) == Verdict(ok=True, first_bad=None, reason=reason, count=25)
    append(filled, checkpoint, ticks(21, 5))
    assert "confirms the last" in verify(filled, checkpoint).reason


def test_a_crash_before_the_very_first_checkpoint_is_no_tampering(
    url: str, checkpoint: Path
) -> None:
    append(url, checkpoint, ticks(1, 0))
    first = checkpoint.read_bytes()
    append(url, checkpoint, ticks(1, 5))
    checkpoint.write_bytes(first)
    append(url, checkpoint, ticks(1, 5), ticks(6, 1))
    assert verify(url, checkpoint).count == 6


def test_what_was_changed_behind_the_checkpoint_is_not_sealed(
    filled: str, checkpoint: Path
) -> None:
    before = checkpoint.read_bytes()
    append(filled, checkpoint, ticks(21, 5))
    checkpoint.write_bytes(before)
    tamper(filled, "UPDATE audit SET body = '{}' WHERE number = 22")
    with pytest.raises(Tampered, match="audit record 22 does not follow"):
        append(filled, checkpoint, ticks(26, 1))
    assert checkpoint.read_bytes() == before


def test_a_lost_checkpoint_stops_the_audit_until_a_person_accepts_the_chain(
    filled: str, checkpoint: Path
) -> None:
    checkpoint.unlink()
    assert "no checkpoint at" in verify(filled, checkpoint).reason
    with pytest.raises(Tampered, match="sentinel audit adopt"):
        append(filled, checkpoint, ticks(21, 1))
    audit = Audit(filled, checkpoint)
    assert audit.adopt().count == 20
    with pytest.raises(Rejected, match="exists"):
        audit.adopt()
    audit.close()
    append(filled, checkpoint, ticks(21, 1))
    assert verify(filled, checkpoint).ok


def test_a_checkpoint_without_the_key_is_no_checkpoint(url: str, checkpoint: Path) -> None:
    """Who rewrites the chain and the file, but has no key, is found."""
    append(url, checkpoint, ticks(1, 5), key=b"secret")
    assert verify(url, checkpoint, b"secret").ok
    for wrong in (b"", b"guess"):
        assert "sealed with another key" in verify(url, checkpoint, wrong).reason
    checkpoint.unlink()
    Checkpoints(checkpoint).add(Checkpoint(5, "f" * 64))
    assert not verify(url, checkpoint, b"secret").ok
    with pytest.raises(Tampered, match="another key"):
        append(url, checkpoint, ticks(6, 1), key=b"secret")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda _: "", "is empty"),
        (lambda text: text[:-70], "is damaged in line 5"),
        (lambda text: text.replace("5 ", "6 ", 1), "was changed, .* in line 2"),
        (lambda text: "".join(text.splitlines(keepends=True)[::2]), "misses lines.* in line 2"),
        (lambda _: "\udcff\n", "is no text"),
    ],
)
def test_a_damaged_checkpoint_file_is_said_to_be_one(
    filled: str, checkpoint: Path, damage: Callable[[str], str], problem: str
) -> None:
    text_before = checkpoint.read_text()
    checkpoint.write_bytes(damage(text_before).encode("utf-8", "surrogateescape"))
    verdict = verify(filled, checkpoint)
    assert not verdict.ok
    assert re.search(problem, verdict.reason), verdict.reason


def test_the_checkpoint_file_does_not_grow_without_end(tmp_path: Path) -> None:
    points = Checkpoints(tmp_path / "c")
    for number in range(KEPT + 20):
        points.add(Checkpoint(number, f"{number:064}"))
    points.add(Checkpoint(3, "0" * 64))  # a slower worker changes nothing
    kept = points.read()
    assert (len(kept.points), kept.points[-1].number, kept.problem) == (KEPT, KEPT + 19, "")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="file rights are Unix's")
def test_a_checkpoint_that_cannot_be_written_is_tried_again(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot read the checkpoint"):
        append(url, tmp_path / "file" / "checkpoint", ticks(1, 1))


def test_two_workers_share_chain_and_checkpoint(url: str, checkpoint: Path) -> None:
    workers = [Audit(url, checkpoint), Audit(url, checkpoint)]

    async def both() -> None:
        await asyncio.gather(
            *(
                worker.write([(tick, None) for tick in ticks(1000 * n + 10 * m, 10)])
                for n, worker in enumerate(workers, 1)
                for m in range(10)
            )
        )

    asyncio.run(both())
    for worker in workers:
        worker.close()
    assert verify(url, checkpoint) == whole(200)


@pytest.mark.postgres
def test_a_server_that_crashes_ten_times_leaves_the_chain_whole(
    postgres: Postgres, checkpoint: Path
) -> None:
    url = fresh(postgres)
    audit = Audit(url, checkpoint)
    try:
        for n in range(10):
            batch = [(tick, None) for tick in ticks(1 + 5 * n, 5)]
            asyncio.run(audit.write(batch))
            postgres.stop("immediate")
            with pytest.raises(Unavailable):
                asyncio.run(audit.write(batch))
            postgres.start()
            asyncio.run(audit.write(batch))
        verdict = verify(url, checkpoint)
    finally:
        audit.close()
        if not postgres.running:
            postgres.start()
    assert (verdict.ok, verdict.count) == (True, 50)
