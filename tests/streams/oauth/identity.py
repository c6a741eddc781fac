"""An identity provider of our own on loopback, and a real broker that believes its tokens alone."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT, SECRET = "sentinel", "hunter2-hunter2"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _base64(value.to_bytes((value.bit_length() + 7) // 8))


@dataclass
class Identity:
    """What it answers, and what it was asked."""

    life_s: int = 3600
    answer: tuple[int, bytes] | None = None  # instead of a token
    key: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    url: str = ""
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)  # when each token does

    def keys(self) -> str:
        """The public keys, as brokers read them."""
        public = self.key.public_key().public_numbers()
        key = {"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig"}
        return json.dumps({"keys": [key | {"n": _number(public.n), "e": _number(public.e)}]})

    def token(self) -> str:
        """A new token of our client."""
        now = int(time.time())
        self.ends.append(now + self.life_s)
        claims = {"sub": CLIENT, "iss": "us", "aud": "kafka", "iat": now, "exp": now + self.life_s}
        head = {"alg": "RS256", "kid": "one", "typ": "JWT"}
        said = ".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
        signature = self.key.sign(said.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{said}.{_base64(signature)}"

    def answered(self, headers: Any, body: bytes) -> tuple[int, bytes]:
        """Status and body, as RFC 6749 has them."""
        self.asked.append(parse_qs(body.decode()))
        if self.answer is not None:
            return self.answer
        pair = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if headers["Authorization"] != f"Basic {pair}":
            return 401, b'{"error":"invalid_client","error_description":"Bad client\\ncredentials"}'
        token = {"access_token": self.token(), "token_type": "Bearer", "expires_in": self.life_s}
        return 200, json.dumps(token).encode()


@contextmanager
def serving(identity: Identity, certificates: Path | None = None) -> Iterator[Identity]:
    """Serve it until the end; over TLS with the broker's certificate when there is one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            status, body = identity.answered(self.headers, self.rfile.read(size))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: tests read what they need."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        scheme = "http"
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "broker.pem", certificates / "broker.key")
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        identity.url = f"{scheme}://127.0.0.1:{server.server_port}/token"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield identity
        finally:
            server.shutdown()
            thread.join()
