"""T23: one tenant sends far more than its share, and the others hardly notice.

The short form counts records and looks at no clock: how much of a hot tenant's backlog goes before
another tenant's small one is through. The long form, under `make faults`, measures times.
"""

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from schemas.topics import SAMPLES, Topic
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.framing import partition_of
from streams.intake.settings import IntakeSettings
from streams.intake.tenants import Tenant
from streams.topics import create
from tests.streams.intake.test_intake import working
from tests.streams.kafka_world import put, samples, until, world

HOT, COLD = Topic("hot.metrics", None, "", 3_600_000), Topic("cold.metrics", None, "", 3_600_000)
BACKLOG, SMALL = 60_000, 6_000
T0 = 1_767_323_045_678
HOT_SERVICE = "hot"
# In the hot one's partition of frames, so that their order there says who came first
COLD_SERVICE = next(
    name
    for name in (f"cold-{number}" for number in range(100))
    if partition_of(name, SAMPLES.partitions) == partition_of(HOT_SERVICE, SAMPLES.partitions)
)


@pytest.fixture
def kafka(broker: EmbeddedBroker, topic_prefix: str) -> KafkaSettings:
    found = world(broker.bootstrap, topic_prefix)
    create(found, (HOT, COLD))
    return found


def events(service: str, count: int, lane: int = 0) -> Iterator[bytes]:
    """Samples of a series whose values are their numbers."""
    for number in range(count):
        yield json.dumps(
            {
                "service": service,
                "metric": f"m{lane}",
                "at": T0 + number,
                "value": number,
                "labels": {"path": "/a/path/that/is/as/long/as/they/are"},
            }
        ).encode()


def filled(kafka: KafkaSettings) -> None:
    """A hot tenant's backlog in all four partitions, a small one's in one of its topic's."""
    lanes = [list(events(HOT_SERVICE, BACKLOG // 4, lane)) for lane in range(4)]
    values = [value for values in zip(*lanes, strict=True) for value in values]
    put(kafka, HOT, values, keys=[b"%d" % (n % 4) for n in range(BACKLOG)])
    put(kafka, COLD, list(events(COLD_SERVICE, SMALL)), keys=[b"k"] * SMALL)


def settings(**hot: float) -> IntakeSettings:
    return IntakeSettings.model_validate(
        {
            "topics": {HOT.name: "json", COLD.name: "json"},
            "limits": {"late_s": 0, "future_s": 0},
            "batch_records": 1000,
            "queue_kib": 1024,
            "tenants": {
                "hot": Tenant.model_validate({"topics": (HOT.name,), **hot}),
                "cold": Tenant(topics=(COLD.name,)),
            },
        }
    )


def told(registry: CollectorRegistry, name: str, tenant: str) -> float:
    """A metric of intake, summed over topics."""
    return sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == f"sentinel_intake_{name}" and sample.labels.get("tenant") == tenant
    )


def whole(kafka: KafkaSettings) -> list[str]:
    """Services of all samples in the order in which they came; each series is whole, in order."""
    rows = samples(kafka)
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row.series, []).append(row.value)
    sizes = Counter({series: len(values) for series, values in found.items()})
    assert all(values == list(range(len(values))) for values in found.values()), sizes
    assert sorted(sizes.values()) == [SMALL, *[BACKLOG // 4] * 4], sizes
    return [HOT_SERVICE if f'"{HOT_SERVICE}"' in row.series else COLD_SERVICE for row in rows]


@pytest.mark.broker
def test_a_small_backlog_is_through_long_before_a_large_one(kafka: KafkaSettings) -> None:
    filled(kafka)
    registry = CollectorRegistry()
    with working(kafka, settings(), registry):
        until(
            lambda: (
                told(registry, "records_total", "hot") == BACKLOG
                and told(registry, "records_total", "cold") == SMALL
            )
        )
    came = whole(kafka)
    last = max(place for place, service in enumerate(came) if service == COLD_SERVICE)
    before = came[:last].count(HOT_SERVICE)
    print(f"{before} of {BACKLOG} hot samples went before the last of {SMALL} cold ones")  # noqa: T201 - a figure
    assert before < BACKLOG * 0.4


@pytest.mark.broker
def test_a_tenant_over_its_rate_waits_in_kafka_and_loses_nothing(kafka: KafkaSettings) -> None:
    """Pausing throws away what was fetched: it must come again, once, in order."""
    filled(kafka)
    registry = CollectorRegistry()
    slow = settings(bytes_per_s=100_000)
    with working(kafka, slow, registry):
        until(lambda: told(registry, "records_total", "cold") == SMALL)
        until(lambda: told(registry, "held", "hot") == 1)
        read = told(registry, "records_total", "hot")
        assert 0 < read < BACKLOG / 2
        until(lambda: told(registry, "records_total", "hot") > read)  # it goes on, at its rate
    again = CollectorRegistry()
    with working(kafka, settings(), again):
        first = told(registry, "records_total", "hot")
        until(lambda: first + told(again, "records_total", "hot") == BACKLOG)
    whole(kafka)
