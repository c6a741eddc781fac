"""Everything on one machine: started, kept alive, stopped, nothing left."""

import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import Rejected, Unavailable
from streams.broker.embedded import EmbeddedBroker
from streams.child import Child
from streams.connection import KafkaSettings
from streams.pipeline import BY_NAME
from streams.topics import create
from streams.up import Member, Up, groups

SOON_S = 60.0


def until(holds: Callable[[], bool]) -> None:
    """Wait for the world, not for ever."""
    deadline, never = time.monotonic() + SOON_S, threading.Event()
    while not holds():
        assert time.monotonic() < deadline
        never.wait(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_stage_runs_once_in_the_order_of_the_flow() -> None:
    planned = groups()
    assert planned[0] == ("intake",)
    assert planned[1][0] == "detect"
    assert sorted(name for group in planned for name in group) == sorted(
        (*BY_NAME, "intake", "clock")
    )


def test_stages_can_be_left_out_and_the_bridge_asked_for() -> None:
    planned = groups(("intake", "execute"), bridge=True)
    assert planned[0] == ("bridge",)
    assert not {"intake", "execute"} & {name for group in planned for name in group}
    with pytest.raises(Rejected, match="no stage fly; there are intake, detect"):
        groups(("fly",))


@pytest.mark.broker
def test_a_group_that_dies_comes_back_and_none_is_left_behind(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path
) -> None:
    kafka = KafkaSettings(brokers=broker.bootstrap, topic_prefix=f"{topic_prefix}-")
    create(kafka)
    environment = {
        "SENTINEL_KAFKA__BROKERS": broker.bootstrap,
        "SENTINEL_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
    }
    said: list[str] = []
    with Up(environment, [("clock",)], tmp_path / "logs", folder=tmp_path, say=said.append) as up:
        up.ready(SOON_S)
        first = up.pids["clock"]
        os.kill(first, signal.SIGKILL)
        until(lambda: "clock is back" in said)
        second = up.pids["clock"]
        where = said[0].partition("metrics at ")[2].removesuffix(")")
        with pytest.raises(urllib.error.URLError):  # it was the first one's
            urllib.request.urlopen(where, timeout=SOON_S)  # noqa: S310 - our own
        where = str(up.metrics("clock"))
        with urllib.request.urlopen(where, timeout=SOON_S) as answer:  # noqa: S310 - as above
            assert b"process_resident_memory_bytes" in answer.read()
        assert second != first
        with pytest.raises(Rejected, match="started already"):
            up.start()
    assert not alive(second)
    assert up.pids == {}
    assert said[0].startswith(f"ready: clock (pid {first}, metrics at http://127.0.0.1:")
    assert said[1].startswith("clock ended (signal 9): ")


def test_a_group_that_is_used_wrongly_is_given_up_at_once(tmp_path: Path) -> None:
    said: list[str] = []
    up = Up({}, [("fly",)], tmp_path, folder=tmp_path, say=said.append)
    with up, pytest.raises(Unavailable, match=r"fly ended \(1 times in a row\): .*no stage fly"):
        up.ready(SOON_S)
    assert len(said) == 1
    assert said[0].endswith("it will not be tried again")


def test_each_group_has_a_port_for_its_metrics(tmp_path: Path) -> None:
    """One setting for all would have them meet at one port."""
    up = Up({}, [("intake",), ("detect", "slo")], tmp_path, metrics_port=9300)
    own = [member.own["SENTINEL_METRICS__PORT"] for member in up._members]
    assert own == ["9300", "9301"]


def ended(tmp_path: Path, status: int) -> Member:
    """A member whose process has ended so."""
    member = Member(("detect",), tmp_path)
    command = [sys.executable, "-c", f"print('last words'); raise SystemExit({status})"]
    member.child = Child(command, folder=tmp_path, log=member.log)
    assert member.child.ended.result(SOON_S) == status
    return member


def test_each_end_is_told_once_and_the_next_start_comes_later(tmp_path: Path) -> None:
    pauses = []
    member = ended(tmp_path, 1)
    for _ in range(8):
        member._told = False
        line = member.noticed(now=10.0)
        assert line.startswith("detect ended (exit status 1): last words; again in ")
        assert member.noticed(now=10.0) == ""
        pauses.append(member.due - 10.0)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert member.hopeless


def test_after_a_steady_time_an_end_is_a_new_one(tmp_path: Path) -> None:
    member = ended(tmp_path, 1)
    for now in (10.0, 11.0, 200.0):
        member._told = False
        member.noticed(now)
    assert (member.due, member.failures) == (200.5, 1)


def test_the_children_have_the_given_settings_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTINEL_ENVIRONMENT", "ours")
    monkeypatch.setenv("ELSE", "kept")
    given = Up({"SENTINEL_CONFIG": "a.yaml"}, [("clock",)], tmp_path)._environment
    assert {k: v for k, v in given.items() if k.startswith("SENTINEL_")} == {
        "SENTINEL_CONFIG": "a.yaml"
    }
    assert given["ELSE"] == "kept"
    assert Up(None, [("clock",)], tmp_path)._environment["SENTINEL_ENVIRONMENT"] == "ours"
