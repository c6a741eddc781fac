"""The store's promises, over SQLite and a real PostgreSQL."""

import asyncio
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text

from schemas.errors import Rejected, Unavailable
from schemas.outcomes import Cost, Report
from sinks.database import Base, opened, translated, upgrade
from sinks.history import History, causal
from sinks.store import Document, Store, rows_of
from tests.sinks.conftest import fresh
from tests.sinks.postgres import Postgres
from tests.story import START, Script, Stood, fixed


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as opened_store:
        yield opened_store


def contents(url: str) -> dict[str, list[Any]]:
    """Every row of every table."""
    engine = opened(url, writing=False)
    with engine.connect() as connection:
        held = {
            table.name: sorted(map(repr, connection.execute(select(table)).all()))
            for table in Base.metadata.sorted_tables
        }
    engine.dispose()
    return held


def reported(script: Script, amount: float = 12.5) -> Report:
    cost = Cost(
        amount=amount, low=amount / 2, high=amount * 2, currency="EUR", formula="", reason=""
    )
    return script.say(  # type: ignore[no-any-return]
        Report(
            at=START + timedelta(seconds=160), group=script.group, incident=script.ident,
            outcome="resolved", headline="fixed", story="fixed", facts=(), cost=cost, records=(),
            bundle="{}", bundle_sha256="",
        )
    )  # fmt: skip


def test_migrations_from_empty_give_the_models(url: str) -> None:
    """Row by row the same tables, on both databases; a second run changes nothing."""
    upgrade(url)
    upgrade(url)
    engine = opened(url, writing=False)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_a_database_of_a_later_version_is_refused(url: str) -> None:
    upgrade(url)
    engine = opened(url, writing=True)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(Rejected, match="later version"):
        upgrade(url)


def test_one_record_holds_the_whole_life_of_an_incident(store: Store) -> None:
    """Every event that concerns it, anomalies and the cited budget too, causes first."""
    script = fixed()
    mixed = script.positions()
    random.Random(7).shuffle(mixed)
    asyncio.run(store.write(fixed("other").positions(1000)))
    asyncio.run(store.write(mixed))
    life = store.incident(script.ident)
    assert {event.id for event in life.events} == {event.id for event in script.said}
    seen: set[str] = set()
    ids = {event.id for event in life.events}
    for event in life.events:
        assert event.cause in seen or event.cause not in ids
        seen.add(event.id)
    assert life.incident.status == "resolved"
    assert life.outcome is not None
    assert life.outcome.verified
    assert [event for event in script.said if event not in life.events] == []


def test_a_replay_changes_nothing(store: Store) -> None:
    """Whole, in pieces, and out of order: the tables stay as they were."""
    script = fixed()
    reported(script)
    positions = script.positions()
    asyncio.run(store.write(positions))
    before = contents(store.url)
    asyncio.run(store.write(positions))
    for piece in (positions[:3], positions[5:9], list(reversed(positions))):
        asyncio.run(store.write(piece))
    assert contents(store.url) == before


def test_an_incident_never_goes_back(store: Store) -> None:
    """Its row follows the offsets of its partition, not the order of arrival."""
    script = Script()
    first = script.incident(0)
    last = script.incident(10, change="resolved", status="resolved")
    asyncio.run(store.write([(last, Stood("incidents.v1", 0, 9))]))
    asyncio.run(store.write([(first, Stood("incidents.v1", 0, 3))]))
    (summary,) = store.incidents()
    assert summary.status == "resolved"
    assert summary.closed_at == last.at
    assert store.incidents(status="open") == ()


def test_the_time_of_closing_stays_as_first_told(store: Store) -> None:
    script = Script()
    first = script.incident(10, change="resolved", status="resolved")
    again = script.incident(20, change="updated", status="resolved")
    asyncio.run(store.write([(first, Stood("i", 0, 1)), (again, Stood("i", 0, 2))]))
    assert store.incidents()[0].closed_at == first.at
    reopened = script.incident(30, change="updated", status="open")
    asyncio.run(store.write([(reopened, Stood("i", 0, 3))]))
    assert store.incidents()[0].closed_at is None


