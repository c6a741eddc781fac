"""OAUTHBEARER against a real broker, which verifies what an identity provider signed."""

import asyncio
import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from schemas.errors import Rejected, Unavailable
from schemas.topics import REFUSALS, ROLLBACKS
from streams import worker
from streams.broker import node
from streams.broker.embedded import EmbeddedBroker
from streams.cluster import reach
from streams.connection import KafkaSettings
from streams.settings import Settings
from streams.topics import create
from tests.streams.counting import STAGE, Witness, asked, eventually, tell
from tests.streams.oauth.identity import CLIENT, SECRET, Identity, serving
from tests.streams.test_cluster import issue
from tests.streams.test_worker import stop

pytestmark = pytest.mark.broker
OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearer"
LIFE_S = 6  # of a token: a stage outlives some; brokers believe one for 30 s more


class Guarded(NamedTuple):
    """A broker that wants tokens, who issues them, and where the certificates are."""

    broker: EmbeddedBroker
    identity: Identity
    folder: Path
    port: list[int]

    def settings(self, **given: Any) -> KafkaSettings:
        """How to reach it."""
        oauth = {
            "token_url": self.identity.url, "client_id": CLIENT, "client_secret": SECRET,
            "scope": "kafka", "ca_file": f"{self.folder}/ca.pem",
        }  # fmt: skip
        return KafkaSettings.model_validate(
            {
                "brokers": f"127.0.0.1:{self.port[-1]}",
                "protocol": "SASL_SSL",
                "sasl_mechanism": "OAUTHBEARER",
                "ca_file": f"{self.folder}/ca.pem",
                "oauth": oauth | given,
            }
        )


def secured(plain: str, folder: Path, port: int) -> str:
    """A node's settings, and a listener more that is open to our identity provider's tokens."""
    listener = f"127.0.0.1:{port}"
    lines = []
    for line in plain.splitlines():
        if line.startswith(("listeners=", "advertised.listeners=")):
            line += f",SASL://{listener}"  # noqa: PLW2901 - the line as it is to be
        lines.append(line)
    own = {
        "sasl.enabled.mechanisms": "OAUTHBEARER",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": f"{folder}/keystore.pem",
        "oauthbearer.sasl.jaas.config": f"{OAUTH}LoginModule required;",
        "oauthbearer.sasl.server.callback.handler.class": f"{OAUTH}ValidatorCallbackHandler",
        # A login lasts as long as its token, so that clients must show new ones
        "oauthbearer.connections.max.reauth.ms": 3_600_000,
    }
    more = {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL",
        "sasl.oauthbearer.jwks.endpoint.url": f"file:{folder}/keys.json",
        "sasl.oauthbearer.expected.audience": "kafka",
        "sasl.oauthbearer.expected.issuer": "us",
    } | {f"listener.name.sasl.{name}": value for name, value in own.items()}
    return "\n".join([*lines, *(f"{name}={value}" for name, value in more.items()), ""])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One for all tests here."""
    folder, identity, ports = tmp_path_factory.mktemp("oauth"), Identity(), list[int]()
    issue(folder)
    parts = ("broker.key", "broker.pem")
    (folder / "keystore.pem").write_text("".join((folder / part).read_text() for part in parts))
    (folder / "keys.json").write_text(identity.keys())
    plain = node.server_properties

    def written(number: int, addresses: dict[int, node.Address]) -> str:
        ports.append(node.free_ports(1)[0])
        return secured(plain(number, addresses), folder, ports[-1])

    allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file:{folder}/keys.json"
    with pytest.MonkeyPatch.context() as patch, serving(identity, folder):
        patch.setattr(node, "server_properties", written)
        with EmbeddedBroker(jvm_options=[allowed]) as broker:
            yield Guarded(broker, identity, folder, ports)


async def over(end: float) -> None:
    """All tokens so far have ended."""
    await eventually(lambda: time.time() > end, 60)


async def outage(identity: Identity) -> None:
    """The provider is away when it is needed, and comes back."""
    before, identity.answer = len(identity.asked), (503, b"")
    await eventually(lambda: len(identity.asked) > before, 60)
    identity.answer = None


@pytest.mark.filterwarnings(  # asyncio waits for the other side's farewell, the loop does not
    "ignore:.*_SelectorTransport.__del__:pytest.PytestUnraisableExceptionWarning",
    "ignore:.*<socket.socket:pytest.PytestUnraisableExceptionWarning",
)
def test_a_stage_works_on_while_tokens_end(guarded: Guarded, topic_prefix: str) -> None:
    """Both clients: librdkafka feeds the stage and reads it, aiokafka is in it."""
    names = {"prefix": f"{topic_prefix}-", "topic_prefix": f"{topic_prefix}-"}
    guarded.identity.life_s = LIFE_S
    kafka = guarded.settings().model_copy(update=names)
    assert not create(kafka).differing
    told: list[int] = []

    async def scene() -> None:
        work = worker.run([STAGE], Settings(kafka=kafka), clock=False, ready=lambda: None)
        running = asyncio.create_task(work)
        with Witness(kafka, REFUSALS) as witness:
            for number in range(3):
                tell(kafka, ROLLBACKS, [asked("a", str(number))])
                await eventually(lambda: len(witness.events()) > len(told), 60)
                told.append(len(witness.events()))
                await over(max(guarded.identity.ends))
                await outage(guarded.identity)
        stop()
        await asyncio.wait_for(running, 20)

    asyncio.run(scene())
    gc.collect()  # so that such a connection is found while it is expected
    assert {tuple(said["scope"]) for said in guarded.identity.asked} == {("kafka",)}


def test_a_wrong_secret_is_said_in_one_line(guarded: Guarded) -> None:
    with pytest.raises(Rejected) as error:
        reach(guarded.settings(client_secret=SECRET[1:]))
    assert str(error.value) == (
        f"no token for Kafka: {guarded.identity.url} refuses us (HTTP 401, invalid_client:"
        " Bad client credentials): look at kafka.oauth.client_id, client_secret and scope"
    )


def test_a_token_that_the_broker_does_not_believe_opens_nothing(guarded: Guarded) -> None:
    why = r"no Kafka answers over SASL_SSL .*kafka\.oauth"
    with serving(Identity(), guarded.folder) as another, pytest.raises(Unavailable, match=why):
        reach(guarded.settings(token_url=another.url))
    assert another.asked
