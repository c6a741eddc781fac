"""The language of prechecks: a comparison on what a target answered, and nothing else.

    replicas < max_replicas
    depth_by_source["batch"] > 0 and not paused
    0 < leased <= 10

A runbook is text from a file and an answer is text from the network, so neither may run code.
The expression is parsed with Python's grammar and walked by hand over a white-list: names (the
answer's fields), `a.b` and `a["b"]` and `a[0]` (never Python attributes), numbers, strings,
`true`, `false`, `null`, comparisons, `and`, `or`, `not`. There are no calls and no arithmetic.

A check can only hold when it could be worked out: a missing field or a comparison of different
kinds of values (`"3" < 4`) makes the whole check fail, even under `not` or behind `or`.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeGuard

from schemas.errors import Rejected

LONGEST = 500  # characters; a check that needs more belongs into the target's own health route
SHOWN = 60  # characters of a value in a reason

LITERALS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
EQUALITY: Mapping[type[ast.cmpop], Callable[[object, object], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
ORDER: Mapping[type[ast.cmpop], Callable[[float | str, float | str], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class Verdict(NamedTuple):
    """Whether the check holds, and why not or on which values."""

    holds: bool
    reason: str


class _Undecidable(Exception):  # noqa: N818 - not an error of ours: the answer lacks what is asked
    """The answer does not tell; the message says what is missing."""


def parse(expression: str) -> ast.expr:
    """The expression as a tree of white-listed nodes.

    Raises Rejected, with what is not allowed, for everything outside the language.
    """
    if len(expression) > LONGEST:
        raise Rejected(f"the check is {len(expression)} characters long, {LONGEST} at most")
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Rejected(f"{expression!r} is no check: {_said(error)}") from error
    _admit(tree)
    if not isinstance(tree, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Name) and not _path(tree):
        raise Rejected(f"{expression!r} compares nothing: write e.g. `replicas < max_replicas`")
    return tree


def evaluate(expression: str, answer: object) -> Verdict:
    """Whether `expression` holds on a target's decoded JSON `answer`.

    Raises Rejected for what is not in the language; a lacking or odd answer is a verdict.

    >>> evaluate("replicas < max_replicas", {"replicas": 2, "max_replicas": 8})
    Verdict(holds=True, reason='replicas < max_replicas (replicas is 2, max_replicas is 8)')
    >>> evaluate("not paused", {"replicas": 2}).reason
    'not paused: the answer has no paused'
    """
    tree = parse(expression)
    try:
        holds = _truth(tree, answer)
    except _Undecidable as error:
        return Verdict(holds=False, reason=f"{expression.strip()}: {error}")
    seen = ", ".join(dict.fromkeys(_seen(tree, answer)))
    return Verdict(holds, f"{expression.strip()}{'' if holds else ' is false'} ({seen})")


def fields(expression: str) -> frozenset[str]:
    """The top-level fields of the answer that the check reads. Raises Rejected as `parse`."""
    names = {node.id for node in ast.walk(parse(expression)) if isinstance(node, ast.Name)}
    return frozenset(names - LITERALS.keys())


def _admit(node: ast.expr) -> None:
    for part in _parts(node):
        _admit(part)


def _parts(node: ast.expr) -> list[ast.expr]:
    """What an admitted node is made of. Raises Rejected for one that is not."""
    match node:
        case ast.BoolOp(values=values):
            return values
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return [operand]
        case ast.Compare(left=left, ops=ops, comparators=right):
            if odd := [op for op in ops if type(op) not in EQUALITY and type(op) not in ORDER]:
                raise Rejected(f"a check knows no {type(odd[0]).__name__}: use == != < <= > >=")
            return [left, *right]
        case ast.Attribute() | ast.Subscript(slice=ast.Constant()) if not _path(node):
            raise Rejected("a check looks into fields of the answer only, as a.b or a['b']")
        case ast.Constant(value=bool() | None as value):
            raise Rejected(f"write {_show(value)} in a check, as JSON does")
    if _path(node) or _plain(node) or isinstance(node, ast.Name):
        return []
    raise Rejected(f"a check knows no {_kind(node)}: only fields, values and comparisons")


def _plain(node: ast.expr) -> bool:
    """Whether the node is a number, perhaps negative, or a string."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return isinstance(node.operand, ast.Constant) and _number(node.operand.value)
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float | str)


