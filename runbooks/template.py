"""`{{params.replicas}}`: how a value enters a call, without ever becoming anything but a value.

A string that is one placeholder becomes the value itself, with its type; inside a longer string
the value is spelled out. Filling is one pass: what a value contains is never looked at again,
and a value that looks like a placeholder is refused, because undo is filled a second time (the
executor knows the state before). Outside of a call's `json` values land in targets, paths and
headers, so there a text must be made of safe characters; in `json` it is data whatever it holds.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydantic import JsonValue

from schemas.errors import Rejected

PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*)\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*\}\}")
LONGEST = 200  # characters of a text from outside
DATA = "json"  # the argument whose values are data, encoded by a serialiser
LATER = "before"  # the scope that the executor fills, from the state it observed
SAFE = "A-Za-z0-9._~:@-"  # RFC 3986 unreserved, and what stands unescaped in a path segment
NEVER = frozenset("%?#\\")  # would end the path, or be decoded into something else

Value = bool | int | float | str
Values = Mapping[str, Mapping[str, Value]]


class Placeholder(NamedTuple):
    """`{{scope.name}}`."""

    scope: str
    name: str


def placeholders(value: JsonValue) -> Iterator[Placeholder]:
    """All placeholders in a call's arguments, keys included.

    Raises Rejected for braces that are no placeholder.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if "{{" in key:
                raise Rejected(f"{key!r} is a key: only values may have placeholders")
            yield from placeholders(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from placeholders(inner)
    elif isinstance(value, str):
        rest = PLACEHOLDER.sub("", value)
        if "{{" in rest or "}}" in rest:
            raise Rejected(f"{value!r}: a placeholder is {{{{params.name}}}} or the like")
        for scope, name in PLACEHOLDER.findall(value):
            yield Placeholder(scope, name)


def filled(
    arguments: Mapping[str, JsonValue], values: Values, allowed: Mapping[str, str] | None = None
) -> dict[str, JsonValue]:
    """A call's arguments with their values in place; `{{before.x}}` stays.

    `allowed` gives, by parameter, characters that may enter a path beside the safe ones.
    Raises Rejected for an unknown placeholder and for a value that is not safe where it goes.
    """
    return {
        key: _fill(inner, values, None if key == DATA else allowed or {})
        for key, inner in arguments.items()
    }


def text(template: str, values: Values) -> str:
    """A name with its values spelled out; only safe ones. Raises Rejected as `filled`."""
    return str(_fill(template, values, {}))


def sentence(template: str, values: Values) -> str:
    """A text for people with its values spelled out. Raises Rejected as `filled`."""
    return str(_fill(template, values, None))


def expression(template: str, values: Values) -> str:
    """A check with its values as literals, so that a text stays one text."""

    def literal(found: re.Match[str]) -> str:
        return json.dumps(_value(found, values, None), ensure_ascii=False)

    return PLACEHOLDER.sub(literal, template)


def _fill(value: JsonValue, values: Values, allowed: Mapping[str, str] | None) -> JsonValue:
    if isinstance(value, dict):
        return {key: _fill(inner, values, allowed) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, values, allowed) for inner in value]
    if not isinstance(value, str):
        return value
    if whole := PLACEHOLDER.fullmatch(value):
        return value if whole[1] == LATER else _value(whole, values, allowed)

    def spelled(found: re.Match[str]) -> str:
        return found[0] if found[1] == LATER else _spell(_value(found, values, allowed))

    return PLACEHOLDER.sub(spelled, value)


def _value(found: re.Match[str], values: Values, allowed: Mapping[str, str] | None) -> Value:
    scope, name = found[1], found[2]
    if scope not in values or name not in values[scope]:
        known = [f"{scope}.{name}" for scope, names in values.items() for name in names]
        raise Rejected(f"unknown placeholder {scope}.{name}; there are {', '.join(known)}")
    value = values[scope][name]
    if isinstance(value, str):
        _inert(f"{scope}.{name}", value)
        if allowed is not None:
            _safe(f"{scope}.{name}", value, allowed.get(name, "") if scope == "params" else "")
    return value


def _inert(name: str, value: str) -> None:
    if len(value) > LONGEST or not value.isprintable() or "{{" in value or "}}" in value:
        raise Rejected(f"{name} is {value[:40]!r}...: too long, unprintable or with braces")


def _safe(name: str, value: str, more: str) -> None:
    more = "".join(re.escape(character) for character in more if character not in NEVER)
    safe = re.fullmatch(f"[A-Za-z0-9][{more}{SAFE}]*", value)
    if safe is None or ".." in value or "//" in value:
        raise Rejected(f"{name} is {value[:40]!r}: not safe in a target or path")


def _spell(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
