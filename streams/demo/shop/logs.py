"""Log lines as JSON: to a Kafka topic when one is given, to standard error otherwise."""

import json
import sys
from datetime import UTC, datetime
from typing import Protocol

from confluent_kafka import KafkaError, Producer

FLUSH_SECONDS = 2.0  # how long a stopping process waits for its last lines to be delivered


class Writer(Protocol):
    """Where a finished line goes."""

    def write(self, service: str, line: str) -> None:
        """Take the line; it may be delivered later."""

    def close(self) -> None:
        """Deliver what is still waiting, as far as possible."""


class Log:
    """The log of one service."""

    def __init__(self, service: str, writer: Writer) -> None:
        self._service = service
        self._writer = writer

    def info(self, message: str) -> None:
        """Something went as it should."""
        self._line("info", message)

    def warning(self, message: str) -> None:
        """Something went worse than it should, nobody was let down."""
        self._line("warning", message)

    def error(self, message: str) -> None:
        """Somebody was let down."""
        self._line("error", message)

    def close(self) -> None:
        """Deliver what is still waiting."""
        self._writer.close()

    def _line(self, severity: str, message: str) -> None:
        line = {
            "service": self._service,
            "at": timestamp(),
            "severity": severity,
            "message": message,
        }
        self._writer.write(self._service, json.dumps(line))


class StandardError:
    """Lines for whoever started the process."""

    def write(self, service: str, line: str) -> None:  # noqa: ARG002 - the line names its service
        """Write it at once."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Nothing waits here."""


class Topic:
    """Lines for a Kafka topic, keyed by service so that one service's lines stay in order.

    A shop must sell even when nobody listens: lines that cannot be delivered are counted, and the
    count is said on standard error when the process ends.
    """

    def __init__(self, brokers: str, topic: str) -> None:
        self._topic = topic
        self._lost = 0
        self._producer = Producer(
            {"bootstrap.servers": brokers, "linger.ms": 20, "message.timeout.ms": 30_000}
        )

    def write(self, service: str, line: str) -> None:
        """Hand the line to the producer's own thread."""
        try:
            self._producer.produce(
                self._topic, key=service, value=line, on_delivery=self._delivered
            )
        except BufferError:  # the producer's buffer is full: the broker has been away for long
            self._lost += 1
        self._producer.poll(0)

    def close(self) -> None:
        """Wait a moment for the last deliveries."""
        self._lost += self._producer.flush(FLUSH_SECONDS)
        if self._lost:
            sys.stderr.write(f"{self._lost} log lines could not be delivered to {self._topic}\n")

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._lost += 1


def timestamp() -> str:
    """The time now as RFC 3339 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
