"""One phase against a target: look, or change once and find out what became of it.

A change that may have been sent is never sent again on hope. Where the target keeps keys it is
asked; where it is declared idempotent the change is repeated; otherwise it stays Uncertain and a
person must look.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from executors.executor import Answer, Arguments, Executor, Uncertain
from schemas.errors import Denied, Rejected, SentinelError, Unavailable

LONGEST_PAUSE_S = 5.0  # a target that came back is noticed within this time


class Patience(NamedTuple):
    """How long a phase may take: one call, and all tries together; seconds."""

    timeout_s: float
    retry_for_s: float
    backoff_s: float


class Settled(NamedTuple):
    """A change that took effect; `reconciled`: the target said so when asked, we did not see it."""

    answer: Answer
    reconciled: bool


async def look(executor: Executor, arguments: Arguments, patience: Patience) -> Answer:
    """Read. Raises Unavailable when the target stayed away for `retry_for_s`; Denied, Rejected."""
    trouble: SentinelError = Unavailable("no try was made")
    async for _ in _tries(patience):
        try:
            async with asyncio.timeout(patience.timeout_s):
                return await executor.read(arguments, timeout_s=patience.timeout_s)
        except TimeoutError:
            trouble = Unavailable(f"no answer within {patience.timeout_s:g} s")
        except Unavailable as error:
            trouble = error
    raise trouble


async def settle(
    executor: Executor, arguments: Arguments, *, key: str, resumed: bool, patience: Patience
) -> Settled:
    """Make a change that takes effect at most once under `key`.

    `resumed`: an earlier try, here or elsewhere, may have sent it. Raises Denied, Rejected and
    Unavailable when nothing was changed; Uncertain when that cannot be told.
    """
    asks = executor.asks(arguments)
    doubt = Uncertain("a worker was lost while it made the change") if resumed else None
    trouble: SentinelError = Unavailable("no try was made")
    async for _ in _tries(patience):
        try:
            if doubt is not None:
                found = await _found(executor, arguments, key, doubt, patience)
                if found is not None:
                    return Settled(found, reconciled=True)
                doubt = None if asks else doubt
            return Settled(await _change(executor, arguments, key, patience), reconciled=False)
        except Uncertain as error:
            if doubt is error:
                raise
            doubt = error
        except Unavailable as error:
            trouble = error
        except (Denied, Rejected) as error:
            if doubt is None or asks:
                raise
            # this try changed nothing; the one before may have
            raise Uncertain(f"{doubt}; then: {error}") from error
    if doubt is not None and asks:
        return await _last_word(executor, arguments, key, doubt, patience)
    raise doubt or trouble


async def _last_word(
    executor: Executor, arguments: Arguments, key: str, doubt: Uncertain, patience: Patience
) -> Settled:
    """There is no time for another try, but the one that was made may have been good."""
    try:
        found = await _found(executor, arguments, key, doubt, patience)
    except Unavailable as error:
        raise doubt from error
    if found is None:  # it may still be at work
        raise doubt
    return Settled(found, reconciled=True)


async def _found(
    executor: Executor, arguments: Arguments, key: str, doubt: Uncertain, patience: Patience
) -> Answer | None:
    """What the doubtful try has done; None when it may be made again.

    Raises the doubt when neither asking nor repeating is possible, Rejected when the target
    failed by itself and says that nothing was applied.
    """
    repeatable = executor.repeatable(arguments)
    if not executor.asks(arguments):
        if repeatable:
            return None
        raise doubt
    try:
        found = await _ask(executor, arguments, key, patience)
    except (Denied, Rejected) as error:
        raise Uncertain(f"{doubt}; asking did not help: {error}") from error
    if found is None and doubt.answered and not repeatable:
        raise Rejected(f"{doubt}; the target says that it was not applied")
    return found


async def _ask(
    executor: Executor, arguments: Arguments, key: str, patience: Patience
) -> Answer | None:
    try:
        async with asyncio.timeout(patience.timeout_s):
            return await executor.applied(arguments, key=key, timeout_s=patience.timeout_s)
    except TimeoutError as error:
        raise Unavailable("the target did not say whether the change was applied") from error


async def _change(executor: Executor, arguments: Arguments, key: str, patience: Patience) -> Answer:
    try:
        async with asyncio.timeout(patience.timeout_s):
            return await executor.change(arguments, key=key, timeout_s=patience.timeout_s)
    except TimeoutError as error:
        raise Uncertain(f"no answer within {patience.timeout_s:g} s") from error


async def _tries(patience: Patience) -> AsyncIterator[int]:
    """Count tries, with growing pauses, until the time is over; the first one always comes."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience.retry_for_s
    pause, number = patience.backoff_s, 0
    while True:
        yield number
        number += 1
        if loop.time() + pause > end:
            return
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_S)
