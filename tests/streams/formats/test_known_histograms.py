"""What compiled code reads of histograms and summaries is what the format's own reader finds.

Two readings meet the same records in the same order: one reads all with the reader that says what
is meant, the other with compiled code wherever it can.
"""

import math
import random
from collections.abc import Sequence
from itertools import islice
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar, Metric

from streams.formats.columns import Reading, Rows
from streams.formats.otlp_line_scan import KnownLogRecords
from streams.formats.otlp_scan import KnownPoints, Passage
from tests.streams.formats import contract
from tests.streams.formats.reading import NOW, parsed, reading, samples

KINDS = ("histogram", "exponential_histogram", "summary", "gauge", "sum")
DELTA, CUMULATIVE = 1, 2
BOUNDS: tuple[tuple[float, ...], ...] = (
    (5.0, 10.0, 25.0), (0.5,), (), (-1.0, -0.0, 1.0, math.inf), (5.0, 10.0, 20.0), (1.0, 1.0), (math.nan,),
)  # fmt: skip
NUMBERS = (0.0, -0.0, 1.5, -7.25, math.nan, math.inf, 1e300, 5e-324)


class Blind(KnownPoints):
    """Knows nothing, whatever it meets."""

    def through(self, messages: Sequence[bytes], _most: int, series: Any) -> Passage:
        """A passage in which nothing is read."""
        return super().through(messages, 0, series)

    def learn(self, *_: object) -> None:
        """Learn nothing."""


class Counting(KnownPoints):
    """Counts the messages that compiled code did not read."""

    slow = 0

    def learn(self, message: bytes, at: Sequence[int], rows: Rows, start: int) -> None:
        """Count it, and learn."""
        self.slow += 1
        super().learn(message, at, rows, start)


class Pair:
    """The two readings."""

    def __init__(self, **limits: object) -> None:
        self.slow = reading(late_s=0, future_s=0, **limits)
        self.fast = reading(late_s=0, future_s=0, **limits)
        self.slow.series.known(("otlp points", ""), lambda: Blind(self.slow.series.buckets))
        self.known = self.fast.series.known(
            ("otlp points", ""), lambda: Counting(self.fast.series.buckets)
        )

    def agree(self, *records: bytes) -> bool:
        """Both read the same; whether anything could be read."""
        expected = parsed("otlp-proto", *records, using=self.slow)
        found = parsed("otlp-proto", *records, using=self.fast)
        assert samples(found, self.fast) == samples(expected, self.slow)
        assert found.rejects == expected.rejects
        assert found.skips == expected.skips
        assert found.faults == expected.faults
        assert (_spoken(self.fast)) == _spoken(self.slow)
        return not found.rejects


def _spoken(using: Reading) -> dict[str, dict[float, float] | None]:
    names = using.series.names
    return {name: using.series.buckets.get(code) for code, name in enumerate(names)}


def pairs(**attributes: str) -> list[KeyValue]:
    return [KeyValue(key=k, value=AnyValue(string_value=v)) for k, v in attributes.items()]


