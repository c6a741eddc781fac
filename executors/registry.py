"""Every executor, once: the registry, the settings type and the list of choices in one."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, assert_never

from pydantic import Field

from executors.executor import Executor
from executors.http_targets import HttpSettings
from executors.off import Off, OffSettings

AnyExecutor = Annotated[OffSettings | HttpSettings, Field(discriminator="backend")]


def targets(settings: OffSettings | HttpSettings) -> dict[str, frozenset[str]]:
    """The targets that are listed, by every executor that a runbook may name.

    An executor that is not configured has none: its runbooks are valid and never proposed.
    """
    listed = settings.targets if isinstance(settings, HttpSettings) else ()
    return {"http": frozenset(listed)}


def make(settings: OffSettings | HttpSettings, clock: Callable[[], datetime]) -> Executor:
    """The executor of these settings."""
    match settings:
        case OffSettings():
            return Off(settings)
        case HttpSettings():
            from executors.http import Http  # noqa: PLC0415 - its client loads where it is used

            return Http(settings, clock)
    assert_never(settings)
