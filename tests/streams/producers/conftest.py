"""Real producers for a session: unpacked once, their absence said loudly, and in CI a failure."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.streams.producers.unpacked import Producers

SCRIPT = Path(__file__).parents[3] / "deploy" / "dev" / "producers.sh"


@pytest.fixture(scope="session")
def producers() -> Producers:
    """rsyslog, syslog-ng, collectd, Prometheus and node_exporter as Debian has them."""
    had = subprocess.run([SCRIPT], capture_output=True, text=True, timeout=170, check=False)
    if had.returncode and shutil.which("apt-get") is None and os.environ.get("CI") != "true":
        pytest.skip(f"REAL PRODUCERS ARE NOT TESTED: {had.stderr.strip()}")
    assert had.returncode == 0, had.stderr
    return Producers(Path(had.stdout.strip()))


@pytest.fixture(scope="session")
def prometheus_3() -> Path:
    """Prometheus 3, which writes remote write 2.0. Debian has none yet: it is built with Go."""
    return _built("prometheus.sh", "REMOTE WRITE 2.0 OF A REAL PROMETHEUS")


@pytest.fixture(scope="session")
def telegraf() -> Path:
    """Telegraf, which Debian does not have: it is built with Go."""
    return _built("telegraf.sh", "A REAL TELEGRAF")


@pytest.fixture(scope="session")
def collector() -> Path:
    """The OpenTelemetry Collector, which Debian does not have: it is built with Go."""
    return _built("otel-collector.sh", "A REAL OPENTELEMETRY COLLECTOR")


def _built(script: str, what: str) -> Path:
    built = subprocess.run(
        [SCRIPT.with_name(script)], capture_output=True, text=True, timeout=1400, check=False
    )
    if built.returncode and shutil.which("go") is None and os.environ.get("CI") != "true":
        pytest.skip(f"{what} IS NOT TESTED: {built.stderr.strip()}")
    assert built.returncode == 0, built.stderr
    return Path(built.stdout.strip())
