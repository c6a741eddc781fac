"""Faust agents of one's own on Sentinel's topics, one message at a time, as Faust has them.

A plain Faust application would do for control events alone: it also reads what transactions
took back, and stops committing for good where one ended at a topic's second record. So the
application comes from here, and all else is Faust's: agents, tables, windows, its command line.
docs/agents.md has a whole one.
"""

import logging
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import faust
from faust.exceptions import ValueDecodeError

from schemas.avro import HEADER, decode
from schemas.errors import Rejected
from schemas.frames import read_lines, read_samples
from schemas.topics import LOGLINES, SAMPLES, Topic
from streams.group.application import make_app
from streams.group.message import header
from streams.settings import Settings

log = logging.getLogger(__name__)
FRAMES = {SAMPLES.name: read_samples, LOGLINES.name: read_lines}


class Sample(NamedTuple):
    """One value of a series."""

    series: str  # canonical label string, see schemas.frames.parsed
    at: int  # epoch ms
    value: float


class _Read(faust.Schema):  # type: ignore[misc] # Faust is untyped
    """What a topic's records hold: events, or frames."""

    def __init__(self, topic: Topic) -> None:
        super().__init__(
            key_type=bytes, key_serializer="raw", value_type=bytes, value_serializer="raw"
        )
        self._frame = FRAMES.get(topic.name)

    def loads_value(self, _app: Any, message: Any, **_: Any) -> Any:
        try:
            if self._frame:
                return self._frame(message.value)
            return decode(message.value, header(message, HEADER))
        except Rejected as error:
            raise ValueDecodeError(
                f"{message.topic}/{message.partition}/{message.offset}: {error}"
            ) from error


class _Topic(faust.Topic):  # type: ignore[misc] # Faust is untyped
    """A topic of which one bad record costs itself, where Faust would end the agent."""

    async def on_value_decode_error(self, exc: Exception, _message: Any) -> None:
        log.warning("left out: %s", exc)


async def _nothing() -> None:
    """Wait for nothing: Faust acknowledges by itself what an agent has done with."""


def application(name: str, settings: Settings | None = None) -> Any:
    """A Faust application whose consumer group is `name`, after the prefix of all of ours.

    The settings are Sentinel's own, from the environment or `sentinel.yaml`, if none are given.
    """
    app = make_app((settings or Settings.load()).kafka, name)
    app.hand_over = _nothing
    app.conf.Topic = _Topic
    return app


def channel(app: Any, topic: Topic, settings: Settings | None = None) -> Any:
    """What an agent reads: of SAMPLES and LOGLINES frames (schemas/frames.py), else events.

    A record that is neither is told in the log and left out.
    """
    kafka = (settings or Settings.load()).kafka
    return app.topic(kafka.topic(topic), schema=_Read(topic))


async def samples(stream: Any) -> AsyncIterator[Sample]:
    """The samples of a stream of frames, one by one, in their order a series."""
    async for frame in stream:
        series = [frame.names[code] for code in frame.code.tolist()]
        for row in zip(series, frame.at.tolist(), frame.value.tolist(), strict=True):
            yield Sample(*row)
