"""The targets that the HTTP executor may call, apart from it: reading settings loads no client."""

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

Changing = Literal["POST", "PUT", "PATCH", "DELETE"]

# Nothing that a server, a proxy or we could read in two ways: no escapes, queries, semicolons
PATH = re.compile(r"(?:/[A-Za-z0-9._~:@=,+-]+)+/?|/")
DOTS = {".", ".."}
BASE = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?(?:/[A-Za-z0-9._~-]+)*/?"
)
PRINTABLE = re.compile(r"[\x21-\x7e]+")


class HttpTarget(BaseModel):
    """One service that may be called."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(description="scheme, host, port and perhaps a path before every path")
    token: SecretStr | None = Field(default=None, description="bearer token; empty: none is sent")
    signing_secret: SecretStr | None = Field(
        default=None, description="key of `Sentinel-Signature`; empty: calls are not signed"
    )
    operations_path: str | None = Field(
        default=None,
        description="GET here tells whether a key was applied, e.g. /control/operations/{key}: "
        "200 yes, 404 no; give it only if the target makes a change once a key; empty: cannot ask",
    )
    idempotent: bool = Field(
        default=False, description="every change here may be made twice without harm"
    )
    allow_methods: frozenset[Changing] = Field(
        default=frozenset({"POST"}), description="methods that a change may use; empty: read only"
    )
    timeout_s: float = Field(default=10.0, gt=0, description="longest call, seconds")
    connect_timeout_s: float = Field(default=3.0, gt=0, description="longest connect, seconds")
    largest_answer: int = Field(
        default=65_536, gt=0, description="bytes; a longer answer to a read is refused"
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not BASE.fullmatch(self.base_url):
            raise ValueError(  # not repeated: somebody may have put a password into it
                "base_url is no plain http(s) address like http://shop:8080/admin: "
                "no user or password, no query, no fragment"
            )
        if DOTS & set(self.base_url.split("/")):
            raise ValueError("base_url may have no . or .. in its path")
        if self.operations_path is not None:
            if self.operations_path.count("{key}") != 1:
                raise ValueError("operations_path needs exactly one {key}")
            check_path(self.operations_path.replace("{key}", "key"))
        if self.token is not None and not PRINTABLE.fullmatch(self.token.get_secret_value()):
            raise ValueError("token is empty or has characters that no header may have")
        if self.signing_secret is not None and not self.signing_secret.get_secret_value():
            raise ValueError("signing_secret is empty")
        return self


class HttpSettings(BaseModel):
    """The services that may be called; what is not listed is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["http"] = "http"
    targets: dict[str, HttpTarget] = Field(default={}, description="by the name that runbooks use")


def check_path(path: str) -> None:
    """Raise ValueError for a path that could be read in two ways or leave its host."""
    if not PATH.fullmatch(path) or DOTS & set(path.split("/")):
        raise ValueError(
            f"{path!r:.100} is no plain absolute path: no dots, escapes or empty parts"
        )
