"""How to reach Kafka: one set of settings, in the words of both client libraries."""

import ssl
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from schemas.errors import Rejected
from schemas.topics import Topic


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
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    ca_file: str = Field(default="", description="CA certificates, PEM; empty: the system's")

    def topic(self, topic: Topic) -> str:
        """The topic's name on this cluster."""
        return self.topic_prefix + topic.name

    def confluent(self) -> dict[str, Any]:
        """The connection in librdkafka's terms."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.brokers,
            "security.protocol": self.protocol,
        }
        if self.protocol.startswith("SASL"):
            config |= {
                "sasl.mechanisms": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password.get_secret_value(),
            }
        if self.protocol.endswith("SSL") and self.ca_file:
            config["ssl.ca.location"] = self.ca_file
        return config

    def faust(self) -> dict[str, Any]:
        """The connection in Faust's terms; empty for plain text."""
        if self.protocol == "PLAINTEXT":
            return {}
        import faust  # noqa: PLC0415 - intake and the bridge have no use for Faust

        context = None
        if self.protocol.endswith("SSL"):
            try:
                context = ssl.create_default_context(cafile=self.ca_file or None)
            except OSError as error:
                raise Rejected(f"kafka.ca_file {self.ca_file!r}: {error.strerror}") from error
        if self.protocol == "SSL":
            return {"broker_credentials": faust.SSLCredentials(context)}
        return {
            "broker_credentials": faust.SASLCredentials(
                mechanism=self.sasl_mechanism,
                username=self.sasl_username,
                password=self.sasl_password.get_secret_value(),
                ssl_context=context,
            )
        }
