"""Prometheus samples as JSON, one a record, as the Telefonica adapter writes them.

    {"value":"456","timestamp":"1970-01-01T00:00:00Z","name":"foo","labels":{"__name__":"foo"}}

Numbers are text, times are cut to whole seconds. A stale marker cannot be told from any other
NaN here.

Source: prometheus-kafka-adapter, serializers.go.
"""

import msgspec

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import Documents, read_documents
from streams.formats.limits import Refused, quoted
from streams.formats.record import Record
from streams.formats.verdict import number

METRIC = "__name__"


class _Sample(msgspec.Struct, gc=False):
    value: str | float
    timestamp: str | int | float
    name: str
    labels: msgspec.Raw


DOCUMENTS = Documents(_Sample)
LABELS = msgspec.json.Decoder(dict[str, str])


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_documents(batch, reading, DOCUMENTS, _sample, space="prometheus-json")


def _sample(record: Record, given: _Sample) -> None:
    labels = bytes(given.labels)
    record.sample(
        (given.name, labels),
        given.name,
        lambda: named(given.name, LABELS.decode(labels)),
        given.timestamp,
        number(given.value),
    )


def named(name: str, labels: dict[str, str]) -> dict[str, str]:
    """The labels without the metric's name, which must be the same there. Raises Refused."""
    if labels.pop(METRIC, name) != name:
        raise Refused("bad-metric", f"two names: {quoted(name)} and another as {METRIC}")
    return labels