def test_an_incident_is_found_by_the_start_of_its_id(store: Store) -> None:
    scripts = [fixed(name) for name in ("a", "b", "c")]
    for n, script in enumerate(scripts):
        asyncio.run(store.write(script.positions(100 * n)))
    wanted = scripts[0].ident
    assert store.incident(wanted[:9]).incident.incident == wanted
    assert store.incident(wanted.removeprefix("inc-")[:5]).incident.incident == wanted
    with pytest.raises(Rejected, match=r"may mean several: inc-.*, inc-.*, inc-"):
        store.incident("inc-")
    with pytest.raises(Rejected, match=f"no incident.*{wanted}"):
        store.incident(wanted[:-1] + "~")
    with pytest.raises(Rejected, match="no incident '%'"):
        store.incident("%")


def test_nothing_known_is_said_as_such(store: Store) -> None:
    asyncio.run(store.write([]))
    with pytest.raises(Rejected, match="no incident is known yet"):
        store.incident("x")
    with pytest.raises(Rejected, match="no plan is known yet"):
        store.plan("x")


def test_a_plan_is_found_by_its_hash_or_its_event(store: Store) -> None:
    script = fixed()
    asyncio.run(store.write(script.positions()))
    (plan,) = store.incident(script.ident).plans
    assert store.plan(plan.hash[:8]) == store.plan(plan.id[:8]) == plan
    with pytest.raises(Rejected, match="no plan"):
        store.plan("zz")


def test_a_decision_waits_until_it_is_answered_or_expires(store: Store) -> None:
    script = Script()
    plan = script.proposed()
    until = START + timedelta(seconds=600)
    decision = script.decision(4, plan, "approve", approvals_needed=1, expires_at=until)
    asyncio.run(store.write(script.positions()))
    assert store.waiting(START) == (decision,)
    assert store.waiting(until) == ()
    script.approved(30, decision, script.approval(20, plan))
    asyncio.run(store.write(script.positions()))
    assert store.waiting(START) == ()


def test_a_plan_proposed_again_after_a_refusal_waits_again(store: Store) -> None:
    script = Script()
    plan = script.proposed()
    script.decision(4, plan, "approve")
    script.outcome(10, "refused", None, plan_hash=plan.hash)
    again = script.decision(40, plan, "approve")
    asyncio.run(store.write(script.positions()))
    assert store.waiting(START + timedelta(days=1)) == (again,)


def test_the_report_and_the_cost_are_those_of_the_latest_report(store: Store) -> None:
    script = fixed()
    asyncio.run(store.write(script.positions()))
    with pytest.raises(Rejected, match="no report on inc-"):
        store.report(script.ident)
    reported(script, 0)
    latest = reported(script)
    asyncio.run(store.write(script.positions()))
    assert store.report(script.ident) == latest
    (avoided,) = store.avoided(START)
    assert avoided == ("EUR", 12.5, 6.25, 25.0, 1)


def test_budgets_show_the_latest_bucket_and_keep_all(store: Store) -> None:
    script = Script()
    for minute, left in enumerate((0.9, 0.7, 0.4)):
        script.budget(60 * minute, left=left)
    asyncio.run(store.write(script.positions()))
    (budget,) = store.budgets()
    assert (budget.left, budget.target) == (0.4, 0.999)
    assert len(contents(store.url)["budget_history"]) == 3


def test_text_that_postgresql_refuses_is_kept(store: Store) -> None:
    """A NUL in a log line ends up in a title."""
    script = Script()
    event = script.incident(0, title="panic: \0 \ud7ff \N{WHITE HEAVY CHECK MARK}")
    asyncio.run(store.write(script.positions()))
    assert store.incident(script.ident).incident == event
    assert store.incidents()[0].title == "panic: \ufffd \ud7ff \N{WHITE HEAVY CHECK MARK}"


def test_an_event_without_id_is_refused(store: Store) -> None:
    script = Script()
    event = script.incident(0).model_copy(update={"id": ""})
    with pytest.raises(Rejected, match="incident without id"):
        asyncio.run(store.write([(event, Stood("incidents.v1", 0, 0))]))


