"""What the last few seconds looked like: latency quantiles and the share of errors.

A histogram's quantile over minutes is slow to show trouble and slow to show recovery; the client
libraries' summaries over a short sliding window show both within the window.
"""

import math
from collections import deque
from typing import NamedTuple


class Answer(NamedTuple):
    """One finished request."""

    at: float
    seconds: float
    failed: bool


class Window:
    """The answers of the last `span` seconds.

    >>> window = Window(span=3)
    >>> for at in range(5):
    ...     window.add(Answer(at=at, seconds=at / 10, failed=at == 4))
    >>> window.quantile(0.95, now=4)
    0.4
    >>> window.error_ratio(now=4)
    0.3333333333333333
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self._answers: deque[Answer] = deque()

    def add(self, answer: Answer) -> None:
        """Take an answer in; `at` does not go backwards."""
        self._answers.append(answer)
        self._forget(answer.at)

    def quantile(self, share: float, *, now: float) -> float | None:
        """The latency in seconds that `share` of the answers kept to (nearest rank).

        None when there was no answer: nobody waited, which is not the same as waiting 0 s.
        """
        self._forget(now)
        if not self._answers:
            return None
        ranked = sorted(answer.seconds for answer in self._answers)
        return ranked[math.ceil(share * len(ranked)) - 1]

    def error_ratio(self, *, now: float) -> float | None:
        """The share of failed answers, 0 to 1; None when there was no answer."""
        self._forget(now)
        if not self._answers:
            return None
        return sum(answer.failed for answer in self._answers) / len(self._answers)

    def _forget(self, now: float) -> None:
        while self._answers and self._answers[0].at <= now - self._span:
            self._answers.popleft()
