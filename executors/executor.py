"""What an executor is: one kind of target, read without harm and changed under a key.

An executor decides nothing. It refuses what its settings do not list, before anything is
sent; it sends; and it translates what came of it. The one thing that it must be exact about
is whether a change may have taken effect, since everything that follows (try again, ask,
leave alone, undo) depends on that.
"""

from typing import NamedTuple, Protocol

import orjson

from schemas.errors import Rejected, SentinelError

Arguments = dict[str, object]

LONGEST_ANSWER = 2_000  # characters of an answer that are kept for people; checks see all of it


class Uncertain(SentinelError):  # noqa: N818 - a state of knowledge, not a fault
    """A change was sent, and whether it took effect is not known.

    `answered`: the target did answer, with a fault of its own; it is not still at work on it.
    """

    def __init__(self, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered


class Answer(NamedTuple):
    """What a target said: `value` is decoded JSON, or the text when it is none."""

    value: object
    detail: str

    @property
    def text(self) -> str:
        """For people: JSON, cut."""
        text = self.value if isinstance(self.value, str) else orjson.dumps(self.value).decode()
        return text if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]}..."


class Executor(Protocol):
    """One kind of target. `check`, `asks` and `repeatable` look at settings only."""

    def check(self, arguments: Arguments, *, changes: bool) -> None:
        """Raises Denied for what is not listed, Rejected for what makes no sense."""

    def asks(self, arguments: Arguments) -> bool:
        """Whether the target honours keys and can be asked if one was applied."""

    def repeatable(self, arguments: Arguments) -> bool:
        """Whether making the change twice is as good as once."""

    async def read(self, arguments: Arguments, *, timeout_s: float) -> Answer:
        """Look, and change nothing. Raises Denied, Rejected, Unavailable."""

    async def change(self, arguments: Arguments, *, key: str, timeout_s: float) -> Answer:
        """Make the change, once under this key where the target honours keys.

        Raises Denied and Rejected (nothing was changed and never will be), Unavailable (nothing
        was changed, another try may work), Uncertain.
        """

    async def applied(self, arguments: Arguments, *, key: str, timeout_s: float) -> Answer | None:
        """What the change under this key answered; None when it was not made.

        Only where `asks`. Raises Denied, Rejected, Unavailable.
        """

    async def close(self) -> None:
        """Let go of connections."""


def decode(arguments: str) -> Arguments:
    """An action's arguments. Raises Rejected when they are no JSON object."""
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError as error:
        raise Rejected(f"the arguments are no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Rejected("the arguments are no JSON object")
    return value
