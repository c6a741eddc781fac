"""Filling an undo from the state before."""

import pytest

from executors.before import asks_before, fill
from schemas.errors import Rejected

STATE = '{"replicas": 2, "name": "a", "paused": false, "sub": {"x": 1.5}, "list": [1], "none": null, "trap": "{{before.replicas}}"}'

FILLED = [
    ("alone it keeps its type", '{"a":"{{before.replicas}}"}', '{"a":2}'),
    ("false is a value", '{"a":"{{before.paused}}"}', '{"a":false}'),
    ("null is a value", '{"a":"{{before.none}}"}', '{"a":null}'),
    ("spaces inside the braces", '{"a":"{{ before.replicas }}"}', '{"a":2}'),
    ("in a text", '{"a":"x-{{before.replicas}}-{{before.name}}"}', '{"a":"x-2-a"}'),
    ("deeper", '{"a":{"b":["{{before.sub.x}}"]}}', '{"a":{"b":[1.5]}}'),
    ("a whole object", '{"a":"{{before.sub}}"}', '{"a":{"x":1.5}}'),
    ("what was observed is no template", '{"a":"{{before.trap}}"}', '{"a":"{{before.replicas}}"}'),
    ("nothing to fill", '{"b":1,"a":2}', '{"b":1,"a":2}'),
]  # fmt: skip


@pytest.mark.parametrize(("name", "template", "expected"), FILLED, ids=[f[0] for f in FILLED])
def test_a_place_is_filled_with_the_value(name: str, template: str, expected: str) -> None:
    assert fill(template, STATE) == expected


@pytest.mark.parametrize(
    ("template", "before", "reason"),
    [
        ('{"a":"{{before.speed}}"}', STATE, "no speed"),
        ('{"a":"{{before.sub.y}}"}', STATE, "no sub.y"),
        ('{"a":"{{before.name.x}}"}', STATE, "no name.x"),
        ('{"a":"x{{before.list}}"}', STATE, "cannot be part of a text"),
        ('{"a":"x{{before.none}}"}', STATE, "cannot be part of a text"),
        ('{"a":"{{before.x}}"}', "", "none was observed"),
        ('{"a":"{{before.x}}"}', "[1]", "no x"),
        ("[1]", STATE, "no JSON object"),
        ("{", STATE, "no JSON"),
    ],
)
def test_a_state_that_lacks_something_is_refused(template: str, before: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        fill(template, before)


def test_only_before_is_a_place() -> None:
    assert asks_before('{"a":["x {{before.y}}"]}')
    assert not asks_before('{"a":"{{params.y}} before.y {{before}}"}')
