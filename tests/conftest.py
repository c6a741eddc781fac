"""Fixtures for every test: the shared Kafka broker and names of one's own on it."""

import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from streams.broker.embedded import EmbeddedBroker

# No deadlines: speed is measured in benchmarks/. CI tries the same examples in every run, so
# that what fails there fails again; a developer's runs look further.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


# A shell that starts us in the background has SIGINT ignored, and so would all that we start:
# a handler of our own is not inherited, the default is.
signal.signal(signal.SIGINT, signal.default_int_handler)

OPA = Path(__file__).parent.parent / "deploy" / "dev" / "opa.sh"
BUILDING = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a real OPA come last: the first time, it takes minutes to build."""
    items.sort(key=lambda item: item.get_closest_marker("opa") is not None)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin to build it, beside the tests of a whole run; those that need it wait for it."""
    options = session.config.option
    whole = getattr(options, "numprocesses", None) and "PYTEST_XDIST_WORKER" not in os.environ
    if whole and shutil.which("go") and not options.collectonly:
        session.config.stash[BUILDING] = subprocess.Popen(
            [OPA], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What was begun is ended, also when a test failed before it was needed."""
    building = session.config.stash.get(BUILDING, None)
    if building is not None and building.poll() is None:
        os.killpg(building.pid, signal.SIGTERM)
        building.wait()


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    """One running Kafka for the whole session; `broker.bootstrap` is `127.0.0.1:PORT`.

    Started by the first test that asks for it (mark such tests `broker`), stopped at the end
    whatever happens. It is shared: use names that begin with `topic_prefix`, and do not stop,
    kill or pause it. A test that wants to hurt a broker starts its own `EmbeddedBroker`.
    """
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A name that no other test and no other run has: begin topics, groups and ids with it."""
    test = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)[:60].strip("-")
    return f"{test}-{secrets.token_hex(4)}"
