"""Records with a part of them taken out, doubled, moved or replaced, and whole again around it.

Bytes turned at random leave few protobuf messages and few JSON documents that anything can read.
What is edited here can still be taken apart, so that it tells whether all of it was counted.
"""

import json
import random
from collections.abc import Callable
from typing import Any

import cramjam

Editor = Callable[[bytes, random.Random], bytes]
SCALARS: tuple[Any, ...] = (
    None, True, 0, -1, 3, 0.5, 1e300, 2**63, "", "x", "NaN", "-7", "2026-01-02T03:04:05Z",
)  # fmt: skip
DELIMITED, VARINT = 2, 0
FIXED = {1: 8, 5: 4}  # bytes by wire type
MORE = 0x80


def documents(raw: bytes, chance: random.Random) -> bytes:
    """A JSON document, a list of them, or one of several lines, edited in some places."""
    try:
        found = json.loads(raw)
    except ValueError:
        lines = raw.split(b"\n")
        place = chance.randrange(len(lines))
        if lines[place].strip():
            lines[place] = documents(lines[place], chance)
        return b"\n".join(lines)
    for _ in range(chance.choice((1, 1, 2, 4))):
        found = _edited(found, chance)
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()


def _edited(given: Any, chance: random.Random) -> Any:
    """The value with one place in it changed."""
    if not isinstance(given, dict | list) or not given:
        return chance.choice(SCALARS)
    place = chance.choice(list(given)) if isinstance(given, dict) else chance.randrange(len(given))
    inside, step = given[place], chance.randrange(8)
    if step == 0:
        del given[place]
    elif step == 1 and isinstance(given, list):
        given[chance.randint(0, len(given)) : 0] = [inside] * chance.choice((1, 2, 20))
    elif step == 2:
        given[place] = chance.choice(SCALARS)
    else:
        given[place] = _edited(inside, chance)
    return given


def message(raw: bytes, chance: random.Random) -> bytes:
    """A protobuf message, with some of its fields or of those inside of them changed."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        raw = _changed(raw, chance)
    return raw


def packed(raw: bytes, chance: random.Random) -> bytes:
    """A protobuf message in a snappy block."""
    inside = message(bytes(cramjam.snappy.decompress_raw(raw)), chance)
    return bytes(cramjam.snappy.compress_raw(inside))


def _changed(raw: bytes, chance: random.Random) -> bytes:
    fields = _fields(raw)
    if not fields:  # no message: text, a number
        at = chance.randint(0, len(raw))
        return raw[:at] + bytes([chance.randrange(128)]) + raw[at + 1 :]
    place, step = chance.randrange(len(fields)), chance.randrange(8)
    tag, inside, whole = fields[place]
    parts = [field for *_, field in fields]
    if step == 0:
        del parts[place]
    elif step == 1:
        parts[place:place] = [whole] * chance.choice((1, 2, 20))
    elif step == 2:
        chance.shuffle(parts)
    elif tag & 7 == DELIMITED and inside:
        changed = _changed(inside, chance)
        parts[place] = _number(tag) + _number(len(changed)) + changed
    else:
        at = chance.randrange(len(_number(tag)), len(whole))
        parts[place] = whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(7)]) + whole[at + 1 :]
    return b"".join(parts)


def _fields(raw: bytes) -> list[tuple[int, bytes, bytes]]:
    """Tag, content and the whole of a message's fields; none of what is no message."""
    found, at = [], 0
    while at < len(raw):
        start = at
        tag, at = _read(raw, at)
        inside = at
        if tag & 7 == VARINT:
            _, at = _read(raw, at)
        elif tag & 7 == DELIMITED:
            size, inside = _read(raw, at)
            at = inside + size
        else:
            at += FIXED.get(tag & 7, len(raw) + 1)
        if at > len(raw) or not tag >> 3:
            return []
        found.append((tag, raw[inside:at], raw[start:at]))
    return found


def _read(raw: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends, beyond the bytes when it does not."""
    value = shift = 0
    for place in range(at, min(at + 9, len(raw))):
        value |= (raw[place] & (MORE - 1)) << shift
        if raw[place] < MORE:
            return value, place + 1
        shift += 7
    return 0, len(raw) + 1


def _number(value: int) -> bytes:
    found = b""
    while value >= MORE:
        found, value = found + bytes([value & (MORE - 1) | MORE]), value >> 7
    return found + bytes([value])


LIKE_JSON = (
    "json", "otlp-json", "telegraf-json", "telegraf-json@ms", "collectd-json",
    "collectd-json@totals", "prometheus-json", "vector", "fluentbit", "beats", "logstash",
    "rsyslog-json", "syslog-ng-json", "alertmanager", "robusta", "cloudevents",
    "cloudevents@syslog", "debezium",
)  # fmt: skip
EDITORS: dict[str, Editor] = {
    **dict.fromkeys(LIKE_JSON, documents),
    "otlp-proto": message,
    "remote-write": packed,
    "remote-write-2": packed,
}
