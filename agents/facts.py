"""Facts: a figure of a story, the record that it is from, and how it is written there.

A fact's value is exactly what stands in the record; what the story shows is made of it by one
rule (`shown`), so that anybody can go from the story to the record and back.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from schemas.errors import Rejected
from schemas.outcomes import Fact

NAME, QUOTE, TIME, CLOCK, PERCENT = "name", "quote", "time", "clock", "%"
LONGEST = 300  # characters of a quotation; a story is not a log
DIGITS = 3  # significant, below a thousand: more would claim a precision that forecasts lack
THOUSAND = 1000
HUNDRED = 100  # of money; above, cents would claim too much
CURRENCY = re.compile(r"[A-Z]{3}")
SPECIAL = re.compile(r"([\\`*_\[\]<>#|~])")  # Markdown's; a quotation must not become a link


def exact(value: Any) -> str:
    """A value as it stands in JSON, strings without their quotes.

    >>> exact(0.61), exact("a"), exact(True), exact(None)
    ('0.61', 'a', 'true', 'null')
    """
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def resolve(body: Any, path: str) -> Any:
    """What stands at a path such as `signals.0.value`. Raises Rejected when nothing does.

    >>> resolve({"signals": [{"value": 3.5}]}, "signals.0.value")
    3.5
    """
    for part in path.split("."):
        try:
            body = body[int(part)] if isinstance(body, list) else body[part]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise Rejected(f"nothing at {path}") from error
    return body


def shown(fact: Fact) -> str:
    """How the story writes a fact, without its unit.

    >>> shown(Fact(name="", value="0.613", unit="%", record="", field=""))
    '61.3'
    """
    if CURRENCY.fullmatch(fact.unit):
        return _money(float(fact.value))
    return WRITTEN.get(fact.unit, _figure)(fact.value)


def _name(value: str) -> str:
    return " ".join(value.replace("`", "'").split())


def _quote(value: str) -> str:
    words = " ".join(re.sub("[“”]", '"', value).split())
    cut = words if len(words) <= LONGEST else words[:LONGEST] + "…"
    return SPECIAL.sub(r"\\\1", cut)


def _figure(value: str) -> str:
    return digits(float(value))


def _money(value: float) -> str:
    return f"{value:,.0f}" if value >= HUNDRED else f"{value:,.2f}"


def _moment(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC)


WRITTEN: dict[str, Callable[[str], str]] = {
    NAME: _name,
    QUOTE: _quote,
    TIME: lambda value: f"{_moment(value):%Y-%m-%d %H:%M:%S} UTC",
    CLOCK: lambda value: f"{_moment(value):%H:%M:%S}",
    PERCENT: lambda value: digits(float(Decimal(value) * 100)),
}


def digits(value: float) -> str:
    """A number for reading: whole above a thousand, else three digits that count.

    >>> digits(12345.6), digits(0.012345), digits(-2.0), digits(0)
    ('12,346', '0.0123', '-2', '0')
    """
    if abs(value) >= THOUSAND or value == int(value):
        return f"{value:,.0f}"
    return format(Decimal(f"{value:.{DIGITS}g}"), "f")
