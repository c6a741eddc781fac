"""What intake tells Prometheus. Counted when a transaction commits, so nothing is counted twice."""

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.intake import Omission

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class IntakeMetrics:
    """The metrics, and what the open transaction will add to them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sentinel_intake_{name}", text, labels, registry=registry)

        self._counters = {
            "records": counter("records", "Raw records read", "topic", "tenant"),
            "bytes": counter("bytes", "Bytes of raw records read", "topic", "tenant"),
            "samples": counter("samples", "Samples written to frames", "format"),
            "lines": counter("lines", "Log lines written to frames", "format"),
            "frames": counter("frames", "Frames written", "kind"),
            "rejected": counter(
                "rejected", "Elements sent to the dead letters", "rule", "topic", "tenant"
            ),
            "deadletters": counter(
                "deadletters", "Dead letters written", "rule", "topic", "tenant"
            ),
            "skipped": counter(
                "skipped", "Elements left out on purpose", "reason", "topic", "tenant"
            ),
        }
        self.transactions = counter("transactions", "Transactions ended", "outcome")
        self.parse_seconds = Histogram(
            "sentinel_intake_parse_seconds",
            "Time to parse and frame a batch",
            buckets=BUCKETS,
            registry=registry,
        )
        self.series = Gauge(
            "sentinel_intake_series", "Series known", ("tenant",), registry=registry
        )
        self.held = Gauge(
            "sentinel_intake_held",
            "Whether a tenant's topics wait for its bytes_per_s",
            ("tenant",),
            registry=registry,
        )
        self.lag = Gauge(
            "sentinel_intake_lag_records",
            "Raw records not yet read",
            ("topic", "partition"),
            registry=registry,
        )
        self._pending: Tally[tuple[str, ...]] = Tally()

    def add(self, name: str, amount: int, *labels: str) -> None:
        """Count with the open transaction."""
        if amount:
            self._pending[name, *labels] += amount

    def omitted(self, omission: Omission) -> None:
        """Count what the open transaction keeps out, as it is told in the report."""
        what = omission.rule, omission.topic, omission.tenant
        self.add("rejected" if omission.refused else "skipped", omission.elements, *what)
        self.add("deadletters", omission.letters, *what)

    def ended(self, *, committed: bool) -> None:
        """Count for good, or forget what an aborted transaction did."""
        if committed:
            for (name, *labels), amount in self._pending.items():
                self._counters[name].labels(*labels).inc(amount)
        self._pending.clear()
        self.transactions.labels("committed" if committed else "aborted").inc()