def _path(node: ast.AST) -> bool:
    """Whether the node is a field of the answer: `a`, `a.b`, `a["b"]`, `a[0]`."""
    match node:
        case ast.Name(id=name):
            return name not in LITERALS
        case ast.Attribute(value=child):
            return _path(child)
        case ast.Subscript(value=child, slice=ast.Constant(value=key)):
            return isinstance(key, int | str) and not isinstance(key, bool) and _path(child)
    return False


def _truth(node: ast.expr, answer: object) -> bool:
    match node:
        case ast.BoolOp(op=op, values=values):
            found = [_truth(value, answer) for value in values]  # no short cut: all must be known
            return all(found) if isinstance(op, ast.And) else any(found)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _truth(operand, answer)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            terms = [_value(each, answer) for each in (left, *comparators)]
            pairs = zip(ops, terms, terms[1:], strict=False)
            found = [_compared(op, one, other) for op, one, other in pairs]
            return all(found)
    value = _value(node, answer)
    if not isinstance(value, bool):
        raise _Undecidable(f"{ast.unparse(node)} is {_show(value)}, neither true nor false")
    return value


def _compared(op: ast.cmpop, one: object, other: object) -> bool:
    alike = (_number(one) and _number(other)) or type(one) is type(other)
    if type(op) in EQUALITY:
        if not alike and None not in (one, other):
            raise _Undecidable(f"{_show(one)} and {_show(other)} are different kinds of values")
        return EQUALITY[type(op)](one, other)
    if _number(one) and _number(other):
        return ORDER[type(op)](one, other)
    if isinstance(one, str) and isinstance(other, str):
        return ORDER[type(op)](one, other)
    raise _Undecidable(f"{_show(one)} and {_show(other)} have no order")


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(node: ast.expr, answer: object) -> object:
    value: object
    match node:
        case ast.Constant(value=value):
            pass
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            value = -number
        case ast.Name(id=name):
            value = LITERALS[name] if name in LITERALS else _member(answer, name, name)
        case ast.Attribute(value=inner, attr=name):
            value = _member(_value(inner, answer), name, ast.unparse(node))
        case ast.Subscript(value=inner, slice=ast.Constant(value=key)):
            value = _member(_value(inner, answer), key, ast.unparse(node))
        case _:
            value = _truth(node, answer)  # `(a < b) == c`: a comparison is a value too
    if isinstance(value, float) and not math.isfinite(value):
        raise _Undecidable(f"{ast.unparse(node)} is {value}")
    return value


def _member(holder: object, key: object, spelled: str) -> object:
    if isinstance(holder, Mapping) and isinstance(key, str) and key in holder:
        return holder[key]
    if isinstance(holder, list) and isinstance(key, int) and 0 <= key < len(holder):
        return holder[key]
    raise _Undecidable(f"the answer has no {spelled}")


def _seen(node: ast.AST, answer: object) -> list[str]:
    """The fields that were looked at, with their values."""
    if isinstance(node, ast.expr) and _path(node):
        return [f"{ast.unparse(node)} is {_show(_value(node, answer))}"]
    return [line for child in ast.iter_child_nodes(node) for line in _seen(child, answer)]


def _show(value: object) -> str:
    text = {True: "true", False: "false", None: "null"}.get(value) if _literal(value) else None
    shown = text or repr(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."


def _literal(value: object) -> TypeGuard[bool | None]:
    return value is None or isinstance(value, bool)


def _kind(node: ast.AST) -> str:
    names = {ast.Call: "calls", ast.BinOp: "arithmetic", ast.Constant: "such values"}
    return names.get(type(node), type(node).__name__)


def _said(error: Exception | MemoryError) -> str:
    return error.msg if isinstance(error, SyntaxError) else type(error).__name__
