"""One worker replica: takes a job, does it, acknowledges it, and takes the next.

It is started by its supervisor (`worker`) and tells it on standard output what it did. Told to
stop, it finishes the job that it holds. Only the standard library: a replica is there in a tenth
of a second.
"""

import argparse
import http.client
import json
import signal
import sys
import time
from http import HTTPStatus
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from streams.demo.shop.parent import add_lifeline, die_with
from streams.demo.shop.work import KINDS

TAKE_SECONDS = 0.5  # how long a take is held, and so how long an idle replica takes to stop
BACKOFF_SECONDS = 0.2  # before the queue is tried again when it is away
ANSWER_SECONDS = 5.0  # a queue that says nothing for so long is away


class Queue:
    """The queue's side of the conversation, over one kept connection."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=ANSWER_SECONDS
        )

    def take(self) -> dict[str, Any] | None:
        """The next job, or None when there was none for a while."""
        status, answer = self._post("/take", {"wait_seconds": TAKE_SECONDS})
        if status == HTTPStatus.NO_CONTENT:
            return None
        if status != HTTPStatus.OK:
            raise ConnectionError(f"the queue answered {status}")
        job: dict[str, Any] = json.loads(answer)
        return job

    def acknowledge(self, job: dict[str, Any], result: object) -> bool:
        """Whether the result came in time: a lease that ran out is somebody else's job now."""
        body = {"receipt": job["receipt"], "result": result}
        status, _ = self._post(f"/jobs/{job['job']}/ack", body)
        return status == HTTPStatus.NO_CONTENT

    def _post(self, path: str, body: dict[str, object]) -> tuple[int, bytes]:
        try:
            self._connection.request("POST", path, json.dumps(body))
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # the next request opens a new one
            raise ConnectionError(str(error)) from error


class Replica:
    """The loop from take to acknowledgement."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._stopping = False

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        """Finish what is in hand, then end."""
        self._stopping = True

    def run(self) -> None:
        """Work until told to stop."""
        while not self._stopping:
            try:
                job = self._queue.take()
                if job is not None:
                    tell(self._done(job))
            except ConnectionError as error:
                tell({"away": str(error)})
                time.sleep(BACKOFF_SECONDS)

    def _done(self, job: dict[str, Any]) -> dict[str, object]:
        started = time.perf_counter()
        result = KINDS[job["kind"]](job["payload"])
        seconds = time.perf_counter() - started
        return {
            "kind": job["kind"],
            "job": job["job"],
            "seconds": seconds,
            "waited_seconds": job["waited_seconds"],
            "in_time": self._queue.acknowledge(job, result),
        }


def tell(line: dict[str, object]) -> None:
    """One line of JSON for the supervisor."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(description="One worker replica.")
    parser.add_argument("--queue", required=True, help="base URL of the work queue")
    add_lifeline(parser)
    options = parser.parse_args()
    replica = Replica(Queue(options.queue))
    signal.signal(signal.SIGTERM, replica.stop)
    die_with(options.parent)
    tell({"ready": True})
    replica.run()


if __name__ == "__main__":
    main()