def test_weak_evidence_is_kept_as_an_event_and_has_no_life() -> None:
    script = Script()
    script.anomaly(0, change="weak")
    held = rows_of(script.positions())
    assert len(held["events"]) == 1
    assert "anomalies" not in held


def test_the_catalogue_keeps_every_version_once(store: Store) -> None:
    for body in ("currency: EUR", "currency: EUR", "currency: USD"):
        store.catalogue([Document("rates", "rates.yaml", body)], START)
    assert len(contents(store.url)["catalogue"]) == 2


def test_two_writers_at_once_keep_everything(url: str) -> None:
    """Also on SQLite, where they must wait for each other."""
    stores = [Store(url), Store(url)]

    async def both() -> None:
        await asyncio.gather(
            *(
                store.write(fixed(f"{n}-{m}").positions())
                for m in range(10)
                for n, store in enumerate(stores)
            )
        )

    try:
        asyncio.run(both())
        assert len(stores[0].incidents()) == 20
    finally:
        for store in stores:
            store.close()


def test_reading_never_creates_the_database(tmp_path: Path) -> None:
    path = tmp_path / "none" / "sentinel.db"
    with pytest.raises(Rejected, match=rf"no database at {path}: run `sentinel up` first"):
        History(f"sqlite:///{path}").incidents()
    assert not path.parent.exists()


def test_an_empty_database_says_what_to_do(url: str, tmp_path: Path) -> None:
    if url.startswith("sqlite"):
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "sentinel.db").touch()
    with History(url) as history, pytest.raises(Rejected, match="run `sentinel up` first"):
        history.incidents()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://u:secret@h/d", "not a database we know"),
        ("sqlite://", "in memory is lost"),
        ("nonsense", "not one"),
    ],
)
def test_a_wrong_url_is_one_clear_line_without_its_password(url: str, message: str) -> None:
    with pytest.raises(Rejected, match=message) as caught:
        opened(url, writing=False)
    assert "secret" not in str(caught.value)


@pytest.mark.postgres
def test_a_server_that_crashes_ten_times_loses_and_doubles_nothing(postgres: Postgres) -> None:
    """Batches are tried again until they are kept, as the shell does."""
    store = Store(fresh(postgres))
    scripts = [fixed(str(n)) for n in range(20)]
    away = 0
    try:
        for n, script in enumerate(scripts):
            if n % 2:
                postgres.stop("immediate")
                with pytest.raises(Unavailable):
                    asyncio.run(store.write(script.positions(100 * n)))
                away += 1
                postgres.start()
            asyncio.run(store.write(script.positions(100 * n)))
        held = contents(store.url)
    finally:
        store.close()
        if not postgres.running:
            postgres.start()
    assert away == 10
    assert len(held["events"]) == sum(len(script.said) for script in scripts)
    assert len(held["incidents"]) == len(scripts)


@pytest.mark.postgres
def test_a_server_that_dies_within_a_transaction_keeps_nothing_of_it(postgres: Postgres) -> None:
    """The commit never came: the whole batch is tried again."""
    store = Store(fresh(postgres))
    script = fixed()
    try:
        asyncio.run(store.write([]))
        writer = store._writing()
        with (  # noqa: PT012 - the commit, at the end, is what fails
            pytest.raises(Unavailable),
            translated(writer),
            writer.begin() as connection,
        ):
            connection.execute(text("INSERT INTO catalogue VALUES ('a', 'b', 'c', now(), 'd')"))
            postgres.stop("immediate")
            postgres.start()
        asyncio.run(store.write(script.positions()))
        held = contents(store.url)
    finally:
        store.close()
        if not postgres.running:
            postgres.start()
    assert held["catalogue"] == []
    assert len(held["events"]) == len(script.said)


def test_events_in_a_ring_are_all_kept() -> None:
    script = Script()
    a, b = script.incident(0), script.incident(1)
    ring = (a.model_copy(update={"cause": b.id}), b.model_copy(update={"cause": a.id}))
    assert set(causal(ring)) == set(ring)
