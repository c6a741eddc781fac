"""What Kafka's answers ask of a sender, and what it may rely on when Kafka dies."""

import asyncio
import os

import httpx
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.errors import Rejected, Unavailable
from schemas.topics import RAW_METRICS
from streams.bridge.relay import Relay
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from tests.streams.bridge.over_http import serving
from tests.streams.formats.reading import AT
from tests.streams.kafka_world import records, until, world


def relayed(kafka: KafkaSettings, topic: str, value: bytes, acknowledge_s: float = 60) -> None:
    """Send one record; raises what `send` raises."""
    with Relay(kafka, acknowledge_s=acknowledge_s, queue_kib=1024, largest=100_000) as relay:
        asyncio.run(relay.send(topic, value, key=b"", headers={}))


@pytest.mark.broker
def test_what_is_too_large_for_its_topic_is_not_to_be_sent_again(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    kafka = KafkaSettings(brokers=broker.bootstrap)
    narrow = NewTopic(f"{topic_prefix}-narrow", 1, 1, config={"max.message.bytes": "2000"})
    admin = AdminClient(kafka.confluent())
    admin.create_topics([narrow])[narrow.topic].result(60)
    relayed(kafka, narrow.topic, os.urandom(1000))
    with pytest.raises(Rejected, match="Kafka will not take it"):
        relayed(kafka, narrow.topic, os.urandom(5000))
    with pytest.raises(Rejected, match="Kafka will not take it"):
        relayed(kafka, narrow.topic, os.urandom(500_000))  # not even our own producer does


@pytest.mark.broker
def test_a_topic_that_is_not_there_may_come(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = KafkaSettings(brokers=broker.bootstrap)
    with pytest.raises(Unavailable, match="did not confirm"):
        relayed(kafka, f"{topic_prefix}-none", b"1", acknowledge_s=1)


def test_an_answer_comes_also_when_the_client_library_says_nothing() -> None:
    """It waits on for what a broker took and did not confirm; nobody hears it here."""
    deaf = Relay(
        KafkaSettings(brokers="127.0.0.1:1"), acknowledge_s=0.1, queue_kib=1024, largest=1000
    )
    with pytest.raises(Unavailable, match=r"did not confirm it in 0\.1 s"):
        asyncio.run(deaf.send("t", b"1", key=b"", headers={}))


@pytest.mark.faults
@pytest.mark.broker
def test_all_that_was_accepted_is_there_after_kafka_was_killed(topic_prefix: str) -> None:
    """Requests go on while Kafka dies and comes back: each is 200 and kept, or 503."""

    async def flood(url: str, broker: EmbeddedBroker) -> dict[int, int]:
        answers: dict[int, int] = {}

        async def send(client: httpx.AsyncClient, numbers: range) -> None:
            for number in numbers:
                event = {"service": "s", "metric": "m", "at": AT, "value": number}
                answers[number] = (await client.post("/ingest", json=event)).status_code

        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            senders = [
                asyncio.create_task(send(client, range(at, at + 300))) for at in range(0, 3000, 300)
            ]
            await asyncio.to_thread(until, lambda: len(answers) > 500)
            broker.kill(1)
            await asyncio.to_thread(until, lambda: 503 in list(answers.values()))
            await asyncio.to_thread(broker.restart, 1)
            await asyncio.gather(*senders)
        return answers

    with EmbeddedBroker() as broker:
        kafka = world(broker.bootstrap, topic_prefix)
        with serving(kafka, acknowledge_s=1) as client:
            answers = asyncio.run(flood(str(client.base_url), broker))
        kept = [float(r.value().split(b'"value":')[1].strip(b" }")) for r in records(kafka, RAW_METRICS)]  # fmt: skip
    assert set(answers.values()) == {200, 503}
    accepted = {number for number, status in answers.items() if status == 200}
    assert accepted <= set(kept)
    assert len(accepted) > 1000
