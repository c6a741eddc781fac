"""The bridge as a process."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from schemas.errors import Unavailable
from streams.bridge.serving import listening, url
from streams.broker.embedded import EmbeddedBroker
from streams.connection import KafkaSettings
from streams.topics import create

SOON_S = 60.0


def test_a_port_that_is_taken_is_said_with_what_to_do() -> None:
    with listening("127.0.0.1", 0) as link:
        port = link.getsockname()[1]
        assert url(link) == f"http://127.0.0.1:{port}"
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port} .*--port"):
            listening("127.0.0.1", port)


@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_bridge_takes_requests_until_it_is_told_to_stop(
    broker: EmbeddedBroker, topic_prefix: str, tmp_path: Path, number: signal.Signals
) -> None:
    prefix = f"{topic_prefix}-"
    create(KafkaSettings(brokers=broker.bootstrap, topic_prefix=prefix))
    own = {k: v for k, v in os.environ.items() if not k.startswith("SENTINEL_")}
    settings = {
        "SENTINEL_KAFKA__BROKERS": broker.bootstrap,
        "SENTINEL_KAFKA__TOPIC_PREFIX": prefix,
        "SENTINEL_BRIDGE__SCRAPE__TARGETS": '["shop=http://127.0.0.1:1"]',
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "bridge", "--port", "0",
         "--interval", "1m"],
        cwd=tmp_path, env=own | settings, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("ready: bridge at "):
                break
        where = said[-1].split()[-1]
        for path in ("/ingest", "/ingest/alertmanager", "/v1/metrics", "/v1/logs", "/api/v1/write"):
            assert [line for line in said if line.startswith(f"{where}{path} ")]
        with pytest.raises(urllib.error.HTTPError, match="415") as refused:
            urllib.request.urlopen(f"{where}/ingest", data=b"{}", timeout=SOON_S)  # noqa: S310 - our own
        refused.value.close()
        with urllib.request.urlopen(f"{where}/metrics", timeout=SOON_S) as told_of_itself:  # noqa: S310 - our own
            assert b"sentinel_scrapes_total" in told_of_itself.read()
        process.send_signal(number)
        _, rest = process.communicate(timeout=SOON_S)
        assert process.returncode == 0
        told = [line for line in [*said[:-1], *rest.splitlines()] if "scraping http" not in line]
        assert not [line for line in told if "Traceback" in line]
    finally:
        process.kill()
        process.wait()
