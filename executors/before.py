"""Fill an undo's arguments from the state that was observed before the change.

`{{before.replicas}}` standing alone becomes the value with its type; inside a text, a number or
a word becomes part of that text. What was observed comes from the network: it is put in as a
value and never looked at as a template again.
"""

import re
from collections.abc import Iterator

import orjson

from executors.executor import decode
from schemas.errors import Rejected

PLACE = re.compile(r"\{\{\s*before((?:\.[A-Za-z0-9_-]+)+)\s*\}\}")


def asks_before(arguments: str) -> bool:
    """Whether the arguments take anything from the state before."""
    return any(PLACE.search(text) for text in _texts(decode(arguments)))


def fill(arguments: str, before: str) -> str:
    """The arguments with every place filled, canonical JSON; `before` is JSON.

    Raises Rejected when the state before lacks what is asked, or a list or object would have
    to become part of a text.

    >>> fill('{"body":{"replicas":"{{before.replicas}}"}}', '{"replicas":2}')
    '{"body":{"replicas":2}}'
    """
    template = decode(arguments)
    if not asks_before(arguments):
        return arguments
    try:
        state = orjson.loads(before)
    except orjson.JSONDecodeError as error:
        raise Rejected("the undo needs the state before, and none was observed") from error
    return orjson.dumps(_filled(template, state), option=orjson.OPT_SORT_KEYS).decode()


def _filled(value: object, state: object) -> object:
    match value:
        case dict():
            return {key: _filled(inner, state) for key, inner in value.items()}
        case list():
            return [_filled(inner, state) for inner in value]
        case str():
            whole = PLACE.fullmatch(value)
            if whole:
                return _taken(whole[1], state)
            return PLACE.sub(lambda found: _word(found[1], state), value)
    return value


def _taken(path: str, state: object) -> object:
    for name in path[1:].split("."):
        if not isinstance(state, dict) or name not in state:
            raise Rejected(f"the state before has no {path[1:]}: the step could not be undone")
        state = state[name]
    return state


def _word(path: str, state: object) -> str:
    value = _taken(path, state)
    if isinstance(value, bool | dict | list) or value is None:
        raise Rejected(f"before.{path[1:]} is {value!r:.60}: it cannot be part of a text")
    return str(value)


def _texts(value: object) -> Iterator[str]:
    match value:
        case dict():
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)
        case str():
            yield value
