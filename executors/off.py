"""No executor: everything is refused. The default, so that nothing is changed by an oversight."""

from typing import Literal, NoReturn

from pydantic import BaseModel, ConfigDict

from executors.executor import Answer, Arguments
from schemas.errors import Denied


class OffSettings(BaseModel):
    """Nothing may be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["off"] = "off"


class Off:
    """Refuses every action, before anything is looked at."""

    def __init__(self, settings: OffSettings) -> None:
        self._settings = settings

    def _refuse(self) -> NoReturn:
        raise Denied(
            f"the executor is {self._settings.backend}: configure a backend and its targets"
        )

    def check(self, arguments: Arguments, *, changes: bool) -> None:  # noqa: ARG002 - whatever it is
        """Raises Denied."""
        self._refuse()

    def asks(self, arguments: Arguments) -> bool:  # noqa: ARG002 - whatever it is
        """There is nobody to ask."""
        return False

    def repeatable(self, arguments: Arguments) -> bool:  # noqa: ARG002 - whatever it is
        """Nothing is done even once."""
        return False

    async def read(self, arguments: Arguments, *, timeout_s: float) -> Answer:  # noqa: ARG002 - whatever it is
        """Raises Denied."""
        self._refuse()

    async def change(self, arguments: Arguments, *, key: str, timeout_s: float) -> Answer:  # noqa: ARG002 - whatever it is
        """Raises Denied."""
        self._refuse()

    async def applied(self, arguments: Arguments, *, key: str, timeout_s: float) -> Answer | None:  # noqa: ARG002 - whatever it is
        """Raises Denied."""
        self._refuse()

    async def close(self) -> None:
        """Nothing is open."""
