"""Which rule a record broke, told from what stopped its decoder."""

from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from streams.formats.limits import Refused, quoted

LONGEST = 20  # characters of a 64-bit integer
# What a decoder may raise for bytes that are none of its own; anything else is a fault of ours
FAULTS: tuple[type[Exception], ...] = (
    Refused,
    ValueError,  # msgspec's errors are of this kind, and so is bad UTF-8
    RecursionError,
    OverflowError,
    DecodeError,
    EOFError,
)


def verdict(error: Exception) -> tuple[str, str, str]:
    """Rule and reason of what stopped us, and whose it was; empty when that is not known."""
    match error:
        case Refused():
            return error.rule, str(error), error.service
        case UnicodeDecodeError():
            return "bad-utf8", f"not UTF-8: {error.reason} at byte {error.start}", ""
        case RecursionError():
            return "too-deep", "nested too deeply", ""
        case OverflowError():
            return "bad-value", "a number that no 64-bit float can hold", ""
    rules = {msgspec.DecodeError: "bad-json", DecodeError: "bad-protobuf"}
    return rules.get(type(error), "bad-field"), str(error), ""


def too_many(elements: int, limit: int) -> None:
    """Raise Refused for more elements than a record may have."""
    if elements > limit:
        raise Refused("too-many-elements", f"{elements} elements, {limit} allowed")


def too_long(text: str, limit: int) -> None:
    """Raise Refused for a log line of over `limit` bytes."""
    if len(text) * 4 > limit and (size := len(text.encode())) > limit:
        raise Refused("line-too-long", f"{size} bytes, {limit} allowed")


def number(given: Any) -> float:
    """A sample's value, also where a producer writes numbers as text. Raises Refused.

    >>> number("456"), number("+Inf"), number(True)
    (456.0, inf, 1.0)
    """
    if isinstance(given, str):
        text = given.strip()
        if "_" in text or not text.isascii():  # Python's own liberties
            raise Refused("bad-value", f"{quoted(given)} is no number")
        given = text
    try:
        return float(given)
    except (TypeError, ValueError, OverflowError) as error:
        said = "missing" if given is None else f"{quoted(given)} is no number"
        raise Refused("bad-value", said) from error


def whole(given: Any) -> int:
    """A 64-bit integer, also where JSON has it as text. Raises Refused.

    >>> whole("1700000000000000000")
    1700000000000000000
    """
    if isinstance(given, int):
        return given
    if isinstance(given, str) and len(given) <= LONGEST and given.removeprefix("-").isdecimal():
        return int(given)
    raise Refused("bad-value", f"{quoted(given)} is no whole number")


def instant(given: Any) -> float:
    """A time as a number, also where a producer writes it as text. Raises Refused."""
    try:
        return number(given)
    except Refused as error:
        raise Refused("bad-time", str(error)) from error
