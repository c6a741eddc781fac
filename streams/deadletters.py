"""Dead letters: what cannot be read goes here whole, with where it stood and what it broke."""

import logging
from datetime import datetime
from typing import Any

from schemas.avro import HEADER, encode
from schemas.operations import DeadLetter
from schemas.topics import DEADLETTERS
from streams.group.message import Record, header

log = logging.getLogger(__name__)
KEPT_BYTES = 64 * 1024  # of the original; its true size is told beside it


def dead_letter(stage: str, message: Any, reason: str, now: datetime) -> Record:
    """The letter for a message that `stage` will never be able to read."""
    value: bytes = message.value or b""
    position = f"{message.topic}/{message.partition}/{message.offset}"
    log.warning("%s: dead letter from %s: %s", stage, position, reason)
    letter = DeadLetter(
        at=now,
        group=message.topic,
        stage=stage,
        rule="not-this-event",
        reason=reason,
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        size=len(value),
        original=value[:KEPT_BYTES],
        headers={HEADER: header(message, HEADER)},
    )
    encoded, headers = encode(letter.stamped(stage=stage, cause=position, position="0", trace=""))
    return DEADLETTERS, message.topic, encoded, headers
