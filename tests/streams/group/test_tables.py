"""Tables of bytes, and where their values are."""

import asyncio
from types import SimpleNamespace

from streams.connection import KafkaSettings
from streams.group.application import make_app
from streams.group.tables import large_table


def test_large_values_of_a_changelog_are_kept_in_a_file() -> None:
    """And are applied in order, the last one counts, a deleted one is gone."""

    async def scene() -> tuple[dict[bytes, bytes], str]:
        app = make_app(KafkaSettings(), "scene", loop=asyncio.get_running_loop())
        table = large_table(app, "blocks")
        rows = [(b"0/0", b"a"), (b"0/1", b"bb"), (b"0/0", b"ccc"), (b"0/1", None), (b"1/0", b"d")]
        table.apply_changelog_batch(
            SimpleNamespace(key=key, value=value, message=SimpleNamespace(value=value, partition=0))
            for key, value in rows
        )
        return dict(table.data.data), type(table.data.data).__name__

    assert asyncio.run(scene()) == ({b"0/0": b"ccc", b"1/0": b"d"}, "Scratch")
