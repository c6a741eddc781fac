"""Alertmanager: the body of its webhook, and its event recorder's records; as log lines.

A line is an alert or an event, with the alert's labels, and its time is when the alert began
or ended. One that began longer ago than a line may be late says that it still goes on, and
has its record's time of arrival: notifications are repeated for as long as an alert fires.
An event about several alerts has the labels that all of them share. An alert that names no
service, as one over all of them, is of the one that settings name for the topic, else of
`alertmanager`, as an event without an alert (a start, a silence) always is.

Source: Alertmanager, notify/webhook; eventrecorder/eventrecorderpb/eventrecorder.proto.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.document import OBJECTS, at_path, text_of
from streams.formats.limits import Refused
from streams.formats.log_document import encode
from streams.formats.record import Record, read_each
from streams.formats.severity import severity
from streams.formats.times import one
from streams.formats.verdict import too_many

OWN = "alertmanager"
NEVER = "0001-01-01T00:00:00Z"  # Go's zero time: has not ended
Labels = dict[str, str]


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_each(batch, reading, _record, space=OWN)


def _record(record: Record, raw: bytes) -> None:
    found: list[Any] = []
    for document in OBJECTS.each(raw, record.limits):
        if isinstance(document, Exception) or not isinstance(document.get("alerts"), list):
            found.append(document)
        else:
            shared = document.get("receiver"), document.get("commonLabels")
            found += [(*shared, alert) for alert in document["alerts"]]
    too_many(len(found), record.limits.elements)
    if not found:
        raise Refused("empty", "no alerts in it")
    record.each(found, _element)


def _element(record: Record, given: Any) -> None:
    if isinstance(given, tuple):
        _alert(record, given)
    elif isinstance(given.get("data"), dict):
        _event(record, given)
    else:
        raise Refused("not-an-event", "has neither alerts nor data")


def _alert(record: Record, given: tuple[Any, Any, Any]) -> None:
    """One alert of a webhook's body."""
    receiver, shared, alert = given
    if not isinstance(alert, dict) or alert.get("status") not in ("firing", "resolved"):
        raise Refused("bad-field", "an alert is firing or resolved")
    labels = _texts(shared) | _texts(alert.get("labels"))
    notes = _texts(alert.get("annotations"))
    status = alert["status"]
    text = notes.get("summary") or notes.get("description") or labels.get("alertname", "")
    at = _fresh(record, alert.get("endsAt" if status == "resolved" else "startsAt"))
    level = "info" if status == "resolved" else severity(labels.get("severity"))
    own = _served(record, labels) | {"status": status, "receiver": text_of(receiver)}
    record.line(encode(own), own, at, level, f"{status}: {text}")


def _event(record: Record, event: Mapping[str, Any]) -> None:
    """One record of the event recorder."""
    if len(event["data"]) != 1:
        raise Refused("bad-field", "an event's data are of one kind")
    ((kind, data),) = event["data"].items()
    labels = _shared(data)
    own = _served(record, labels) if labels else {"service": OWN}
    own |= {"event": kind, "instance": text_of(event.get("instance"))}
    told = labels.get("alertname") or text_of(at_path(data, "silence.comment"))
    text = f"{kind} {told}" if told else kind
    record.line(encode(own), own, event.get("@timestamp"), severity(labels.get("severity")), text)


def _shared(data: Any) -> Labels:
    """The labels that all alerts share which an event is about."""
    found = [_labelled(alert) for alert in _alerts(data)]
    return dict(set.intersection(*(set(each.items()) for each in found))) if found else {}


def _alerts(data: Any) -> Iterator[Mapping[str, Any]]:
    """The alerts that an event is about."""
    if isinstance(data, dict):
        alone = [data.get("alert"), data.get("mutedAlert")]
        for one in _objects(data.get("alerts", alone)):
            inside = one.get("details")  # in a group, a hash stands around it
            yield inside if isinstance(inside, dict) else one


def _labelled(alert: Mapping[str, Any]) -> Labels:
    pairs = _objects(at_path(alert, "labels.labels"))
    labels = {text_of(pair.get("key")): text_of(pair.get("value")) for pair in pairs}
    name = labels.get("alertname") or text_of(alert.get("name"))
    return labels | {"alertname": name} if name else labels


def _served(record: Record, labels: Labels) -> Labels:
    """The labels, with a service where neither they nor settings name one."""
    named = record.batch.service or any(map(labels.get, record.limits.services))
    return labels if named else labels | {"service": OWN}


def _objects(given: Any) -> Iterator[Mapping[str, Any]]:
    """The objects of a list, none of what is no list."""
    yield from (one for one in (given if isinstance(given, list) else ()) if isinstance(one, dict))


def _texts(given: Any) -> Labels:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Refused("bad-field", "labels and annotations are objects")
    return {name: text_of(value) for name, value in given.items()}


def _fresh(record: Record, given: Any) -> Any:
    """An alert's time, or when its record arrived if that is too long ago."""
    if not isinstance(given, str) or given == NEVER:
        return given if given != NEVER else record.arrived
    try:
        at = one(given)
    except (ValueError, OverflowError):
        return given  # said of the time column, as any other
    late = record.limits.late_s
    return record.arrived if late and record.arrived - at > late * 1000 else at
