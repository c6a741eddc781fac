"""The same tests over SQLite and over a real PostgreSQL."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.sinks.postgres import Postgres

DATABASES = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests of the session; it fails, and says why, when it cannot start."""
    server = Postgres()
    try:
        yield server
    finally:
        server.close()


def fresh(server: Postgres) -> str:
    """The URL of a new, empty database."""
    name = f"test_{next(DATABASES)}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.url(name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'sentinel.db'}"
    return fresh(request.getfixturevalue("postgres"))
