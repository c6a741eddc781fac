"""The shop with its real processes: it falls ill, it is cured, and it leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Consumer, Producer
from prometheus_client.parser import text_string_to_metric_families

from schemas.errors import Unavailable
from streams.demo.shop.launch import Logs, Shop

PATIENCE = 60.0  # seconds until a state that must come counts as not coming, or an answer


def eventually(check: Callable[[], bool], what: str) -> None:
    """Poll the world until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < deadline, f"not after {PATIENCE} s: {what}"
        time.sleep(0.1)


def change(
    shop: Shop, url: str, arguments: dict[str, object], *, key: str | None = None
) -> httpx.Response:
    """A change as an operator makes it."""
    headers = {"Authorization": f"Bearer {shop.token}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    return httpx.post(url, json=arguments, headers=headers, timeout=PATIENCE)


def state(url: str) -> dict[str, object]:
    answer: dict[str, object] = (
        httpx.get(f"{url}/control/state", timeout=PATIENCE).raise_for_status().json()
    )
    return answer


def log(url: str) -> list[dict[str, object]]:
    answer = httpx.get(f"{url}/control/log", timeout=PATIENCE).raise_for_status()
    entries: list[dict[str, object]] = answer.json()["entries"]
    return entries


def metric(shop: Shop, service: str, name: str) -> float | None:
    """The sum of a metric's samples; None when it has none."""
    text = httpx.get(shop.metrics_urls[service], timeout=PATIENCE).raise_for_status().text
    values = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels["service"] == service
    ]
    return sum(values) if values else None


def depth(shop: Shop) -> float:
    return metric(shop, "shop-queue", "shop_queue_depth") or 0.0


def checkout_is(shop: Shop, *, healthy: bool) -> bool:
    p95 = metric(shop, "checkout", "checkout_latency_p95_seconds")
    errors = metric(shop, "checkout", "checkout_error_ratio")
    if p95 is None or errors is None:
        return False
    return (p95 < 0.3 and errors == 0) if healthy else (p95 > 0.8 and errors > 0.3)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def every_pid(shop: Shop) -> list[int]:
    replicas = state(shop.workers)["pids"]
    assert isinstance(replicas, list)
    return [*shop.pids.values(), *replicas]


@contextmanager
def standing_still(shop: Shop) -> Iterator[None]:
    """Replicas do nothing meanwhile: jobs wait, however slowly they are offered."""
    replicas = state(shop.workers)["pids"]
    assert isinstance(replicas, list)
    for pid in replicas:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in replicas:
            os.kill(pid, signal.SIGCONT)


def fill(shop: Shop, source: str, jobs: int) -> None:
    """Offer work."""
    job = {"source": source, "kind": "reprice", "payload": {"page": 1}}
    with httpx.Client(timeout=PATIENCE) as client:
        for _ in range(jobs):
            offer = {**job, "ttl_seconds": 600, "wait_seconds": 0}
            client.post(f"{shop.queue}/jobs", json=offer).raise_for_status()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """A shop without customers, for what an operator does."""
    with Shop(customers=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def kafka() -> Iterator[str]:
    """A broker inside librdkafka, for the log lines."""
    cluster = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1})
    (broker,) = cluster.list_topics(timeout=60).brokers.values()
    yield f"{broker.host}:{broker.port}"
    del cluster


@pytest.mark.timeout(600)
def test_the_shop_falls_ill_and_only_the_whole_cure_helps(kafka: str) -> None:
    """Normal, fault, sick; replicas alone, clearing alone; all three; undone, sick again."""
    with Shop(logs=Logs(kafka, "logs")) as shop:
        eventually(lambda: checkout_is(shop, healthy=True), "healthy at first")

        change(shop, f"{shop.batch}/control/fault", {"on": True}).raise_for_status()
        eventually(lambda: checkout_is(shop, healthy=False), "sick after the fault")

        scaled = change(shop, f"{shop.workers}/control/scale", {"replicas": 8})
        assert scaled.json() == {"replicas": 8, "previous_replicas": 2}
        behind = depth(shop)
        eventually(lambda: depth(shop) > behind + 10, "more replicas alone fall further behind")

        change(shop, f"{shop.queue}/control/clear", {"source": "shop-batch"}).raise_for_status()
        eventually(lambda: depth(shop) > 30, "a cleared queue fills again")

        throttled = change(shop, f"{shop.batch}/control/throttle", {"per_second": 2})
        assert throttled.json() == {"per_second": 2.0, "previous_per_second": 100.0}
        cleared = change(shop, f"{shop.queue}/control/clear", {"source": "shop-batch"})
        assert cleared.json()["parked"] > 0
        change(shop, f"{shop.workers}/control/scale", {"replicas": 6}).raise_for_status()
        eventually(lambda: checkout_is(shop, healthy=True), "healthy after the cure")

        parked = metric(shop, "shop-queue", "shop_queue_parked")
        back = change(shop, f"{shop.queue}/control/unpark", {"source": "shop-batch"})
        assert back.json()["unparked"] == parked
        change(shop, f"{shop.batch}/control/throttle", {"per_second": 100}).raise_for_status()
        change(shop, f"{shop.workers}/control/scale", {"replicas": 2}).raise_for_status()
        eventually(lambda: checkout_is(shop, healthy=False), "sick again after the undo")

        good = metric(shop, "checkout", "checkout_good_total") or 0
        assert 0 < good < (metric(shop, "checkout", "checkout_requests_total") or 0)
        pids = every_pid(shop)
    assert not [pid for pid in pids if alive(pid)]
    _the_log_topic_tells_the_story(kafka)


