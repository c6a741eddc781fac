"""Settings of OAuth, apart from its client: reading settings loads no HTTP."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

# RFC 7628: a key is of letters, and `auth` is taken; librdkafka has a comma between two
_Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]+$")]
_Value = Annotated[str, StringConstraints(pattern=r"^[!-+\--~ ]*$")]


class OAuthSettings(BaseModel):
    """Who gives us tokens for Kafka, by client credentials; for sasl_mechanism OAUTHBEARER."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="the identity provider's token endpoint, as "
        "https://login.example.com/oauth2/token; empty: none",
    )
    client_id: str = Field(default="", description="who we are to it")
    client_secret: SecretStr = Field(default=SecretStr(""), description="the client's secret")
    scope: str = Field(
        default="", description="what the token is to be for, separated by spaces; empty: not said"
    )
    extensions: dict[_Key, _Value] = Field(
        default={},
        description="SASL extensions that the brokers want, as {logicalCluster: lkc-1}; "
        "empty: none",
    )
    ca_file: str = Field(
        default="", description="CA certificates of the token endpoint, PEM; empty: the system's"
    )
    timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="longest wait for the token endpoint, s"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if "auth" in self.extensions:
            raise ValueError("extensions: `auth` is the token's own name, take another")
        names = ("token_url", "client_id", "client_secret")
        missing = [name for name in names if not getattr(self, name)]
        if missing and self != OAuthSettings.model_construct():
            raise ValueError(f"needs {' and '.join(missing)} as well")
        return self

    @property
    def given(self) -> bool:
        """Whether there is an identity provider."""
        return bool(self.token_url)

    def confluent(self) -> dict[str, Any]:
        """The same in librdkafka's terms, which fetches its tokens itself."""
        said = ",".join(f"{key}={value}" for key, value in self.extensions.items())
        optional = {
            "sasl.oauthbearer.scope": self.scope,
            "sasl.oauthbearer.extensions": said,
            "https.ca.location": self.ca_file,
        }
        return {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": self.token_url,
            "sasl.oauthbearer.client.id": self.client_id,
            "sasl.oauthbearer.client.secret": self.client_secret.get_secret_value(),
            **{name: value for name, value in optional.items() if value},
        }
