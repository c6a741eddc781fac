"""From a body to a record: checked as intake will check it, then given to Kafka as it is.

The formats, the limits of each tenant and what topics stand for are intake's own, so that
whoever sends is told at once what the dead letters would say. Of a body with good and bad
elements the whole is kept: intake makes frames of the one and dead letters of the other.
What is told as accepted, Kafka has confirmed.
"""

import logging
import re
import time
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from prometheus_client import CollectorRegistry

from schemas.errors import Rejected, Unavailable
from schemas.topics import Topic
from streams.bridge.endpoint import Content, Result, Route, in_one_line
from streams.bridge.metrics import BridgeMetrics
from streams.bridge.refusal import (
    AWAY,
    LOGS_ELSEWHERE,
    METRICS_ELSEWHERE,
    WRONG_ADDRESS,
    RefusedRequest,
    later,
)
from streams.bridge.relay import Relay
from streams.bridge.settings import BridgeSettings
from streams.connection import KafkaSettings
from streams.formats import FORMATS
from streams.formats.avro_schema import NoSchemas
from streams.formats.columns import Batch, Parsed, Reading, Reject
from streams.intake.intake import warm_up
from streams.intake.lanes import DEFAULT
from streams.intake.redaction import Redaction
from streams.intake.settings import IntakeSettings
from streams.intake.tenants import HEADER, Tenancy, owner

log = logging.getLogger(__name__)
TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C traceparent


class Origin(NamedTuple):
    """Where a body comes from."""

    host: str  # keeps one sender's records in order
    tenant: str = ""  # that its token stands for
    trace: str = ""  # the traceparent that it came with


class Bridge:
    """Bodies to records."""

    def __init__(
        self,
        settings: BridgeSettings,
        kafka: KafkaSettings,
        intake: IntakeSettings,
        registry: CollectorRegistry,
    ) -> None:
        self._kafka, self._intake = kafka, intake
        redaction = Redaction(intake.redaction, intake.limits.decoded_bytes)
        self._tenancy = Tenancy(
            intake.tenants, intake.limits, intake.tenant_label, NoSchemas(), redaction.label
        )
        self.metrics = BridgeMetrics(registry)
        self.registry = registry
        self.relay = Relay(
            kafka,
            acknowledge_s=settings.acknowledge_s,
            queue_kib=settings.queue_kib,
            largest=max(reading.limits.record_bytes for reading in self._tenancy.readings.values()),
        )

    def warm_up(self, formats: Collection[str]) -> None:
        """Load and compile what the first request would wait for; some seconds."""
        warm_up(self._tenancy.readings[DEFAULT], formats)

    def largest(self, tenant: str, route: Route) -> int:
        """How large a body may be, bytes."""
        return self._known(tenant, route.topic).limits.record_bytes

    async def accept(
        self,
        content: Content,
        body: bytes,
        *,
        origin: Origin,
        route: Route,
        nothing_is_fine: bool = False,
    ) -> Result:
        """Check a body and give it to Kafka; returns when Kafka has it.

        Raises RefusedRequest when nothing was kept.
        """
        parsed, topic = self._checked(content.format, body, route, origin.tenant)
        rejects = parsed.rejects
        if nothing_is_fine and rejects and _empty(rejects):
            return Result(0, 0, {}, 0, ())
        result = _counted(parsed)
        for reject in rejects:
            self.metrics.refused.labels(reject.rule).inc(reject.elements)
        if rejects and not result.accepted:
            if any(fault.element >= 0 for fault in parsed.faults):  # it could be decoded
                _require_right_address(route, content.format, body)
            reason = in_one_line(parsed.faults, result.refused)
            raise RefusedRequest(
                400, rejects[0].rule, reason, faults=parsed.faults, refused=result.refused
            )
        await self._give(topic, body, origin, _headers(content, origin))
        self.metrics.handed(result)
        return result

    def _checked(self, name: str, body: bytes, route: Route, tenant: str) -> tuple[Parsed, Topic]:
        """The body as intake will read it, and the raw topic for it. Raises RefusedRequest."""
        parsed = self._parsed(name, body, route.topic, tenant)
        samples, lines = len(parsed.samples.code), len(parsed.lines.service)
        if lines and not route.lines:
            raise RefusedRequest(400, WRONG_ADDRESS, LOGS_ELSEWHERE)
        if samples and not route.samples:
            raise RefusedRequest(400, WRONG_ADDRESS, METRICS_ELSEWHERE)
        alone = route.lines_alone
        if samples or not lines or alone is None:
            return parsed, route.topic
        if self._stands_for(alone) != self._stands_for(route.topic):
            parsed = self._parsed(name, body, alone, tenant)
        return parsed, alone

    def _parsed(self, name: str, body: bytes, topic: Topic, tenant: str) -> Parsed:
        now = np.array([time.time_ns() // 1_000_000], np.int64)
        reading = self._known(tenant, topic)
        reading.series.sweep(int(now[0]))
        service, _ = self._stands_for(topic)
        try:
            return FORMATS[name](Batch([body], now, now, service), reading)
        except Exception as error:
            log.exception("a fault in the format %s; its request is refused", name)
            reason = f"a fault of ours in the format {name}; our log says more"
            raise RefusedRequest(400, "parser-failed", reason) from error
        finally:
            reading.series.totals.ended(committed=False)  # increments are intake's to sum up

    def _stands_for(self, topic: Topic) -> tuple[str, str]:
        """The service and the tenant of records in a topic that name none."""
        return self._intake.services.get(topic.name, ""), owner(self._intake.tenants, topic.name)

    def _known(self, tenant: str, topic: Topic) -> Reading:
        """What is known of the series of the tenant that intake will take this for."""
        said = [(HEADER, tenant.encode())] if tenant else []
        _, otherwise = self._stands_for(topic)
        return self._tenancy.readings[self._tenancy.told(said, otherwise)]

    async def _give(
        self, topic: Topic, body: bytes, origin: Origin, headers: dict[str, str]
    ) -> None:
        try:
            await self.relay.send(
                self._kafka.topic(topic), body, key=origin.host.encode(), headers=headers
            )
        except Unavailable as error:
            raise later(AWAY, "kafka-away", str(error)) from error
        except Rejected as error:
            raise RefusedRequest(413, "too-large", str(error)) from error


def _require_right_address(route: Route, name: str, body: bytes) -> None:
    """Raise RefusedRequest where a body belongs to another address, whatever else it lacks."""
    if elsewhere := route.elsewhere(name, body):
        raise RefusedRequest(400, WRONG_ADDRESS, elsewhere)


def _headers(content: Content, origin: Origin) -> dict[str, str]:
    """A record's headers: what it is for intake, and whose it is."""
    headers = {"sentinel-format": content.format, "content-type": content.media}
    if origin.tenant:
        headers[HEADER] = origin.tenant
    if TRACE.fullmatch(origin.trace):
        headers["traceparent"] = origin.trace
    return headers


def _counted(parsed: Parsed) -> Result:
    refused = sum(reject.elements for reject in parsed.rejects)
    samples, lines = len(parsed.samples.code), len(parsed.lines.service)
    return Result(samples, lines, parsed.skips, refused, parsed.faults, parsed.native)


def _empty(rejects: list[Reject]) -> bool:
    return all(reject.rule == "empty" and reject.elements == 1 for reject in rejects)
