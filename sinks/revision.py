"""Which version of the tables a database has, and which one this version of Sentinel wants."""

from typing import NamedTuple

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from sinks.database import MIGRATIONS, opened, place, translated


class Revision(NamedTuple):
    """`has` is empty for a database without tables; `where` names no password."""

    has: str
    wants: str
    where: str


def revision(url: str) -> Revision:
    """The two versions.

    Raises Unavailable when the database is away, Rejected when there is none.
    """
    engine = opened(url, writing=False)
    try:
        with translated(engine), engine.connect() as connection:
            has = MigrationContext.configure(connection).get_current_revision()
        wants = ScriptDirectory(str(MIGRATIONS)).get_current_head()
        return Revision(has or "", wants or "", place(engine))
    finally:
        engine.dispose()
