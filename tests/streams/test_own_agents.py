"""The page on agents of one's own works: its agent is run as the page says, on a real broker."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from schemas.anomalies import Anomaly
from schemas.avro import encode
from schemas.frames import Samples, write_samples
from schemas.topics import ANOMALIES, SAMPLES
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from tests.streams.framing_world import frames, made

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
(AGENT,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def said() -> list[Anomaly]:
    """What detect says of a service's frames: alarms, among other things."""
    detect = Detect(DetectSettings(), {})
    fed = (event for n, frame in enumerate(frames(0)) for event in detect.feed(frame, 0, n))
    return [event for event in fed if isinstance(event, Anomaly)]


def tell(kafka: KafkaSettings, events: list[Anomaly], frame: Samples) -> None:
    """Events and one frame as their stages write them, and a frame that was taken back."""
    producer = Producer(kafka.confluent() | {"transactional.id": f"{kafka.prefix}test"})
    producer.init_transactions()
    for taken_back in (True, False):
        producer.begin_transaction()
        named = Samples([f"{name}-aborted" for name in frame.names], *frame[1:])
        value = write_samples(named if taken_back else frame)
        producer.produce(kafka.topic(SAMPLES), value, partition=0)
        producer.flush(20)
        producer.abort_transaction() if taken_back else producer.commit_transaction()
    producer.begin_transaction()
    producer.produce(kafka.topic(ANOMALIES), b"no event", key=b"s0", headers={"schema": "none/1"})
    for event in events:
        value, headers = encode(event)
        producer.produce(kafka.topic(ANOMALIES), value, key=b"s0", headers=headers)
    producer.commit_transaction()


@contextmanager
def worker(kafka: KafkaSettings, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """The page's agent, run as the page says."""
    (folder / "pager.py").write_text(AGENT)
    environment = os.environ | {
        "SENTINEL_KAFKA__BROKERS": kafka.brokers,
        "SENTINEL_KAFKA__PREFIX": kafka.prefix,
        "SENTINEL_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
    }
    with subprocess.Popen(
        [sys.executable, "pager.py", "worker"],
        cwd=folder, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def lines_until(process: "subprocess.Popen[str]", last: str) -> list[str]:
    """What it prints, up to a line that has this in it; pytest's time-out ends a vain wait."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        _, _, printed = line.rstrip().partition("[WARNING] ")  # as Faust's log has it
        lines.append(printed)
        if last in printed:
            return lines
    pytest.fail(f"it ended after {lines}")


@pytest.mark.broker
def test_the_agent_of_the_page_counts_alarms_and_sees_samples(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """It goes on after a record that is no event, and sees nothing that was taken back."""
    kafka = made(broker.bootstrap, topic_prefix)
    events, frame = said(), next(frames(0))
    opened = [event for event in events if event.change == "opened"]
    assert opened
    frame.value[[3, 7]] = 2e6
    tell(kafka, [*events, opened[0].model_copy(update={"reason": "the last"})], frame)
    with worker(kafka, tmp_path) as process:
        lines = lines_until(process, " the last")
        while sum("2000000.0" in line for line in lines) < 2:
            lines += lines_until(process, "2000000.0")
        assert any(line.startswith("left out: ") for line in lines), lines
        told = [line for line in lines if line.startswith("s0 ")]
        assert told[:-1] == [f"s0 {n + 1} {event.reason}" for n, event in enumerate(opened)]
        seen = [frame.names[frame.code[row]] + " 2000000.0" for row in (3, 7)]
        assert [line for line in lines if "2000000.0" in line] == seen
