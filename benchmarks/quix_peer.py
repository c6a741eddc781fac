"""The other peer: Quix Streams, one event a message, scored by the same scorer.

`quix_peer.py BROKERS TOPIC EVENTS` prints events a second, from the first event handled on.
"""

import sys
import tempfile
import time
from typing import Any

from quixstreams import Application

from agents.scorer.block import BlockState
from agents.scorer.scorer import score_rows, warm_up


def main(brokers: str, topic: str, events: int, folder: str) -> float:
    """Handle `events`, return how many a second; `folder` is for what Quix keeps."""
    app = Application(
        broker_address=brokers, consumer_group="bench-quix", auto_offset_reset="earliest", loglevel="ERROR",
        auto_create_topics=False, state_dir=folder,
    )  # fmt: skip
    state, rows = BlockState(20_000), dict[str, int]()
    times: list[float] = []

    def score(event: dict[str, Any]) -> None:
        times.append(time.perf_counter())
        labels = event["labels"]
        name = f"{event['service']}/{event['metric']}/{labels['instance']}/{labels['endpoint']}"
        row = rows.get(name)
        if row is None:
            row = rows[name] = state.claim()
        score_rows(state, [row], [event["at"] / 1000], [event["value"]])

    stream = app.dataframe(app.topic(topic, value_deserializer="json"))
    stream.update(score)
    app.run(count=events, timeout=120)
    return (len(times) - 1) / (times[-1] - times[0])


if __name__ == "__main__":
    warm_up()
    with tempfile.TemporaryDirectory() as scratch:
        print(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), scratch))
