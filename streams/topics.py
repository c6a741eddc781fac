"""Topics on the cluster: made as the catalogue says, and compared with it.

A topic that is there with other settings is somebody's decision: it is reported, never
changed. Partitions are not added either, because that moves keys to other partitions.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from schemas.errors import Unavailable
from schemas.topics import CATALOGUE, Topic
from streams.connection import KafkaSettings

TIMEOUT_S = 15.0
COPIES = 3  # where the cluster has so many brokers and settings name no number


class Report(NamedTuple):
    """What came of it; names as they are on the cluster."""

    created: list[str]
    existing: list[str]  # there already, as we want them
    differing: list[str]  # there already, one line each on what is different


def create(kafka: KafkaSettings, catalogue: Sequence[Topic] = CATALOGUE) -> Report:
    """Make the topics that are not there. Raises Unavailable when the cluster does not answer."""
    admin = AdminClient(kafka.confluent())
    try:
        copies = replication(admin, kafka)
        made = admin.create_topics(
            [NewTopic(kafka.topic(t), t.partitions, copies, config=t.config) for t in catalogue],
            operation_timeout=TIMEOUT_S,
            request_timeout=TIMEOUT_S,
        )
        created = [name for name, future in made.items() if _is_new(future)]
        old = [t for t in catalogue if kafka.topic(t) not in created]
        differing = differences(admin, kafka, old)
    except KafkaException as error:
        raise Unavailable(f"Kafka at {kafka.brokers}: {error.args[0].str()}") from error
    same = [name for t in old if (name := kafka.topic(t)) not in differing]
    return Report(sorted(created), sorted(same), sorted(differing.values()))


def listing(kafka: KafkaSettings) -> dict[str, int]:
    """The cluster's topics under our prefix, internal ones left out, with their partitions."""
    try:
        found = AdminClient(kafka.confluent()).list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise Unavailable(f"Kafka at {kafka.brokers}: {error.args[0].str()}") from error
    return {
        name: len(topic.partitions)
        for name, topic in sorted(found.items())
        if name.startswith(kafka.topic_prefix) and not name.startswith("__")
    }


def replication(admin: Any, kafka: KafkaSettings) -> int:
    """Copies of a new topic: as settings say, else three where there are three brokers."""
    if "replication" in kafka.model_fields_set:
        return kafka.replication
    return min(COPIES, len(admin.list_topics(timeout=TIMEOUT_S).brokers))


def differences(admin: Any, kafka: KafkaSettings, topics: Sequence[Topic]) -> dict[str, str]:
    """Topics that are not as the catalogue wants them, each with what is different."""
    if not topics:
        return {}
    configs = _configs(admin, [kafka.topic(t) for t in topics])
    partitions = admin.list_topics(timeout=TIMEOUT_S).topics
    result = {}
    for topic in topics:
        name = kafka.topic(topic)
        has = {"partitions": str(len(partitions[name].partitions))} | {
            key: entry.value for key, entry in configs[name].items()
        }
        wants = {"partitions": str(topic.partitions)} | topic.config
        said = [
            f"{key} is {has.get(key)}, not {value}"
            for key, value in wants.items()
            if has.get(key) != value
        ]
        if said:
            result[name] = f"{name}: {'; '.join(said)}"
    return result


def _configs(admin: Any, names: Sequence[str]) -> dict[str, Any]:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        answers = admin.describe_configs(resources, request_timeout=TIMEOUT_S)
        try:
            return {resource.name: future.result() for resource, future in answers.items()}
        except KafkaException as error:
            # A topic made a moment ago by somebody else: not every broker has heard of it yet.
            unknown = error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            if not unknown or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _is_new(future: Any) -> bool:
    try:
        future.result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise
    return True
