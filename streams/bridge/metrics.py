"""What the bridge tells Prometheus of itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from streams.bridge.endpoint import Result


class BridgeMetrics:
    """Counters of requests and of what was in them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "sentinel_bridge_requests", "Requests answered", ("path", "status"), registry=registry
        )
        self._samples = Counter(
            "sentinel_bridge_samples", "Samples handed to Kafka", registry=registry
        )
        self._lines = Counter(
            "sentinel_bridge_lines", "Log lines handed to Kafka", registry=registry
        )
        self.refused = Counter(
            "sentinel_bridge_refused",
            "Elements refused, and requests that were not looked into",
            ("rule",),
            registry=registry,
        )
        self.under_way = Gauge(
            "sentinel_bridge_requests_under_way", "Requests under way", registry=registry
        )
        self.held = Gauge("sentinel_bridge_held_bytes", "Bodies held", registry=registry)

    def handed(self, result: Result) -> None:
        """Count what Kafka has confirmed."""
        self._samples.inc(result.samples)
        self._lines.inc(result.lines)
