"""Where an event goes: to the partition that every other client of Kafka would send its key to."""

from aiokafka.partitioner import DefaultPartitioner

from schemas.topics import PARTITIONS
from streams.group.message import home, place


def test_a_key_goes_where_the_library_would_send_it() -> None:
    every = list(range(PARTITIONS))
    keys = [f"service-{n}" for n in range(500)]
    library = [DefaultPartitioner()(key.encode(), every, every) for key in keys]
    assert [place(key.encode(), every, every) for key in keys] == library
    assert [home(key) for key in keys] == library
    assert len(set(library)) == PARTITIONS


def test_without_a_key_any_that_is_there_will_do() -> None:
    assert place(None, [0, 1, 2, 3], [2]) == 2