def _the_log_topic_tells_the_story(kafka: str) -> None:
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": "test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["logs"])
    lines: list[dict[str, str]] = []

    def said(service: str, severity: str, words: str) -> bool:
        return any(
            line["service"] == service and line["severity"] == severity and words in line["message"]
            for line in lines
        )

    def told() -> bool:
        batch = consumer.consume(500, timeout=1)
        lines.extend(json.loads(message.value()) for message in batch if not message.error())
        return (
            said("checkout", "info", "took")
            and said("checkout", "error", "timeout")
            and said("shop-worker", "warning", "waited")
            and said("shop-batch", "info", "sent page")
            and said("shop-queue", "info", "control: unpark")
        )

    eventually(told, "every service's lines in the topic")
    consumer.close()
    assert all(line.keys() == {"service", "at", "severity", "message"} for line in lines)


def test_a_customer_gets_a_signed_order_or_a_reason(shop: Shop) -> None:
    items = [{"sku": "tea", "quantity": 2, "unit_cents": 450}]
    sold: list[httpx.Response] = []

    def checked_out(items: list[dict[str, object]]) -> httpx.Response:
        return httpx.post(f"{shop.gateway}/checkout", json={"items": items}, timeout=PATIENCE)

    def served() -> bool:
        """A busy machine's shop turns customers away, too."""
        sold.append(checked_out(items))
        return sold[-1].status_code == 200

    eventually(served, "an order")
    assert sold[-1].json()["total_cents"] == 900
    refused = checked_out([])
    assert refused.status_code == 400
    assert refused.json() == {"error": "items must be a list of 1 to 100 articles"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer guess"}, {"Authorization": ""}])
def test_a_change_without_the_token_is_refused_and_changes_nothing(
    shop: Shop, headers: dict[str, str]
) -> None:
    before = state(shop.batch), log(shop.batch)
    answer = httpx.post(
        f"{shop.batch}/control/throttle", json={"per_second": 3}, headers=headers, timeout=PATIENCE
    )
    assert answer.status_code == 401
    assert answer.json() == {"error": "a valid bearer token is needed"}
    assert (state(shop.batch), log(shop.batch)) == before


@pytest.mark.parametrize(
    ("where", "arguments", "status", "reason"),
    [
        ("workers/scale", {"replicas": 0}, 400, "replicas must be a whole number from 1 to 8"),
        ("workers/scale", {"replicas": 9}, 400, "replicas must be a whole number from 1 to 8"),
        ("workers/scale", {"replicas": True}, 400, "whole number"),
        ("workers/scale", {}, 400, "the body must be an object with: replicas"),
        ("workers/scale", {"replicas": 2, "force": True}, 400, "an object with: replicas"),
        ("workers/scale?dry_run=1", {"replicas": 3}, 400, "there is no dry run"),
        ("workers/explode", {}, 404, "no change 'explode'; there are: scale"),
        ("batch/throttle", {"per_second": -1}, 400, "per_second must be a number from 0 to 100"),
        ("batch/throttle", {"per_second": "2"}, 400, "per_second must be a number"),
        ("batch/fault", {"on": 1}, 400, "on must be true or false"),
        ("queue/clear", {"source": ""}, 400, "source must be a non-empty string"),
        ("queue/clear", {"source": "nobody"}, 404, "no jobs came from 'nobody'"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_with_its_reason(
    shop: Shop, where: str, arguments: dict[str, object], status: int, reason: str
) -> None:
    component, _, action = where.partition("/")
    url = getattr(shop, component)
    before = [entry for entry in log(url) if entry["applied"]]
    answer = change(shop, f"{url}/control/{action}", arguments)
    assert answer.status_code == status
    assert reason in answer.json()["error"]
    assert [entry for entry in log(url) if entry["applied"]] == before


def test_a_key_is_applied_once_and_can_be_asked_for(shop: Shop) -> None:
    url = f"{shop.batch}/control/throttle"
    first = change(shop, url, {"per_second": 5}, key="plan-1/step-2")
    change(shop, url, {"per_second": 7})
    entries = log(shop.batch)
    again = change(shop, url, {"per_second": 5}, key="plan-1/step-2")
    assert "Idempotent-Replay" not in first.headers
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.json() == first.json()
    assert state(shop.batch)["throttle_per_second"] == 7
    assert log(shop.batch) == entries
    asked = httpx.get(f"{shop.batch}/control/operations/plan-1/step-2", timeout=PATIENCE)
    assert asked.status_code == 200
    assert asked.json()["response"] == first.json()
    assert httpx.get(f"{shop.batch}/control/operations/plan-9", timeout=PATIENCE).status_code == 404
    other = change(shop, url, {"per_second": 6}, key="plan-1/step-2")
    assert other.status_code == 422


def test_clearing_parks_the_source_and_unparking_brings_every_job_back(shop: Shop) -> None:
    with standing_still(shop):
        fill(shop, "nightly", jobs=60)
        cleared = change(shop, f"{shop.queue}/control/clear", {"source": "nightly"}).json()
    assert cleared["parked"] > 0
    parked = state(shop.queue)
    assert parked["parked_by_source"] == {"nightly": cleared["parked"]}
    back = change(shop, f"{shop.queue}/control/unpark", {"source": "nightly"}).json()
    assert back["unparked"] == cleared["parked"]
    assert state(shop.queue)["parked"] == 0
    change(shop, f"{shop.queue}/control/clear", {"source": "nightly"}).raise_for_status()


def test_scaling_starts_and_stops_real_processes(shop: Shop) -> None:
    two = every_pid(shop)
    change(shop, f"{shop.workers}/control/scale", {"replicas": 4}).raise_for_status()
    four = every_pid(shop)
    assert set(two) < set(four)
    assert all(alive(pid) for pid in four)
    change(shop, f"{shop.workers}/control/scale", {"replicas": 2}).raise_for_status()
    assert every_pid(shop) == two
    assert not [pid for pid in set(four) - set(two) if alive(pid)]


def test_a_replica_that_dies_is_replaced(shop: Shop) -> None:
    before = state(shop.workers)["pids"]
    assert isinstance(before, list)
    os.kill(before[0], signal.SIGKILL)

    def replaced() -> bool:
        now = state(shop.workers)
        pids = now["pids"]
        assert isinstance(pids, list)
        return before[0] not in pids and len(pids) == len(before) and all(map(alive, pids))

    eventually(replaced, "a new replica")
    assert metric(shop, "shop-worker", "shop_worker_restarts_total") == 1


def test_with_a_broken_fix_clearing_fails_and_leaves_no_trace_but_the_attempt() -> None:
    with Shop(customers=0, replicas=1, break_fix=True) as shop:
        with standing_still(shop):
            fill(shop, "nightly", jobs=30)
            answer = change(shop, f"{shop.queue}/control/clear", {"source": "nightly"}, key="k")
        assert answer.status_code == 500
        assert "parking lot full: 0 places free" in answer.json()["error"]
        assert state(shop.queue)["parked"] == 0
        assert [entry["applied"] for entry in log(shop.queue)] == [False]
        assert httpx.get(f"{shop.queue}/control/operations/k", timeout=PATIENCE).status_code == 404


def test_nothing_outlives_a_launcher_that_was_killed() -> None:
    program = (
        "import sys\n"
        "from streams.demo.shop.launch import Shop\n"
        "with Shop(customers=5, replicas=1) as shop:\n"
        "    print(*shop.pids.values(), shop.workers, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with launcher:
        assert launcher.stdout is not None
        *pids, workers = launcher.stdout.readline().split()
        replicas = state(workers)["pids"]
        assert isinstance(replicas, list)
        everything = [*map(int, pids), *replicas]
        assert all(alive(pid) for pid in everything)
        launcher.kill()
    try:
        eventually(lambda: not any(alive(pid) for pid in everything), "no process left")
    finally:
        for pid in filter(alive, everything):
            os.kill(pid, signal.SIGKILL)


def test_a_shop_that_cannot_start_says_why_and_stops_what_ran() -> None:
    shop = Shop(customers=-1)
    with pytest.raises(Unavailable, match=r"the shop's load did not start: .*--per-second"), shop:
        pass
    assert not [pid for pid in shop.pids.values() if alive(pid)]
