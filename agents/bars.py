"""Bars: how high a score must be to be an alarm, service by service, as people's verdicts say.

A bar is a list of steps in event time, so that a sample which is read again after a crash is
held against the same bar as the first time, whatever people have said since.
"""

import numpy as np
import numpy.typing as npt
import orjson

from schemas.errors import Rejected
from schemas.verdicts import Bar

Floats = npt.NDArray[np.float64]


class Bars:
    """The bars of one partition's services."""

    def __init__(self) -> None:
        self._steps: dict[str, tuple[Floats, Floats]] = {}  # service -> times, factors

    def __bool__(self) -> bool:
        """Whether any service has one."""
        return bool(self._steps)

    def hear(self, bar: Bar) -> bool:
        """Take a service's bar; whether that changes anything. The newest one has it all."""
        return self._put(bar.service, [(s.at.timestamp(), s.factor) for s in bar.steps])

    def factors(self, service: str, at: Floats) -> Floats:
        """The factor in force at each time (epoch s), [n]; 1 without a bar and before it."""
        if service not in self._steps:
            return np.ones(len(at))
        times, factors = self._steps[service]
        return np.concatenate(([1.0], factors))[np.searchsorted(times, at, "right")]

    def dump(self) -> bytes:
        """All of them, for the changelog."""
        return orjson.dumps(
            {
                service: list(zip(times.tolist(), factors.tolist(), strict=True))
                for service, (times, factors) in sorted(self._steps.items())
            }
        )

    @classmethod
    def load(cls, raw: bytes) -> "Bars":
        """Undo `dump`. Raises Rejected for anything else."""
        bars = cls()
        try:
            for service, steps in orjson.loads(raw).items():
                bars._put(service, steps)
        except (ValueError, AttributeError, TypeError, IndexError) as error:
            raise Rejected(f"the bars of detect cannot be read: {error}") from error
        return bars

    def _put(self, service: str, steps: list[tuple[float, float]]) -> bool:
        table = np.array(steps, np.float64).reshape(len(steps), 2)
        times, factors = table[:, 0], table[:, 1]
        before = self._steps.get(service)
        self._steps[service] = (times, factors)
        return before is None or not (
            np.array_equal(before[0], times) and np.array_equal(before[1], factors)
        )
