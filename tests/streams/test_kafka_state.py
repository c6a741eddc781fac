"""What a decision's shell takes up from its changelog."""

import asyncio

import pytest

from schemas.errors import Rejected
from streams.connection import KafkaSettings
from streams.kafka import Shell
from tests.streams.counting import STAGE, Count, clock


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"{}", "offsets: Field required"),
        (b'{"offsets":{},"seen":[],"state":{"total":"many"}}', "total: Input should be a valid "),
        (b"\x80", "Invalid JSON: "),
    ],
)
def test_a_state_that_cannot_be_read_stops_the_worker_and_says_what_to_do(
    raw: bytes, why: str
) -> None:
    async def scene() -> None:
        shell = Shell(STAGE, Count(), KafkaSettings(), clock=clock, loop=asyncio.get_running_loop())
        shell._table.data.data[b"1/a"] = raw
        await shell.assigned({0})  # of another's there is nothing to say
        shell._table.data.data[b"1/a"] = raw
        await shell.assigned({1})

    with pytest.raises(Rejected) as error:
        asyncio.run(scene())
    assert str(error.value).startswith(f"count: the state of 'a' cannot be read ({why}")
    assert str(error.value).endswith(
        "run the version that wrote it, or delete the topic sentinel-count-state-changelog"
        " to begin without any state"
    )
