"""Topics on the cluster: made as the catalogue says, and compared with it.

A topic that is there with other settings is somebody's decision: it is reported, never
changed. Partitions are not added either, because that moves keys to other partitions.
"""

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType

from schemas.errors import Unavailable
from schemas.topics import CATALOGUE, Topic
from streams.cluster import quiet
from streams.connection import KafkaSettings
from streams.leaders import AGAIN_S, is_unled, led, offsets

TIMEOUT_S = 15.0
SHOWN_S = 60.0  # for all brokers to hear of a topic; a fraction of a second as a rule
COPIES = 3  # where the cluster has so many brokers and settings name no number


class Report(NamedTuple):
    """What came of it; names as they are on the cluster."""

    created: list[str]
    existing: list[str]  # there already, as we want them
    differing: list[str]  # there already, one line each on what is different


def create(kafka: KafkaSettings, catalogue: Sequence[Topic] = CATALOGUE) -> Report:
    """Make the topics that are not there; when this returns, they can be read and written.

    Raises Unavailable when the cluster does not answer.
    """
    admin = AdminClient(kafka.confluent())
    try:
        copies = replication(admin, kafka)
        made = admin.create_topics(
            [NewTopic(kafka.topic(t), t.partitions, copies, config=t.config) for t in catalogue],
            operation_timeout=TIMEOUT_S,
            request_timeout=TIMEOUT_S,
        )
        created = [name for name, future in made.items() if _is_new(future)]
        if created:
            _spread(admin, kafka, created)
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


def _spread(admin: Any, kafka: KafkaSettings, made: Collection[str]) -> None:
    """Return when all brokers know these topics, and their leaders that they lead them."""
    for broker in admin.list_topics(timeout=TIMEOUT_S).brokers.values():
        host = f"[{broker.host}]" if ":" in broker.host else broker.host
        alone = AdminClient({**quiet(kafka), "bootstrap.servers": f"{host}:{broker.port}"})
        with suppress(KafkaException):  # one that is away will know them when it is back
            _shown(alone, made)
    places = [(name, p) for name, topic in _shown(admin, made).items() for p in topic.partitions]
    found = offsets(admin, places, OffsetSpec.latest(), SHOWN_S)
    if unled := {name for (name, _), offset in found.items() if is_unled(offset)}:
        raise _late("no broker leads", unled)


def _shown(admin: Any, names: Collection[str]) -> dict[str, Any]:
    """What is known of topics that are there, once it is. Raises Unavailable."""
    deadline = time.monotonic() + SHOWN_S
    while True:
        known = admin.list_topics(timeout=TIMEOUT_S).topics
        unseen = {name for name in names if name not in known or not known[name].partitions}
        if not unseen:
            return {name: known[name] for name in names}
        if time.monotonic() > deadline:
            raise _late("a broker does not know", unseen)
        time.sleep(AGAIN_S)


def _late(what: str, topics: Collection[str]) -> Unavailable:
    return Unavailable(
        f"{what} {', '.join(sorted(topics))}, {SHOWN_S:g} s after they were made: see whether"
        " Kafka's controller is there and its brokers follow it, and whether we may describe them"
    )


def differences(admin: Any, kafka: KafkaSettings, topics: Sequence[Topic]) -> dict[str, str]:
    """Topics that are not as the catalogue wants them, each with what is different."""
    if not topics:
        return {}
    names = [kafka.topic(topic) for topic in topics]
    configs, partitions = _configs(admin, names), _shown(admin, names)
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
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]

    def described() -> dict[str, Any]:
        answers = admin.describe_configs(resources, request_timeout=TIMEOUT_S)
        return {resource.name: future.result() for resource, future in answers.items()}

    return led(described, TIMEOUT_S)  # somebody else may have made them a moment ago


def _is_new(future: Any) -> bool:
    try:
        future.result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise
    return True
