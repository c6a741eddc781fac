"""How to reach Kafka: one set of settings, in the words of both client libraries."""

import ssl
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from schemas.errors import Rejected
from schemas.topics import Topic
from streams.oauth.settings import OAuthSettings

OAUTH = "OAUTHBEARER"


class KafkaSettings(BaseModel):
    """The cluster, and the names under which we work on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    brokers: str = Field(default="127.0.0.1:9092", description="host:port, comma-separated")
    prefix: str = Field(default="sentinel-", description="before every consumer group's name")
    topic_prefix: str = Field(default="", description="before every topic's name; empty: none")
    replication: int = Field(default=1, ge=1, description="copies of each topic that we make")
    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="security protocol"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        default="SCRAM-SHA-512",
        description="how we log in, where the protocol has SASL; OAUTHBEARER: with tokens that "
        "kafka.oauth says where to get",
    )
    sasl_username: str = Field(default="", description="who we are, where the protocol has SASL")
    sasl_password: SecretStr = Field(default=SecretStr(""), description="its password")
    oauth: OAuthSettings = Field(
        default=OAuthSettings(), description="who gives us tokens, for OAUTHBEARER; empty: nobody"
    )
    ca_file: str = Field(default="", description="CA certificates, PEM; empty: the system's")
    cert_file: str = Field(
        default="", description="our certificate, PEM, where brokers ask for one; empty: none"
    )
    key_file: str = Field(default="", description="its key, PEM; empty: it is in cert_file")
    key_password: SecretStr = Field(default=SecretStr(""), description="the key's; empty: none")

    @model_validator(mode="after")
    def _key_has_a_certificate(self) -> Self:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file, the certificate that it is the key of")
        return self

    @model_validator(mode="after")
    def _tokens_are_for_oauth(self) -> Self:
        if self.tokens and not self.oauth.given:
            raise ValueError("sasl_mechanism OAUTHBEARER needs oauth.token_url")
        if self.tokens and (self.sasl_username or self.sasl_password.get_secret_value()):
            raise ValueError(
                "sasl_username and sasl_password are not for OAUTHBEARER: "
                "say oauth.client_id and oauth.client_secret"
            )
        if self.oauth.given and not self.tokens:
            raise ValueError(
                "oauth needs sasl_mechanism OAUTHBEARER and protocol SASL_SSL or SASL_PLAINTEXT"
            )
        return self

    @property
    def tokens(self) -> bool:
        """Whether we log in with tokens of an identity provider."""
        return self.protocol.startswith("SASL") and self.sasl_mechanism == OAUTH

    def topic(self, topic: Topic) -> str:
        """The topic's name on this cluster."""
        return self.topic_prefix + topic.name

    def confluent(self) -> dict[str, Any]:
        """The connection in librdkafka's terms."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.brokers,
            "security.protocol": self.protocol,
        }
        if self.tokens:
            config |= {"sasl.mechanisms": OAUTH} | self.oauth.confluent()
        elif self.protocol.startswith("SASL"):
            config |= {
                "sasl.mechanisms": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password.get_secret_value(),
            }
        if self.protocol.endswith("SSL"):
            files = {
                "ssl.ca.location": self.ca_file,
                "ssl.certificate.location": self.cert_file,
                "ssl.key.location": self.key_file or self.cert_file,
                "ssl.key.password": self.key_password.get_secret_value(),
            }
            config |= {name: value for name, value in files.items() if value}
        return config

    def tls(self) -> ssl.SSLContext:
        """The same certificates for Python's own TLS. Raises Rejected, naming the files."""
        named = ", ".join(filter(None, (self.ca_file, self.cert_file, self.key_file)))
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.cert_file:
                password = self.key_password.get_secret_value()
                context.load_cert_chain(self.cert_file, self.key_file or None, password)
        except OSError as error:  # a file that is not there, or holds no such thing
            said = error.strerror or error
            raise Rejected(f"kafka.ca_file, cert_file or key_file ({named}): {said}") from error
        return context

    def faust(self) -> dict[str, Any]:
        """The connection in Faust's terms; empty for plain text."""
        if self.protocol == "PLAINTEXT":
            return {}
        import faust  # noqa: PLC0415 - intake and the bridge have no use for Faust

        context = self.tls() if self.protocol.endswith("SSL") else None
        if self.protocol == "SSL":
            return {"broker_credentials": faust.SSLCredentials(context)}
        if self.tokens:
            from faust.auth import OAuthCredentials  # noqa: PLC0415 - as above

            from streams.oauth.provider import TokenProvider  # noqa: PLC0415 - as above

            provider = TokenProvider(self.oauth)
            return {"broker_credentials": OAuthCredentials(oauth_cb=provider, ssl_context=context)}
        return {
            "broker_credentials": faust.SASLCredentials(
                mechanism=self.sasl_mechanism,
                username=self.sasl_username,
                password=self.sasl_password.get_secret_value(),
                ssl_context=context,
            )
        }
