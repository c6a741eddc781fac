"""Tokens as aiokafka asks for them: at every login, from its event loop."""

import asyncio

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from schemas.errors import SentinelError
from streams.oauth.settings import OAuthSettings
from streams.oauth.tokens import Tokens


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc] # aiokafka is untyped
    """Faust's consumers and producers share it: each has a loop of its own."""

    def __init__(self, settings: OAuthSettings) -> None:
        self._tokens, self._extensions = Tokens(settings), settings.extensions

    async def token(self) -> str:
        """A token in force. Raises aiokafka's own error, so that it logs it and tries again."""
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self._tokens.current)
        except SentinelError as error:
            raise KafkaConnectionError(str(error)) from error

    def extensions(self) -> dict[str, str]:
        """What is said beside the token."""
        return self._extensions
