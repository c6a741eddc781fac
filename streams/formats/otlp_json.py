"""OTLP in JSON, with its own departures from protobuf's usual JSON.

64-bit integers are text (numbers are taken too), ids are hexadecimal and not read here,
NaN and infinities are text. The structs have the names of the protobuf messages, so that one
walk (streams/formats/otlp.py) reads both encodings.
"""

from typing import Any

import msgspec
from msgspec import Struct, field

from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.limits import Refused
from streams.formats.otlp import TIMES, Walk, texts_of
from streams.formats.record import Record, read_each

Whole = int | str
Real = float | str


class _Message(Struct, rename="camel", gc=False):
    """Answers what the walk asks protobuf messages."""

    def WhichOneof(self, _: str) -> str | None:  # noqa: N802 - protobuf's name
        """The one of the message's alternatives that is there."""
        return next(
            (name for name in self._alternatives() if getattr(self, name) is not None), None
        )

    def HasField(self, name: str) -> bool:  # noqa: N802 - as above
        """Whether a field is there."""
        return getattr(self, name) is not None

    def _alternatives(self) -> tuple[str, ...]:
        return ()


class _Values(_Message):
    values: list["_Value"] = []


class _Pairs(_Message):
    values: list["_Pair"] = []


class _Value(_Message):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Whole | None = None
    double_value: Real | None = None
    array_value: _Values | None = None
    kvlist_value: _Pairs | None = None
    bytes_value: str | None = None

    def _alternatives(self) -> tuple[str, ...]:
        return (
            "string_value", "int_value", "double_value", "bool_value",
            "array_value", "kvlist_value", "bytes_value",
        )  # fmt: skip


class _Pair(_Message):
    key: str = ""
    value: _Value | None = None


class _Attributed(_Message):
    attributes: list[_Pair] = []


class _Scope(_Message):
    name: str = ""


class _Point(_Attributed):
    time_unix_nano: Whole = 0
    flags: int = 0
    exemplars: list[msgspec.Raw] = []


class _Number(_Point):
    as_double: Real | None = None
    as_int: Whole | None = None

    def _alternatives(self) -> tuple[str, ...]:
        return ("as_double", "as_int")


class _Observed(_Point):
    count: Whole = 0
    sum: Real | None = None
    min: Real | None = None
    max: Real | None = None


class _Classic(_Observed):
    bucket_counts: list[Whole] = []
    explicit_bounds: list[Real] = []


class _Side(_Message):
    offset: int = 0
    bucket_counts: list[Whole] = []


class _Exponential(_Observed):
    scale: int = 0
    zero_count: Whole = 0
    zero_threshold: Real = 0.0
    positive: _Side | None = None
    negative: _Side | None = None


class _Quantile(_Message):
    quantile: Real = 0.0
    value: Real = 0.0


class _Summary(_Point):
    count: Whole = 0
    sum: Real = 0.0
    quantile_values: list[_Quantile] = []


class _Gauges(_Message):
    data_points: list[_Number] = []


class _Sums(_Gauges):
    aggregation_temporality: int | str = 0
    is_monotonic: bool = False


class _Classics(_Message):
    data_points: list[_Classic] = []
    aggregation_temporality: int | str = 0


class _Exponentials(_Message):
    data_points: list[_Exponential] = []
    aggregation_temporality: int | str = 0


class _Summaries(_Message):
    data_points: list[_Summary] = []


class _Metric(_Message):
    name: str = ""
    gauge: _Gauges | None = None
    sum: _Sums | None = None
    histogram: _Classics | None = None
    exponential_histogram: _Exponentials | None = None
    summary: _Summaries | None = None

    def _alternatives(self) -> tuple[str, ...]:
        return ("gauge", "sum", "histogram", "exponential_histogram", "summary")


class _Line(_Attributed):
    time_unix_nano: Whole = 0
    observed_time_unix_nano: Whole = 0
    severity_number: int | str = 0
    severity_text: str = ""
    body: _Value | None = None
    event_name: str = ""


class _ScopeMetrics(_Message):
    scope: _Scope | None = None
    metrics: list[_Metric] = []


class _ScopeLogs(_Message):
    scope: _Scope | None = None
    log_records: list[_Line] = []


class _ResourceMetrics(_Message):
    resource: _Attributed | None = None
    scope_metrics: list[_ScopeMetrics] = []


class _ResourceLogs(_Message):
    resource: _Attributed | None = None
    scope_logs: list[_ScopeLogs] = []


class _Request(_Message):
    resource_metrics: list[_ResourceMetrics] | None = None
    resource_logs: list[_ResourceLogs] | None = None
    spans: Any = field(default=None, name="resourceSpans")


DECODE = msgspec.json.Decoder(_Request).decode
NOTHING = b"{}"  # what protobuf's JSON makes of a request without data


def parse(batch: Batch, reading: Reading) -> Parsed:
    """Read a batch of records."""
    return read_each(batch, reading, _read, space="otlp", times=TIMES)


def _read(record: Record, raw: bytes) -> None:
    request = DECODE(raw)
    if raw.strip() == NOTHING:
        raise Refused("empty", "a request without data")
    if request.spans is not None:
        raise Refused("not-an-event", "traces are not read")
    walk = Walk(record, texts_of)
    if request.resource_metrics is not None:
        walk.metrics(request.resource_metrics)
    if request.resource_logs is not None:
        walk.logs(request.resource_logs)
    if request.resource_metrics is None and request.resource_logs is None:
        raise Refused("not-an-event", "has neither resourceMetrics nor resourceLogs")
