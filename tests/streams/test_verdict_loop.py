"""A person's word, from the command line to what detect says, and back, on a real broker."""

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Producer

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.anomalies import Anomaly
from schemas.errors import Rejected
from schemas.frames import Samples, canonical, write_samples
from schemas.identity import Signer
from schemas.topics import ANOMALIES, BARS, INCIDENTS, SAMPLES
from schemas.verdicts import Bar
from sinks.history import History
from streams import worker
from streams.broker.embedded import EmbeddedBroker
from streams.cli import main
from streams.connection import KafkaSettings
from streams.group.message import home
from streams.pipeline import BY_NAME
from streams.settings import Settings
from streams.topics import create
from tests.story import Script
from tests.streams.counting import Witness, eventually, tell
from tests.streams.kafka_world import until

SERVICE = "checkout"
OTHER = "db"  # whose samples are in the same partition
NAMES = [
    *(canonical(f"m{n}", {"service": SERVICE}) for n in range(3)),
    canonical("m0", {"service": OTHER}),
]
SPIKES = (300, 400, 500, 405)  # seconds, of each series
LENGTH = 600


def frames(start: datetime, height: float) -> list[Samples]:
    """Frames of ten seconds: each series is up once, for two samples."""
    values = np.random.default_rng(4).normal(100, 3, (LENGTH, 4))
    for series, at in enumerate(SPIKES):
        values[at : at + 2, series] += height
    first = int(start.timestamp() * 1000)
    return [
        Samples(
            NAMES,
            np.tile(np.arange(4, dtype=np.int32), 10),
            np.repeat(first + 1000 * np.arange(n, n + 10, dtype=np.int64), 4),
            values[n : n + 10].ravel(),
        )
        for n in range(0, LENGTH, 10)
    ]


def put(kafka: KafkaSettings, some: list[Samples]) -> None:
    """Write frames of the service to where they belong."""
    producer = Producer(kafka.confluent())
    for frame in some:
        producer.produce(kafka.topic(SAMPLES), write_samples(frame), partition=home(SERVICE))
    assert producer.flush(120) == 0


def kept(settings: Settings, incident: str) -> bool:
    """Whether the store has the incident."""
    try:
        with History(settings.database.url.get_secret_value()) as history:
            return history.incident(incident).incident.incident == incident
    except Rejected:
        return False


def until_listed(sentinel: Callable[..., str], words: str) -> str:
    """The list of verdicts, once it says so."""
    listed: list[str] = []

    def says() -> bool:
        listed[:] = [sentinel("verdicts")]
        return words in listed[0]

    until(says)
    return listed[0]


def opened(said: list[Anomaly]) -> list[str]:
    """The series of which anomalies were opened, in order."""
    return [each.series for each in said if each.change == "opened"]


def plain(start: datetime) -> list[Samples]:
    """Frames whose spikes are all said, and would not be under a bar of 2."""
    for height in range(20, 200, 5):
        every, alone = frames(start, height), Detect(DetectSettings(), {})
        said = [a for n, frame in enumerate(every) for a in alone.feed(frame, 0, n)]
        each = opened(said) == [NAMES[0], NAMES[1], NAMES[3], NAMES[2]]
        if each and all(a.score < 2 for a in said):
            return every
    raise AssertionError("no height of spikes scores between 1 and 2")


@pytest.fixture
def settings(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A folder as a user has it: settings, a key, no data yet. A false alarm doubles the bar."""
    monkeypatch.chdir(tmp_path)
    signer = Signer.generate()
    signer.save(tmp_path / "sre.pem")
    prefix = f"{topic_prefix}-"
    (tmp_path / "sentinel.yaml").write_text(
        f"""
kafka: {{brokers: "{broker.bootstrap}", prefix: "{prefix}", topic_prefix: "{prefix}"}}
identity: {{people: {{sre: "{signer.public}"}}}}
verdicts: {{step: 2.0, after_s: 0}}
database: {{url: "sqlite:///{tmp_path / "sentinel.db"}"}}
""",
        encoding="utf-8",
    )
    loaded = Settings.load({})
    assert not create(loaded.kafka).differing
    return loaded


@pytest.mark.broker
def test_a_false_alarm_raises_the_bar_until_it_is_taken_back(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three spikes of one kind: said, not said after `false`, said again after `--undo`."""
    start = datetime.now(UTC) - timedelta(seconds=350)  # the second spike is after the verdict
    every = plain(start)
    assert home(OTHER) == home(SERVICE)

    script = Script(service=SERVICE)
    incident = script.incident(0, script.anomaly(0)).model_copy(update={"group": SERVICE})
    as_sre = ("--as", "sre", "--key", "sre.pem", "--yes", "--wait")
    stages = [BY_NAME[name] for name in ("detect", "verdicts", "store")]

    def sentinel(*arguments: str) -> str:
        status = main(arguments)
        said = capsys.readouterr()
        assert status == 0, said.err
        return said.out

    async def scene(said: Callable[[], list[Anomaly]], bars: Callable[[], list[Bar]]) -> None:
        up = asyncio.Event()
        running = asyncio.create_task(worker.run(stages, settings, clock=False, ready=up.set))
        await asyncio.wait(
            {running, asyncio.ensure_future(up.wait())}, return_when="FIRST_COMPLETED"
        )
        assert up.is_set(), running.result()
        put(settings.kafka, every[:35])
        tell(settings.kafka, INCIDENTS, [incident])
        await eventually(lambda: opened(said()) == NAMES[:1])
        await eventually(lambda: kept(settings, incident.incident))

        out = await asyncio.to_thread(
            sentinel, "verdict", incident.incident, "false", "--reason", "import", *as_sre
        )
        assert "1 false: alarms from a score of 2" in out
        put(settings.kafka, every[35:45])
        await eventually(lambda: len(opened(said())) > 1)
        assert opened(said()) == [NAMES[0], NAMES[3]], "the neighbour's spike alone"

        listed = await asyncio.to_thread(until_listed, sentinel, "bar 2")
        ident = listed.split("\n")[1].split()[0]
        out = await asyncio.to_thread(sentinel, "verdict", "--undo", ident, *as_sre)
        assert "no verdict counts" in out
        put(settings.kafka, every[45:])
        await eventually(lambda: opened(said())[-1:] == [NAMES[2]])
        listed = await asyncio.to_thread(until_listed, sentinel, "taken back by sre")
        assert "import" in listed
        shown = await asyncio.to_thread(sentinel, "incidents", "show", incident.incident)
        assert "bar of checkout: 1 false" in shown
        assert [each.factor for each in bars()] == [2.0, 1.0]
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 120)

    with Witness(settings.kafka, ANOMALIES) as anomalies, Witness(settings.kafka, BARS) as bars:
        asyncio.run(scene(anomalies.events, bars.events))
