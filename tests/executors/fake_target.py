# ruff: noqa: ARG002 - the protocol has these arguments, dials need few of them
"""A target made of dials, behind the executor's protocol: it records every call."""

from collections.abc import Callable

from executors.executor import Answer, Arguments
from schemas.errors import Denied, Rejected


class Dials:
    """Dials that are read and set. `asks` and `repeats` are what the target can do.

    `on_call(kind, dial)` is called before and after each effect; whatever it raises, a crash or
    an error of the target, comes out there.
    """

    def __init__(self, *, asks: bool = True, repeats: bool = False) -> None:
        self.values: dict[str, object] = {f"dial{n}": n for n in range(9)}
        self.keys: dict[str, object] = {}
        self.effects: list[tuple[str, object]] = []
        self.reads: list[str] = []
        self.on_call: Callable[[str, str], None] = lambda *_: None
        self._asks, self._repeats = asks, repeats

    def check(self, arguments: Arguments, *, changes: bool) -> None:
        """Listed dials only."""
        if arguments.get("target") not in self.values:
            raise Denied(f"no dial {arguments.get('target')!r} is listed")
        if changes != ("value" in arguments):
            raise Rejected("a change has a value, a look has none")

    def asks(self, arguments: Arguments) -> bool:
        """As made."""
        return self._asks

    def repeatable(self, arguments: Arguments) -> bool:
        """As made."""
        return self._repeats

    async def read(self, arguments: Arguments, *, timeout_s: float) -> Answer:
        """The dial's value."""
        self.check(arguments, changes=False)
        dial = str(arguments["target"])
        self.on_call("read", dial)
        self.reads.append(dial)
        return Answer({"value": self.values[dial]}, f"read {dial}")

    async def change(self, arguments: Arguments, *, key: str, timeout_s: float) -> Answer:
        """Set the dial; once a key, where keys are kept."""
        self.check(arguments, changes=True)
        dial, value = str(arguments["target"]), arguments["value"]
        self.on_call("before", dial)
        if not (self._asks and key in self.keys):
            self.effects.append((dial, value))
            self.values[dial] = value
            self.keys[key] = value
        self.on_call("after", dial)
        return Answer({"value": value}, f"set {dial}")

    async def applied(self, arguments: Arguments, *, key: str, timeout_s: float) -> Answer | None:
        """What is known of the key."""
        if not self._asks:
            raise Rejected("nobody to ask")
        self.on_call("asked", str(arguments["target"]))
        return Answer({"value": self.keys[key]}, "was set") if key in self.keys else None

    async def close(self) -> None:
        """Nothing is open."""


def failing(
    kind: str, dial: str, error: Exception, times: int = 1_000
) -> Callable[[str, str], None]:
    """Raise `error` at this point of this dial, so many times."""
    left = [times]

    def on_call(at_kind: str, at_dial: str) -> None:
        if (at_kind, at_dial) == (kind, dial) and left[0]:
            left[0] -= 1
            raise error

    return on_call
