"""A token bucket: so many a second, and a second's worth at once after a pause."""


class Rate:
    """How often something may happen; the clock is the caller's, s."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._left = self._most
        self._at: float | None = None

    def wait(self, now: float) -> float:
        """0.0, and it is counted; or the time until it may happen, s.

        >>> rate = Rate(2.0)
        >>> [rate.wait(now) for now in (0.0, 0.0, 0.0, 0.25, 0.5, 9.0, 9.0, 9.0)]
        [0.0, 0.0, 0.5, 0.25, 0.0, 0.0, 0.0, 0.5]
        """
        since = 0.0 if self._at is None else max(0.0, now - self._at)
        self._left = min(self._most, self._left + since * self._per_s)
        self._at = now
        if self._left < 1.0:
            return (1.0 - self._left) / self._per_s
        self._left -= 1.0
        return 0.0
