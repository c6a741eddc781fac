"""What the doctor says of what it finds."""

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from executors.http_targets import HttpSettings
from schemas.topics import Topic
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.inspection import Finding, database, executor, files, inspect, intake, skew
from streams.intake.settings import IntakeSettings
from streams.settings import Settings
from streams.topics import create


@pytest.mark.parametrize(
    ("age", "status"),
    [(0.01, "ok"), (-1.0, "ok"), (4.9, "ok"), (-30.0, "fail"), (60.0, "fail")],
)
def test_clocks_may_differ_a_little(age: float, status: str) -> None:
    assert skew(age).status == status


def test_a_clock_that_differs_says_which_way() -> None:
    assert "30 s behind the one" in skew(-30).detail
    assert "60 s ahead of the one" in skew(60).detail


def of(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {found.name: found for found in findings}


def test_files_with_mistakes_fail_by_line(tmp_path: Path) -> None:
    for name in ("books", "policies", "slo"):
        (tmp_path / name).mkdir()
    (tmp_path / "books/a.yaml").write_text("name: a\n")
    (tmp_path / "policies/a.rego").write_text("package elsewhere\n")
    (tmp_path / "slo/a.yaml").write_text("kind: SLO\n")
    (tmp_path / "rates.yaml").write_text("currency: 1\n")
    (tmp_path / "topology.yaml").write_text("services: 3\n")
    settings = Settings.model_validate(
        {
            "files": {
                "runbooks": tmp_path / "books",
                "policies": tmp_path / "policies",
                "slo": tmp_path / "slo",
                "rates": tmp_path / "rates.yaml",
                "topology": tmp_path / "topology.yaml",
            }
        }
    )
    found = of(files(settings))
    assert {name: each.status for name, each in found.items()} == dict.fromkeys(
        ("runbooks", "policies", "objectives", "topology", "rates"), "fail"
    )
    assert str(tmp_path / "books/a.yaml:1") in found["runbooks"].detail


def test_the_shipped_files_are_fine() -> None:
    found = of(files(Settings()))
    assert {each.status for each in found.values()} == {"ok", "warn"}
    assert found["topology"].status == "warn"


def test_a_database_that_is_not_there_yet_is_no_failure(tmp_path: Path) -> None:
    """It is made by `up`, never by looking."""
    url = f"sqlite:///{tmp_path / 'none.db'}"
    found = of(database(Settings.model_validate({"database": {"url": url}})))
    assert (found["database"].status, list(tmp_path.iterdir())) == ("warn", [])


class Target(BaseHTTPRequestHandler):
    """Has nothing at /, and remembers how it was asked."""

    asked: list[str] = []  # noqa: RUF012 - one server a test

    def do_GET(self) -> None:
        """404."""
        self.asked.append(self.command)
        self.send_error(404)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the base class's names

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def target() -> Iterator[str]:
    """The address of something that answers."""
    Target.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Target)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_targets_are_only_read(target: str) -> None:
    """Any answer will do; nobody there will not."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        http = HttpSettings.model_validate(
            {"targets": {"shop": {"base_url": target}, "gone": {"base_url": nobody}}}
        )
        found = list(executor(Settings(executor=http)))
    assert [each.status for each in found] == ["ok", "fail"]
    assert found[1].detail.startswith("gone: ")
    assert Target.asked == ["GET"]


@pytest.mark.broker
@pytest.mark.parametrize(
    ("topics", "status"),
    [(["there", "gone"], "warn"), (["there"], "ok"), (["raw.logs"], "ok")],
)
def test_a_topic_that_intake_waits_for_in_vain_is_said(
    broker: EmbeddedBroker, topic_prefix: str, topics: list[str], status: str
) -> None:
    """Sentinel's own are not said twice."""
    kafka = KafkaSettings(brokers=broker.bootstrap, topic_prefix=f"{topic_prefix}-")
    create(kafka, [Topic("there", None, "none", 60_000, partitions=1)])
    read = IntakeSettings(topics=dict.fromkeys(topics, "json"))
    (found,) = intake(Settings(kafka=kafka, intake=read))
    assert found.status == status
    assert ("gone in intake.topics" in found.detail) == (status == "warn")


def test_without_a_cluster_the_rest_is_still_looked_at(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "kafka": {"brokers": "127.0.0.1:1"},
            "database": {"url": f"sqlite:///{tmp_path / 'none.db'}"},
        }
    )
    found = of(inspect(settings))
    assert found["kafka"].status == "fail"
    assert not {"topics", "clock"} & set(found)
    assert {"schemas", "database", "runbooks", "executor", "java"} <= set(found)