class Exporter:
    """Requests of some services as an SDK might export them, and as it should not."""

    def __init__(self, seed: int, odd: float) -> None:
        self.chance, self.odd, self.at = random.Random(seed), odd, NOW
        self.counted: dict[object, list[int]] = {}

    def maybe(self) -> bool:
        """Whether something happens that need not."""
        return self.chance.random() < self.odd

    def request(self, points: int = 4) -> bytes:
        """One export."""
        self.at += 1000
        request = ExportMetricsServiceRequest()
        for service in ("shop", "cart"):
            holder = request.resource_metrics.add()
            holder.resource.attributes.extend(pairs(**{"service.name": service}))
            scoped = holder.scope_metrics.add()
            scoped.scope.name = "lib"
            for kind in KINDS:
                self._metric(scoped.metrics.add(name=f"m.{kind}", unit="ms"), kind, service, points)
        return request.SerializeToString()

    def _metric(self, metric: Any, kind: str, service: str, points: int) -> None:
        data = getattr(metric, kind)
        delta = service == "cart"
        if kind not in {"gauge", "summary"}:
            data.aggregation_temporality = DELTA if delta else CUMULATIVE
        if kind == "sum":
            data.is_monotonic = service == "shop"
        for number in range(points):
            point = data.data_points.add(time_unix_nano=self.at * 1_000_000)
            point.attributes.extend(pairs(route=f"/{number}"))
            getattr(self, f"_{kind}")(point, (service, kind, number), delta)
            self._odd(point, kind)

    def _odd(self, point: Any, kind: str) -> None:
        if self.maybe():
            point.start_time_unix_nano = 7
        if self.maybe():
            point.time_unix_nano = self.chance.choice([0, 1, 2**63, 2**64 - 1])
        if self.maybe():
            point.flags = self.chance.choice([1, 2])
        if self.maybe():
            point.attributes.extend(pairs(route="/again"))
        if kind != "summary" and self.maybe():
            point.exemplars.append(
                Exemplar(
                    time_unix_nano=7,
                    as_int=self.chance.choice([-1, 9]),
                    span_id=b"\xff" * 8,
                    trace_id=b"\x00" * 16,
                    filtered_attributes=[
                        *pairs(é="ö"),
                        KeyValue(key="n", value=AnyValue(int_value=self.chance.choice([-3, 300]))),
                        KeyValue(key="b", value=AnyValue(bool_value=True)),
                        KeyValue(key="d", value=AnyValue(double_value=0.5)),
                    ],
                )
            )

    def _counts(self, key: object, size: int, *, delta: bool) -> list[int]:
        grown = [self.chance.choice([0, 0, 1, 3, 200]) for _ in range(size)]
        before = self.counted.get(key, [])
        if delta or len(before) != size or self.maybe():
            now = grown
        else:
            now = [one + more for one, more in zip(before, grown, strict=True)]
        self.counted[key] = list(now)
        if self.maybe() and now:
            now[self.chance.randrange(size)] = self.chance.choice([2**53 - 1, 2**53, 2**64 - 1, 0])
        return now

    def _told(self, point: Any, counts: int) -> None:
        point.count = counts % 2**64
        if not self.maybe():
            point.sum = self.chance.choice(NUMBERS) if self.maybe() else 7.5
        if self.maybe():
            point.count = self.chance.choice([0, counts // 2 % 2**64, 2**63])
        if self.maybe():
            point.min = self.chance.choice(NUMBERS)
        if self.maybe():
            point.max = self.chance.choice(NUMBERS)

    def _histogram(self, point: Any, key: tuple[str, str, int], delta: bool) -> None:  # noqa: FBT001 - a fact of the metric
        bounds = self.chance.choice(BOUNDS) if self.maybe() else BOUNDS[key[2] % 4]
        size = len(bounds) + (not bounds or bounds[-1] != math.inf) - (not bounds and key[2] == 2)
        if self.maybe():
            size = max(0, size + self.chance.choice([-1, 1]))
        counts = self._counts(key, size, delta=delta)
        point.explicit_bounds.extend(bounds)
        point.bucket_counts.extend(counts)
        self._told(point, sum(counts))

    def _exponential_histogram(self, point: Any, key: tuple[str, str, int], delta: bool) -> None:  # noqa: FBT001 - as above
        up = self._counts((key, "up"), 40 * key[2], delta=delta)
        down = self._counts((key, "down"), key[2] // 2 * 3, delta=delta)
        point.scale = self.chance.choice([-11, 21, -12, 22, 0]) if self.maybe() else key[2]
        if up or self.maybe():
            point.positive.offset = -20
            point.positive.bucket_counts.extend(up)
        if down or self.maybe():
            point.negative.offset = self.chance.choice([2**31 - 4, -(2**31)]) if self.maybe() else 3
            point.negative.bucket_counts.extend(down)
        point.zero_count = self.chance.choice([0, 3])
        if self.maybe():
            point.zero_threshold = self.chance.choice([*NUMBERS, 1.0, 2.0])
        self._told(point, sum(up) + sum(down) + point.zero_count)

    def _summary(self, point: Any, key: tuple[str, str, int], _: bool) -> None:  # noqa: FBT001 - as above
        point.count, point.sum = self.chance.choice([0, 5]), self.chance.choice([0.0, 2.5])
        for share in (0.0, 0.5, 0.99)[: key[2]]:
            value = self.chance.choice(NUMBERS) if self.maybe() else 3.25
            point.quantile_values.add(quantile=share, value=value)

    def _gauge(self, point: Any, key: tuple[str, str, int], _: bool) -> None:  # noqa: FBT001 - as above
        if key[2] % 2:
            point.as_int = self.chance.choice([-3, 0, 2**40])
        else:
            point.as_double = self.chance.choice(NUMBERS) if self.maybe() else 0.5

    _sum = _gauge


@pytest.mark.parametrize(("odd", "seed"), [(0.0, 1), (0.002, 2), (0.002, 3), (0.02, 4), (0.3, 5)])
def test_requests_are_read_alike(odd: float, seed: int) -> None:
    """Also what is odd, in whatever mixture, and in batches of any size."""
    pair, exporter = Pair(), Exporter(seed, odd)
    records = [exporter.request() for _ in range(40)]
    while records:
        size = exporter.chance.choice([1, 1, 2, 5])
        pair.agree(*records[:size])
        del records[:size]
    if odd < 0.01:
        assert pair.known.slow < 35, "compiled code has its part in this"


def test_what_an_sdk_exports_is_read_by_compiled_code() -> None:
    """From the third time on: the first one is of new series, the second has the first quantiles."""
    pair, exporter = Pair(), Exporter(6, 0.0)
    exporter.chance.choice = lambda given: given[-1]  # type: ignore[assignment] # everything grows
    for _ in range(2):
        assert pair.agree(exporter.request())
    assert pair.known.slow == 2
    assert pair.agree(*(exporter.request() for _ in range(20)))
    assert pair.known.slow == 2


def test_a_request_cut_off_anywhere_is_read_alike() -> None:
    pair, exporter = Pair(), Exporter(7, 0.0)
    for _ in range(3):
        pair.agree(exporter.request(points=2))
    raw = exporter.request(points=2)
    for prefix in contract.prefixes(raw):
        pair.agree(prefix)
    assert pair.agree(raw)


def _mutants(count: int, seed: int) -> None:
    pair, exporter = Pair(), Exporter(seed, 0.0)
    seeds = [exporter.request(points=2) for _ in range(3)]
    seeds.append(_backwards(ExportMetricsServiceRequest.FromString(seeds[-1])))
    pair.agree(*seeds)
    met = sum(pair.agree(one) for one in islice(contract.mutations(seeds, seeds, seed), count))
    assert met, "no mutant was read at all"


def test_mutants_are_read_alike() -> None:
    _mutants(300, 8)


@pytest.mark.faults
def test_ten_thousand_mutants_are_read_alike() -> None:
    _mutants(10_000, 9)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(20))
def test_many_requests_are_read_alike(seed: int) -> None:
    pair, exporter = Pair(), Exporter(100 + seed, 0.001 * seed)
    for _ in range(100):
        pair.agree(*(exporter.request() for _ in range(exporter.chance.choice([1, 2, 5]))))


def test_a_histogram_counts_from_the_record_before_it_however_that_was_read() -> None:
    """The one in the middle is not plain: it says "no value" of another series."""
    pair, exporter = Pair(), Exporter(10, 0.0)
    pair.agree(*(exporter.request() for _ in range(4)))
    batch = [exporter.request() for _ in range(3)]
    middle = ExportMetricsServiceRequest.FromString(batch[1])
    middle.resource_metrics[0].scope_metrics[0].metrics[3].gauge.data_points[0].flags = 1
    slow = pair.known.slow
    assert pair.agree(batch[0], middle.SerializeToString(), batch[2])
    assert pair.known.slow == slow + 1


def _delimited(field: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + content


def _shuffled(raw: bytes, chance: random.Random) -> bytes:
    """The same request, the fields of each histogram's point in another order."""
    request, made = ExportMetricsServiceRequest.FromString(raw), b""
    for holder in request.resource_metrics:
        inner = _delimited(1, holder.resource.SerializeToString())
        for scoped in holder.scope_metrics:
            metrics = _delimited(1, scoped.scope.SerializeToString())
            for metric in scoped.metrics:
                metrics += _delimited(2, _metric(metric, chance))
            inner += _delimited(2, metrics)
        made += _delimited(1, inner)
    return made


def _metric(metric: Any, chance: random.Random) -> bytes:
    kind = metric.WhichOneof("data")
    if kind in {"gauge", "sum"}:
        return bytes(metric.SerializeToString())
    data = getattr(metric, kind)
    points = b""
    for point in data.data_points:
        pieces = []
        for field, value in point.ListFields():
            alone = type(point)()
            if field.is_repeated:
                getattr(alone, field.name).extend(value)
            elif field.message_type:
                getattr(alone, field.name).CopyFrom(value)
            else:
                setattr(alone, field.name, value)
            pieces.append(alone.SerializeToString())
        chance.shuffle(pieces)
        points += _delimited(1, b"".join(pieces))
    del data.data_points[:]
    head = Metric(name=metric.name, unit=metric.unit).SerializeToString()
    number = metric.DESCRIPTOR.fields_by_name[kind].number
    return bytes(head + _delimited(number, points + data.SerializeToString()))


def test_fields_of_a_point_may_stand_in_any_order() -> None:
    """SDKs differ in it: some write the largest value before the buckets, some after."""
    pair, exporter = Pair(), Exporter(11, 0.0)
    pair.agree(*(exporter.request() for _ in range(20)))
    slow = pair.known.slow
    for _ in range(20):
        raw = exporter.request()
        other = _shuffled(raw, exporter.chance)
        assert ExportMetricsServiceRequest.FromString(other) == (
            ExportMetricsServiceRequest.FromString(raw)
        )
        assert pair.agree(other)
    assert pair.known.slow - slow < 10, "most need no other reader"


def _backwards(message: Any) -> bytes:
    """A message as the collector writes it: the last field first, what is repeated in its order."""
    made = b""
    for field, value in reversed(message.ListFields()):
        if field.message_type:
            each = value if field.is_repeated else [value]
            made += b"".join(_delimited(field.number, _backwards(one)) for one in each)
        else:
            alone = type(message)()
            if field.is_repeated:
                getattr(alone, field.name).extend(value)
            else:
                setattr(alone, field.name, value)
            made += alone.SerializeToString()
    return made


def test_what_the_collector_writes_is_read_by_compiled_code() -> None:
    """It writes all messages from their end, and metadata beside a metric's data."""
    pair, exporter = Pair(), Exporter(15, 0.0)
    exporter.chance.choice = lambda given: given[-1]  # type: ignore[assignment] # everything grows
    for number in range(10):
        raw = exporter.request()
        request = ExportMetricsServiceRequest.FromString(raw)
        for holder in request.resource_metrics:
            holder.schema_url = holder.scope_metrics[0].schema_url = "https://x.example/1"
            for metric in holder.scope_metrics[0].metrics:
                metric.metadata.extend(pairs(**{"prometheus.type": "counter"}))
        other = _backwards(request)
        assert ExportMetricsServiceRequest.FromString(other) == request
        assert other != request.SerializeToString()
        assert pair.agree(other)
        assert pair.agree(request.SerializeToString())
        assert pair.known.slow == (3 if number else 2), "new; then the first quantiles"


def test_a_collectors_log_records_are_known_when_they_come_again() -> None:
    """Resource and scope stand behind the records there."""
    request = ExportLogsServiceRequest()
    holder = request.resource_logs.add(schema_url="https://x.example/1")
    holder.resource.attributes.extend(pairs(**{"service.name": "shop"}))
    scoped = holder.scope_logs.add()
    scoped.scope.name = "lib"
    scoped.log_records.add(
        time_unix_nano=NOW * 1_000_000, body=AnyValue(string_value="it is"), severity_text="INFO",
        attributes=pairs(a="b"),
    )  # fmt: skip
    raw = _backwards(request)
    using = reading(late_s=0, future_s=0)
    first = parsed("otlp-proto", raw, using=using)
    known = using.series.known(("otlp lines", ""), KnownLogRecords)
    assert known.read([raw], using.limits)[1].tolist() == [True]
    again = parsed("otlp-proto", raw, using=using)
    assert again.lines.text == first.lines.text == ["it is"]
    assert (again.lines.labels, again.lines.service) == (first.lines.labels, first.lines.service)


def _dense(histograms: int, at: int) -> bytes:
    """A few bytes a bucket: more samples than a request of that size has as a rule."""
    request = ExportMetricsServiceRequest()
    holder = request.resource_metrics.add()
    holder.resource.attributes.extend(pairs(**{"service.name": "shop"}))
    data = holder.scope_metrics.add().metrics.add(name="rt").exponential_histogram
    data.aggregation_temporality = CUMULATIVE  # type: ignore[assignment] # its stubs want the enum itself
    for number in range(histograms):
        point = data.data_points.add(time_unix_nano=at * 1_000_000, count=30 * (at - NOW))
        point.attributes.extend(pairs(a=str(number)))
        point.positive.bucket_counts.extend([at - NOW] * 30)
    return request.SerializeToString()


def test_there_is_room_for_what_is_packed_tightly() -> None:
    pair = Pair()
    for more in (1, 2, 3, 4):
        assert pair.agree(_dense(200, NOW + more))
    assert pair.known.slow == 2


def test_forgotten_histograms_are_learned_again() -> None:
    """A sweep gives series new numbers, and what was counted is forgotten with the old ones."""
    pair, exporter = Pair(), Exporter(12, 0.0)
    pair.agree(*(exporter.request() for _ in range(5)))
    for using in (pair.slow, pair.fast):
        using.series.sweep(NOW)
        assert using.series.sweep(NOW + int(using.limits.series_idle_s * 3000))
    assert pair.agree(*(exporter.request() for _ in range(5)))


@pytest.mark.parametrize("elements", [10, 39, 40])
def test_a_request_has_no_more_points_for_being_known(elements: int) -> None:
    """Forty, and a bucket is none of them."""
    pair, exporter = Pair(), Exporter(13, 0.0)
    pair.agree(*(exporter.request() for _ in range(4)))
    tight = Pair(elements=max(elements, 1))
    tight.agree(*(exporter.request() for _ in range(4)))
    pair.slow = Reading(tight.slow.limits, pair.slow.series)
    pair.fast = Reading(tight.fast.limits, pair.fast.series)
    raw = exporter.request()
    pair.agree(raw)


def test_an_aborted_transaction_takes_deltas_of_histograms_along() -> None:
    pair, exporter = Pair(), Exporter(14, 0.0)
    pair.agree(*(exporter.request() for _ in range(4)))
    pair.fast.series.totals.ended(committed=True)
    raw = exporter.request()
    values = []
    for _ in range(2):
        result = parsed("otlp-proto", raw, using=pair.fast)
        values.append(
            [
                value
                for series, _, value in samples(result, pair.fast)
                if 'service="cart"' in series and "_p" not in series
            ]
        )
        pair.fast.series.totals.ended(committed=False)
    assert values[0] == values[1] != []
