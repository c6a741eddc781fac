"""A bridge on a free port, and a client that holds every answer against the OpenAPI document."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # has no types
from prometheus_client import CollectorRegistry

from streams.bridge.accept import Bridge
from streams.bridge.app import create_app
from streams.bridge.serving import Server, configured, listening, url
from streams.bridge.settings import BridgeSettings
from streams.connection import KafkaSettings
from streams.intake.settings import IntakeSettings
from tests.streams.kafka_world import until

GONE = KafkaSettings(brokers="127.0.0.1:9")
ANY_TIME = {"limits": {"late_s": 0, "future_s": 0}}
UNDOCUMENTED = {404, 405}  # of addresses and methods that are none


def holds(document: dict[str, Any], answer: httpx.Response) -> None:
    """Assert that an answer is one that the document foresees."""
    path, method = answer.request.url.path, answer.request.method.lower()
    if answer.status_code in UNDOCUMENTED or path == "/openapi.json":
        return
    operation = document["paths"][path][method]
    told = operation["responses"].get(str(answer.status_code))
    assert told is not None, f"{method} {path} answered {answer.status_code}: not documented"
    for name in told.get("headers", {}):
        assert name in answer.headers, f"{method} {path} {answer.status_code} lacks {name}"
    media = answer.headers.get("content-type", "").partition(";")[0]
    content = told.get("content", {})
    assert media in content or not (media or content), f"{path}: {media!r} is not documented"
    if media == "application/json":
        schema = {**document, "allOf": [content[media]["schema"]]}
        Draft202012Validator(schema).validate(json.loads(answer.content))


@contextmanager
def serving(
    kafka: KafkaSettings, intake: dict[str, Any] | None = None, **changes: object
) -> Iterator[httpx.Client]:
    """A bridge, and a client for it."""
    settings = BridgeSettings.model_validate({"acknowledge_s": 60, **changes})
    chosen = IntakeSettings.model_validate(ANY_TIME if intake is None else intake)
    bridge = Bridge(settings, kafka, chosen, CollectorRegistry())
    app = create_app(settings, bridge)
    document = app.openapi()

    def check(answer: httpx.Response) -> None:
        answer.read()
        holds(document, answer)

    ready = threading.Event()
    with listening("127.0.0.1", 0) as link, bridge.relay:
        running = Server(configured(settings, app), ready.set)
        thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[link])))
        thread.start()
        try:
            until(ready.is_set, 170)  # compiles, when it is the first on this machine
            with httpx.Client(
                base_url=url(link), timeout=60, event_hooks={"response": [check]}
            ) as client:
                yield client
        finally:
            running.should_exit = True
            thread.join(60)
            assert not thread.is_alive()
