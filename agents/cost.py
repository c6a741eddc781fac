"""Cost avoided: bad events that a verified fix spared, times what one costs.

What would have happened had nobody acted is not known. The figure takes a likely
course: the burn, as fast as it was seen while it lasted, goes on over the load that was forecast
until people would typically have repaired it by hand. Only what a run has fixed, and what
was then verified, counts; everything else is zero, with the reason.
"""

from collections.abc import Sequence
from typing import NamedTuple

from schemas.outcomes import Cost, Fact, Outcome

FORMULA = (
    "requests a second * (burn rate - 1) * (1 - objective)"
    " * (typical minutes of repair by hand - actual minutes) * 60 * cost of a bad request"
)


class Spread(NamedTuple):
    """A figure three times: for the low, the middle and the high end."""

    low: Fact
    mid: Fact
    high: Fact


class Inputs(NamedTuple):
    """All that the figure is made of; every one can be looked up."""

    requests: Spread  # requests a second expected had nobody acted
    burn: Fact  # multiples of the error rate that the objective allows
    target: Fact  # the objective, ratio of good events
    manual: Spread  # minutes
    actual: Fact  # minutes from opening until the signals were quiet
    price: Spread  # cost of a bad request


def avoided(
    requests: float, burn: float, target: float, manual: float, actual: float, price: float
) -> float:
    """The figure for one set of inputs, 0 or more; minutes, requests a second, money a request.

    100 requests a second, 2 % bad where 0.1 % is allowed, 40 minutes spared, 0.50 each:

    >>> round(avoided(100, 20, 0.999, 45, 5, 0.5))
    2280
    """
    beyond = max(burn - 1, 0) * (1 - target)
    return requests * beyond * max(manual - actual, 0) * 60 * price


def why_not(outcome: Outcome, *, dry_run: bool) -> str:
    """Why nothing can be claimed; empty when something can."""
    if dry_run or outcome.result == "dry_run":
        return "a dry run changes nothing"
    if outcome.result != "resolved":
        return "nothing was fixed"
    if not outcome.verified:
        return "it ended by itself: no run can claim it"
    return ""


def nothing(currency: str, reason: str) -> Cost:
    """No cost avoided, and why."""
    return Cost(amount=0, low=0, high=0, currency=currency, formula=FORMULA, reason=reason)


def cost(inputs: Inputs, currency: str) -> Cost:
    """The cost that a verified fix avoided, with its range."""
    low, mid, high = (avoided(*map(_number, chosen)) for chosen in choices(inputs))
    return Cost(
        amount=mid,
        low=low,
        high=high,
        currency=currency,
        formula=FORMULA,
        inputs=tuple(dict.fromkeys(fact for chosen in choices(inputs) for fact in chosen)),
        reason=_reason(inputs, high),
    )


def choices(inputs: Inputs) -> tuple[Sequence[Fact], Sequence[Fact], Sequence[Fact]]:
    """The formula's six inputs at the low end, in the middle and at the high end."""
    return tuple(  # type: ignore[return-value]  # three ends, as Spread has
        (requests, inputs.burn, inputs.target, manual, inputs.actual, price)
        for requests, manual, price in zip(
            inputs.requests, inputs.manual, inputs.price, strict=True
        )
    )


def _reason(inputs: Inputs, high: float) -> str:
    if high > 0:
        return "fixed by a run, and verified"
    if _number(inputs.burn) <= 1:
        return "the service stayed within its objective"
    if _number(inputs.actual) >= _number(inputs.manual.high):
        return "people would typically have been as fast"
    return "no requests, or none that cost anything"


def _number(fact: Fact) -> float:
    return float(fact.value)
