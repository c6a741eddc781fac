"""Log lines on a real broker, from a raw topic to anomalies, with a kill in between."""

import asyncio
import multiprocessing
import signal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agents.logs.stage import Logs
from schemas.anomalies import Anomaly
from schemas.avro import HEADER, decode
from schemas.event import Event
from schemas.frames import Samples
from schemas.templates import Template
from schemas.topics import ANOMALIES, LOGLINES, RAW_LOGS, SAMPLES, TEMPLATES
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.intake.framing import partition_of
from streams.intake.settings import IntakeSettings
from streams.topics import create
from tests.streams.counting import eventually
from tests.streams.intake.test_intake import ANY_TIME, count, working
from tests.streams.kafka_world import put, records, rows, until, world
from tests.streams.logs_world import (
    CARD,
    SERVICES,
    logs,
    raw_lines,
    running,
    serve,
    state,
    undisturbed,
)

pytestmark = pytest.mark.broker


def framed(kafka: KafkaSettings) -> None:
    """Raw lines through intake to frames."""
    lines = [(service.encode(), line) for service in SERVICES for line in raw_lines(service)]
    lines.sort(key=lambda one: one[1].partition(b'"at": ')[2][:13])
    settings = IntakeSettings.model_validate({"limits": ANY_TIME, "batch_records": 200})
    registry = CollectorRegistry()
    with working(kafka, settings, registry):
        put(kafka, RAW_LOGS, [line for _, line in lines], keys=[key for key, _ in lines])
        until(lambda: count(registry, "lines") == len(lines))


def events(kafka: KafkaSettings, topic: Any) -> list[Any]:
    """All that is in a topic of events."""
    return [
        decode(message.value(), dict(message.headers())[HEADER].decode())
        for message in records(kafka, topic)
    ]


def learned(stage: Logs) -> list[int]:
    return [stage.blocks(p)[0].included for p in range(LOGLINES.partitions)]


def test_from_raw_lines_to_anomalies_with_the_same_templates_after_a_kill(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """SIGKILL in the middle; two of four partitions were saved half way, the others never."""
    kafka = world(broker.bootstrap, topic_prefix)
    create(kafka, (ANOMALIES, TEMPLATES))
    framed(kafka)
    frames = len(records(kafka, LOGLINES))
    whole, expected = undisturbed(kafka)
    life = multiprocessing.get_context("forkserver").Process(
        target=serve, args=(kafka, frames * 2 // 3, str(tmp_path / "said"))
    )
    life.start()
    life.join(240)
    assert life.exitcode == -signal.SIGKILL, (tmp_path / "said").read_text()
    second = logs()

    async def scene() -> None:
        async with running(kafka, second):
            await eventually(lambda: learned(second) == learned(whole))
            assert state(second) == state(whole)

    asyncio.run(scene())
    require_said(kafka, [one for one in expected if isinstance(one, Event)])
    require_samples(kafka, [one for one in expected if isinstance(one, Samples)])


def require_said(kafka: KafkaSettings, expected: list[Event]) -> None:
    said = [*events(kafka, ANOMALIES), *events(kafka, TEMPLATES)]
    assert {event.id for event in said} == {event.id for event in expected}
    assert len({event.id for event in expected}) == len(expected)
    once = {event.id: event for event in said}.values()
    anomalies = [event for event in once if isinstance(event, Anomaly)]
    lives = {(a.service, a.kind, a.change) for a in anomalies if a.change != "updated"}
    assert lives == {
        (service, kind, change)
        for service in SERVICES
        for kind in ("new template", "error share")
        for change in ("opened", "cleared")
    }
    assert len([a for a in anomalies if a.change == "opened"]) == 2 * len(SERVICES)
    (news,) = [
        a for a in anomalies if (a.service, a.kind, a.change) == ("s3", "new template", "opened")
    ]
    assert news.evidence_lines[0].startswith("disk 7 fails for user <email>\n\tat disk.Write")
    by_text: dict[str, set[str]] = {}
    for event in once:
        if isinstance(event, Template):
            by_text.setdefault(event.text, set()).add(event.template)
    assert {len(ids) for ids in by_text.values()} == {1}
    assert CARD not in str(said)
    assert "@example" not in str(said)


def require_samples(kafka: KafkaSettings, expected: list[Samples]) -> None:
    """What was sent again says the same; a service's samples are where intake puts them."""
    found: dict[tuple[str, int], float] = {}
    for message in records(kafka, SAMPLES):
        for row in rows(message):
            assert found.setdefault((row.series, row.at), row.value) == row.value
            service = row.series.partition('service="')[2].partition('"')[0]
            assert message.partition() == partition_of(service, SAMPLES.partitions)
    assert found == {
        (one.names[code], at): value
        for one in expected
        for code, at, value in zip(
            one.code.tolist(), one.at.tolist(), one.value.tolist(), strict=True
        )
    }
