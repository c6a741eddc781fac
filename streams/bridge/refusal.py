"""What ends a request early: a status, the rule that was broken, and what was wrong.

What is temporary says after how many seconds trying again makes sense. A sender that gives
up for good on 429 must be told 503 instead, so `BUSY` stands for whichever of the two its
protocol retries (streams/bridge/endpoint.py).
"""

import math
from collections.abc import Sequence

from streams.formats.columns import Fault

BUSY = 429
AWAY = 503
RETRY_AFTER_S = 5
WRONG_ADDRESS = "wrong-address"
LOGS_ELSEWHERE = "log records go to /v1/logs; this address takes metrics"
METRICS_ELSEWHERE = "metrics go to /v1/metrics; this address takes log records"


class RefusedRequest(Exception):  # noqa: N818 - an answer, not a failure
    """An answer that ends a request early; nothing of the request was kept."""

    def __init__(
        self,
        status: int,
        rule: str,
        reason: str,
        *,
        faults: Sequence[Fault] = (),
        refused: int | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """`refused` counts the elements when there were any to count; `faults` are the first."""
        super().__init__(reason)
        self.status, self.rule = status, rule
        self.faults, self.refused, self.retry_after_s = faults, refused, retry_after_s


def later(status: int, rule: str, reason: str, after_s: float = RETRY_AFTER_S) -> RefusedRequest:
    """The refusal of what may work later: `status` is `BUSY` or `AWAY`."""
    return RefusedRequest(status, rule, reason, retry_after_s=math.ceil(after_s))
