"""Fetching Kafka's jars, from a Maven repository of the test's own on the loopback interface."""

import gc
import hashlib
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from schemas.errors import Rejected, Unavailable
from streams.broker.jars import Jar, JarLock, fetch_jars, read_lock

# jgo leaves the answers of its failures open
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*<socket.socket:pytest.PytestUnraisableExceptionWarning"
)
FILES = {f"part-{n}": f"bytes of part {n}".encode() * 1000 for n in range(6)}
LOCK = JarLock(
    roots=("org.example:part-0:1.0",),
    jars=tuple(
        Jar(f"org.example:{n}:1.0", hashlib.sha256(b).hexdigest()) for n, b in FILES.items()
    ),
)
FETCH_THE_SAME = """
import sys
from pathlib import Path
from streams.broker.jars import Jar, JarLock, fetch_jars
jars = tuple(Jar(*line.split("=")) for line in sys.argv[2:])
fetch_jars(Path(sys.argv[1]), lock=JarLock(("org.example:part-0:1.0",), jars))
"""


class Repository:
    """A Maven repository that counts, fails and stalls as told."""

    def __init__(self) -> None:
        self.served: Counter[str] = Counter()
        self.content = dict(FILES)
        self.failures: Counter[str] = Counter()  # how often a file still answers 503
        self.stalls = ""  # the file that is cut after half of it until `resume` is set
        self.stalled = threading.Event()
        self.resume = threading.Event()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Serve one GET as told."""
        name = request.path.split("/")[-3]
        if not request.path.endswith(f"/org/example/{name}/1.0/{name}-1.0.jar"):
            return request.send_error(404)
        self.served[name] += 1
        if self.failures[name] > 0:
            self.failures[name] -= 1
            return request.send_error(503)
        body = self.content[name]
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) // 2])
        if name == self.stalls:
            self.stalled.set()
            self.resume.wait(60)
            return None
        request.wfile.write(body[len(body) // 2 :])
        return None


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """Named as `central` in jgo's settings file, as a user behind a mirror does."""
    told = Repository()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        settings = tmp_path / "jgo.conf"
        settings.write_text(
            f"[repositories]\ncentral = http://127.0.0.1:{server.server_address[1]}\n"
        )
        monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
        monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield told
        finally:
            told.resume.set()
            server.shutdown()
            serving.join()
    gc.collect()  # so that such an answer is found while it is expected


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_locked_jar_comes_from_the_configured_mirror_once(
    repository: Repository, tmp_path: Path
) -> None:
    progress: list[str] = []
    folder = fetch_jars(tmp_path / "cache", progress.append, lock=LOCK)
    assert fetch_jars(tmp_path / "cache", lock=LOCK) == folder
    assert names(folder) == {f"{name}-1.0.jar" for name in FILES}
    assert repository.served == dict.fromkeys(FILES, 1)
    assert progress[-1].endswith("6 of 6 jars")


def test_callers_at_the_same_time_share_one_download(
    repository: Repository, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(fetch_jars, tmp_path / "cache", lock=LOCK) for _ in range(4)]
        assert len({call.result() for call in calls}) == 1
    assert repository.served == dict.fromkeys(FILES, 1)


def test_a_repository_that_stumbles_is_asked_again(repository: Repository, tmp_path: Path) -> None:
    repository.failures["part-3"] = 2
    assert len(names(fetch_jars(tmp_path / "cache", lock=LOCK))) == len(FILES)


def test_a_jar_that_cannot_be_had_is_named_and_nothing_is_kept(
    repository: Repository, tmp_path: Path
) -> None:
    repository.failures["part-3"] = 1000
    with pytest.raises(Unavailable, match=r"cannot fetch org\.example:part-3:1\.0.*jgo\.conf"):
        fetch_jars(tmp_path / "cache", lock=LOCK)
    assert names(tmp_path / "cache") == {"fetch.lock"}


def test_a_jar_that_the_repository_changed_is_refused_and_nothing_is_kept(
    repository: Repository, tmp_path: Path
) -> None:
    repository.content["part-2"] = b"something else"
    with pytest.raises(Rejected, match=r"part-2-1\.0\.jar is altered"):
        fetch_jars(tmp_path / "cache", lock=LOCK)
    assert names(tmp_path / "cache") == {"fetch.lock"}


def test_jars_of_the_local_maven_repository_are_used_only_if_they_are_right(
    repository: Repository, tmp_path: Path
) -> None:
    """An air-gapped machine can be filled by hand; a half file there does no harm."""
    for name, content in {"part-0": FILES["part-0"], "part-1": b"half"}.items():
        jar = tmp_path / "m2/org/example" / name / "1.0" / f"{name}-1.0.jar"
        jar.parent.mkdir(parents=True)
        jar.write_bytes(content)
    fetch_jars(tmp_path / "cache", lock=LOCK)
    assert repository.served == dict.fromkeys(FILES.keys() - {"part-0"}, 1)


def test_a_killed_download_leaves_no_half_cache(repository: Repository, tmp_path: Path) -> None:
    repository.stalls = "part-4"
    cache = tmp_path / "cache"
    jars = [f"{jar.coordinates}={jar.sha256}" for jar in LOCK.jars]
    with subprocess.Popen([sys.executable, "-c", FETCH_THE_SAME, str(cache), *jars]) as fetching:
        assert repository.stalled.wait(60)
        fetching.send_signal(signal.SIGKILL)
    assert not list(cache.glob(f"kafka-*-{LOCK.key}"))
    repository.stalls = ""
    folder = fetch_jars(cache, lock=LOCK)
    assert names(cache) == {"fetch.lock", folder.name}


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="point SENTINEL_CACHE at a folder"):
        fetch_jars(tmp_path / "file", lock=LOCK)


@pytest.mark.broker
@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        (lambda jar: jar.write_bytes(b"PK altered"), r"re2j-1\.8\.jar is altered"),
        (lambda jar: jar.unlink(), r"re2j-1\.8\.jar is missing"),
        (lambda jar: jar.rename(jar.with_name("a.jar")), r"a\.jar does not belong to Kafka's jars"),
    ],
)
def test_a_changed_cache_is_refused_naming_the_jar(
    harm: Callable[[Path], object], fault: str, tmp_path: Path
) -> None:
    """The real jars: a copy of the cache with one of them harmed."""
    real = fetch_jars()
    copy = tmp_path / real.name
    copy.mkdir()
    for jar in real.iterdir():
        (copy / jar.name).write_bytes(jar.read_bytes())
    assert fetch_jars(tmp_path) == copy
    harm(copy / "re2j-1.8.jar")
    with pytest.raises(Rejected, match=fault):
        fetch_jars(tmp_path)


def test_the_lock_names_exact_versions_and_whole_digests() -> None:
    lock = read_lock()
    assert lock.version == "4.3.1"
    assert set(lock.roots) <= {jar.coordinates for jar in lock.jars}
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in lock.jars)
    assert len({jar.file for jar in lock.jars}) == len(lock.jars)
