"""Elements of records in JSON, by the standard library's reader of it."""

import base64
import json
import math
from collections.abc import Callable
from typing import Any

from tests.streams.formats.elements import Reader, Unit, Units, UntoldError
from tests.streams.formats.elements_histograms import FINITE, QUANTILES, alone, histogram

HALVES = "\\ud"  # how halves of a character begin that JSON writes in two


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; what a name means that is there twice is its reader's own business."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UntoldError
    return found


def _no_number(_: str) -> Any:
    raise UntoldError  # NaN and Infinity are none of JSON's


def loads(text: str) -> Any:
    """A document, of which all is text. Raises ValueError, RecursionError or UntoldError."""
    found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    if HALVES in text.lower():
        json.dumps(found, ensure_ascii=False).encode()  # half of a character is an error here
    return found


def documents(raw: bytes) -> list[Any]:
    """The documents of a record: one, those of a list, or one a line."""
    text = raw.decode()
    try:
        found = loads(text)
    except ValueError:
        if text.lstrip().startswith("[") or "\n" not in text.strip():
            raise
        return [loads(line.decode()) for line in raw.split(b"\n") if line.strip()]
    return found if isinstance(found, list) else [found]


def each(weigh: Callable[[Any], Units]) -> Reader:
    """A reader of documents; `weigh` says what the units of one are."""

    def read(raw: bytes) -> Units:
        if not raw.strip():
            return []
        return [unit for document in documents(raw) for unit in weigh(document)]

    return read


def one(_: Any) -> Units:
    """A document that is one event."""
    return [Unit()]


def telegraf(document: Any) -> Units:
    """A metric, or a batch of them: a field is an element."""
    if isinstance(document, dict) and isinstance(document.get("metrics"), list):
        return [_fields(metric) for metric in document["metrics"]]
    return [_fields(document)]


def _fields(metric: Any) -> Unit:
    fields = metric.get("fields") if isinstance(metric, dict) else None
    if not isinstance(fields, dict) or not fields:
        return Unit()
    said = sum(value is None or isinstance(value, str | dict | list) for value in fields.values())
    return Unit(len(fields), said)


def collectd(document: Any) -> Units:
    """A list of values: each is an element, null too."""
    values = document.get("values") if isinstance(document, dict) else None
    if not isinstance(values, list) or not values:
        return [Unit()]
    return [Unit(len(values), sum(value is None for value in values))]


def beats(document: Any) -> Units:
    """A log line; or with a metricset each number below the object of the event's module."""
    if not isinstance(document, dict) or not isinstance(document.get("metricset"), dict):
        return [Unit()]
    event = document.get("event")
    if not isinstance(event, dict) or any(name.startswith("event.") for name in document):
        raise UntoldError
    module = event.get("module") or str(event.get("dataset") or "").partition(".")[0]
    if not isinstance(module, str):
        raise UntoldError
    return [Unit(_numbers(document.get(module)) or 1)]


def _numbers(found: Any) -> int:
    if isinstance(found, dict):
        return sum(map(_numbers, found.values()))
    return int(type(found) in {int, float})


def alertmanager(document: Any) -> Units:
    """A webhook's alerts, or an event."""
    alerts = document.get("alerts") if isinstance(document, dict) else None
    return [Unit() for _ in alerts] if isinstance(alerts, list) else [Unit()]


def vector(raw: bytes) -> Units:
    """Log events, and metrics by their kind."""
    return alone([_event(document) for document in (documents(raw) if raw.strip() else ())])


def _event(document: Any) -> tuple[Unit, bool]:
    """The unit of an event, and whether it is a cumulative histogram."""
    if not isinstance(document, dict):
        return Unit(), False
    metric = document.get("metric")
    if len(document) == 1 and isinstance(metric, dict):
        document = metric
    elif document.get("kind") not in ("incremental", "absolute") or "name" not in document:
        return Unit(), False
    cumulative = "aggregated_histogram" in document and document.get("kind") == "absolute"
    return _metric(document), cumulative


VECTOR = (
    "counter", "gauge", "set", "distribution", "aggregated_histogram", "aggregated_summary",
    "sketch",
)  # fmt: skip


def _metric(metric: dict[str, Any]) -> Unit:
    kinds = [kind for kind in VECTOR if kind in metric]
    if len(kinds) != 1 or not isinstance(metric[kinds[0]], dict):
        return Unit()
    given = metric[kinds[0]]
    delta = metric.get("kind") == "incremental"
    match kinds[0]:
        case "distribution":
            rates = [_real(sample["rate"]) for sample in _objects(given.get("samples"), "rate")]
            return Unit(2 + QUANTILES * (sum(rates) > 0)) if rates else Unit()
        case "aggregated_histogram":
            buckets = _objects(given.get("buckets"), "upper_limit", "count")
            limits = [bucket["upper_limit"] for bucket in buckets]
            bounds = [math.inf if limit is None else _real(limit) for limit in limits]
            counts = [_real(bucket["count"]) for bucket in buckets]
            return histogram(bounds, counts, delta=delta, total=True)
        case "aggregated_summary":
            return Unit(len(_objects(given.get("quantiles"))) + 2)
    return Unit(1, int(kinds[0] == "sketch"))


def _objects(given: Any, *fields: str) -> list[dict[str, Any]]:
    """A list of objects that have the fields."""
    if not isinstance(given, list):
        raise UntoldError
    if not all(isinstance(found, dict) and set(fields) <= found.keys() for found in given):
        raise UntoldError
    return given


def _real(given: Any) -> float:
    """A number that is neither negative nor beyond what can be reckoned with."""
    if type(given) not in {int, float} or not abs(given) < FINITE:
        raise UntoldError
    return float(given)


def enveloped(inner: Reader) -> Reader:
    """A reader of CloudEvents with `inner` in them."""

    def read(raw: bytes) -> Units:
        if not raw.strip():
            return []
        return [unit for event in documents(raw) for unit in _inside(event, inner)]

    return read


def _inside(event: Any, inner: Reader) -> Units:
    if not isinstance(event, dict):
        return [Unit()]
    encoded, data = event.get("data_base64"), event.get("data")
    if encoded is not None:
        if not isinstance(encoded, str):
            return [Unit()]
        return inner(base64.b64decode(encoded, validate=True)) or [Unit()]
    if data is None:
        return [Unit()]
    return inner(data.encode() if isinstance(data, str) else json.dumps(data).encode()) or [Unit()]
