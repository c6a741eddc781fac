"""Remote write over real HTTP, with Kafka there and with Kafka gone."""

import asyncio

import cramjam
import httpx
import pytest
from prometheus_client import CollectorRegistry

from schemas.topics import RAW_REMOTE_WRITE
from streams.bridge.remote_write import PATH
from streams.broker.embedded import EmbeddedBroker
from streams.formats.proto import remote_write_v2_pb2 as v2
from streams.intake.settings import IntakeSettings
from tests.streams.bridge.over_http import GONE, serving
from tests.streams.formats.reading import NOW
from tests.streams.formats.test_native_histogram import ENDED
from tests.streams.formats.test_remote_write import OTLP, UP, VERSION_1, VERSION_2, packed, request
from tests.streams.intake.test_intake import ANY_TIME, count, working
from tests.streams.kafka_world import records, samples, until, world

V1 = {"content-type": "application/x-protobuf", "content-encoding": "snappy"}
V2 = V1 | {"content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}


@pytest.mark.broker
def test_what_is_accepted_is_in_kafka_as_it_came(broker: EmbeddedBroker, topic_prefix: str) -> None:
    kafka = world(broker.bootstrap, topic_prefix)
    with serving(kafka) as client:
        assert client.get("/healthz").text == "ok\n"
        for body, headers in ((VERSION_1, V1), (VERSION_2, V2)):
            assert client.post(PATH, content=body, headers=headers).status_code == 204
            kept = {bytes(record.value()) for record in records(kafka, RAW_REMOTE_WRITE)}
            assert body in kept
        told = client.get("/metrics").text
        assert 'sentinel_bridge_requests_total{path="/api/v1/write",status="204"} 2.0' in told
        assert "sentinel_bridge_samples_total 2.0" in told
    registry = CollectorRegistry()
    with working(kafka, IntakeSettings.model_validate({"limits": ANY_TIME}), registry):
        until(lambda: count(registry, "records") == 2)
    assert [row.series for row in samples(kafka)] == [UP, UP]


@pytest.mark.broker
def test_version_2_is_told_what_was_written(broker: EmbeddedBroker, topic_prefix: str) -> None:
    good = v2.TimeSeries(
        labels_refs=[1, 2, 3, 4],
        samples=[v2.Sample(value=v, timestamp=NOW) for v in (1, 2, float("nan"))],
    )
    histogram = v2.TimeSeries(
        labels_refs=[1, 2, 3, 4],
        histograms=[
            v2.Histogram(
                count_int=1, sum=1, timestamp=NOW, positive_deltas=[1],
                positive_spans=[v2.BucketSpan(length=1)],
            ),
            v2.Histogram(sum=ENDED, timestamp=NOW + 1),
        ],
    )  # fmt: skip
    nameless = v2.TimeSeries(labels_refs=[3, 4], samples=[v2.Sample(value=1, timestamp=NOW)])
    symbols = ["", "__name__", "m", "job", "j"]
    kafka = world(broker.bootstrap, topic_prefix)
    with serving(kafka) as client:
        whole = client.post(
            PATH,
            headers=V2,
            content=packed(v2.Request(symbols=symbols, timeseries=[good, histogram])),
        )
        assert whole.status_code == 204
        part = client.post(
            PATH,
            headers=V2,
            content=packed(v2.Request(symbols=symbols, timeseries=[nameless, good])),
        )
        assert part.status_code == 400
        assert part.text == "bad-metric: element 0: a series without __name__\n"
    written = [
        {kind: answer.headers[f"x-prometheus-remote-write-{kind}-written"]
         for kind in ("samples", "histograms", "exemplars")}
        for answer in (whole, part)
    ]  # fmt: skip
    assert written == [
        {"samples": "3", "histograms": "2", "exemplars": "0"},
        {"samples": "3", "histograms": "0", "exemplars": "0"},
    ]
    assert len(records(kafka, RAW_REMOTE_WRITE)) == 2


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"{}", {"content-type": "application/json"}, 415, "must be application/x-protobuf"),
        (VERSION_1, {"content-type": "application/x-protobuf"}, 415, "must be snappy"),
        (VERSION_1, V1 | {"content-encoding": "gzip"}, 415, "must be snappy, not 'gzip'"),
        (VERSION_1, V1 | {"content-type": "application/x-protobuf;proto=x"}, 415, "no message 'x'"),
        (VERSION_1, V2, 400, "not of this version"),
        (VERSION_2, V1, 400, "not of this version"),
        (VERSION_1, V1 | {"x-prometheus-remote-write-version": "2.0.0"}, 400, "not of this"),
        (b"", V1, 400, "empty"),
        (VERSION_1[:-1], V1, 400, "bad-snappy"),
        (packed(OTLP), V1, 400, "bad-metric"),
        (b"\x80\x80\x80\x80\x04" + b"\0" * 20, V1, 400, "claims 1073741824 bytes"),
        (request(1.0, labels={"__name__": "m"}), V1, 400, "no-service"),
        (b"\0" * (1024 * 1024 + 1), V1, 413, "more than the 1048576 bytes"),
    ],
)
def test_what_will_never_work_is_answered_so(
    body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    """Kafka is gone: none of these even gets there."""
    with serving(GONE) as client:
        answer = client.post(PATH, content=body, headers=headers)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text


def test_a_body_of_unsaid_length_is_cut_off_too() -> None:
    with serving(GONE) as client:
        answer = client.post(PATH, content=iter([b"\0" * 65536] * 17), headers=V1)
    assert answer.status_code == 413


def test_with_kafka_gone_the_sender_is_asked_to_come_back() -> None:
    with serving(GONE, acknowledge_s=0.5) as client:
        answer = client.post(PATH, content=VERSION_1, headers=V1)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert "did not confirm" in answer.text
        assert client.get("/healthz").status_code == 503
        assert (
            'requests_total{path="/api/v1/write",status="503"} 1.0' in client.get("/metrics").text
        )


def test_a_full_queue_is_answered_at_once() -> None:
    """Bodies that do not compress, more than the queue holds, with Kafka gone."""
    noise = "".join(chr(33 + i * i % 90) for i in range(4000))
    series = [
        v2.TimeSeries(labels_refs=[1, 2, 3, 5 + i], samples=[v2.Sample(value=i, timestamp=NOW)])
        for i in range(150)
    ]
    symbols = ["", "__name__", "m", "job", "j", *(f"{i}{noise[i:]}{noise[:i]}" for i in range(150))]
    body = bytes(
        cramjam.snappy.compress_raw(
            v2.Request(symbols=symbols, timeseries=series).SerializeToString()
        )
    )
    with serving(GONE, acknowledge_s=6, queue_kib=1024) as client:
        url = str(client.base_url)
        answers: list[str] = []

        async def flood() -> None:
            async with httpx.AsyncClient(base_url=url, timeout=60) as many:
                pending = {
                    asyncio.ensure_future(many.post(PATH, content=body, headers=V2))
                    for _ in range(2 + 1024 * 1024 // len(body))
                }
                done, rest = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                answers.extend(each.result().text for each in done)
                for each in rest:
                    each.cancel()
                await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run(flood())
    assert answers
    assert set(answers) == {"too much is waiting for Kafka already\n"}
