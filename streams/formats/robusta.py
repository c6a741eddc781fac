"""Robusta's Kafka sink: changes of Kubernetes resources, as log lines.

    {"cluster_name":"c","resource_name":"web","resource_namespace":"default",
     "resource_type":"Deployment","message":"Deployment properties change",
     "changed_properties":[{"property":"spec.replicas","old":1,"new":2}]}

The resource is the service; without a time in it, a change has its record's time of arrival.

Source: Robusta, core/sinks/kafka.
"""

from typing import Any

import msgspec

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import Documents, read_documents, text_of
from streams.formats.limits import Refused
from streams.formats.record import Record


class _Property(msgspec.Struct, gc=False):
    property: str
    old: Any = None
    new: Any = None


class _Change(msgspec.Struct, gc=False):
    resource_name: str
    message: str
    cluster_name: str = ""
    resource_namespace: str = ""
    resource_type: str = ""
    changed_properties: list[_Property] = []


DOCUMENTS = Documents(_Change)


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_documents(batch, reading, DOCUMENTS, _change, space="robusta")


def _change(record: Record, change: _Change) -> None:
    if not change.resource_name:
        raise Refused("no-service", "resource_name is empty")
    labels = {
        "service": change.resource_name,
        "cluster": change.cluster_name,
        "namespace": change.resource_namespace,
        "kind": change.resource_type,
    }
    what = "; ".join(
        f"{one.property}: {text_of(one.old)} -> {text_of(one.new)}"
        for one in change.changed_properties
    )
    text = f"{change.message}: {what}" if what else change.message
    record.line(tuple(labels.values()), labels, record.arrived, "notice", text)
