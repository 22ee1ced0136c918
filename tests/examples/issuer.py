"""An issuer on a real socket: publishes keys, says whether a token holds, counts who asks, and misbehaves on demand."""

import http.server
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

NOON = 1_800_000_000


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        """Return seconds for caches."""
        return self.seconds

    def now(self) -> float:
        """Return seconds since the epoch."""
        return NOON + self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


@dataclass(frozen=True)
class Key:
    """A signing key under a kid of its own."""

    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    kid: str = field(default_factory=lambda: f"key-{uuid.uuid4()}")

    @property
    def algorithm(self) -> str:
        """Return the key's own algorithm."""
        return "RS256" if isinstance(self.private, rsa.RSAPrivateKey) else "ES256"

    def jwk(self, **members: Any) -> dict[str, Any]:
        """Return the public JWK, with members replaced or, by None, left out."""
        implementation = jwt.get_algorithm_by_name(self.algorithm)
        jwk = implementation.to_jwk(self.private.public_key(), as_dict=True)
        jwk.pop("key_ops", None)
        jwk |= {"kid": self.kid, "alg": self.algorithm, "use": "sig", **members}
        return {name: value for name, value in jwk.items() if value is not None}

    def public_pem(self) -> bytes:
        """Return the public key as an attacker would use it for an HMAC."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def ec_key() -> Key:
    """Make a P-256 key."""
    return Key(ec.generate_private_key(ec.SECP256R1()))


class Issuer:
    """What the tests know and steer of the issuer. Lists are appended to by the server's threads."""

    def __init__(self, key: Key, audience: str, clock: Clock) -> None:
        self.url = ""
        self.key = key
        self.audience = audience
        self.clock = clock
        self.published: list[dict[str, Any]] = [key.jwk()]
        self.jwks_status = 200
        self.jwks_body: bytes | None = None
        self.jwks_headers = {"Cache-Control": "public, max-age=300"}
        self.jwks_asked_at: list[float] = []
        self.verify_status: int | None = None
        self.verify_body = b"{}"
        self.verify_headers: dict[str, str] = {}
        self.verify_delay_seconds = 0.0
        self.verify_asked: list[dict[str, Any]] = []
        self.revoked: set[str] = set()
        self.elsewhere_asked: list[str] = []

    @property
    def jwks_url(self) -> str:
        """Return where the keys are."""
        return f"{self.url}/.well-known/jwks.json"

    @property
    def verify_url(self) -> str:
        """Return where tokens are asked about."""
        return f"{self.url}/api/token/verify/"

    def claims(self, **claims: Any) -> dict[str, Any]:
        """Return a good patient token's claims, some replaced or, by None, left out."""
        now = int(self.clock.now())
        good: dict[str, Any] = {
            "iss": self.url,
            "sub": "4b7e1f4e-user",
            "aud": self.audience,
            "exp": now + 300,
            "iat": now,
            "jti": str(uuid.uuid4()),
            "client_id": "ward-app",
            "scope": "patient/*.rs",
            "patient": ROSA,
            "purpose_of_use": "TREAT",
            "basis": "care_team:0f5e7c3a",
            "sid": "family-1",
        }
        return {name: value for name, value in (good | claims).items() if value is not None}

    def mint(self, *, key: Key | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a signed token; good unless told otherwise."""
        key = key or self.key
        return jwt.encode(
            self.claims(**claims),
            key.private,
            algorithm=key.algorithm,
            headers={"typ": "at+jwt", "kid": key.kid} | (header or {}),
        )


ROSA = "0b6f5b0e-6f0d-4e0b-9d0e-6d8a3f1c2a01"
OTHER_PATIENT = "5c1d9a77-3a55-4c7e-8f0a-2f4f6f0e9b02"
NOBODY = "ffffffff-ffff-4fff-8fff-ffffffffffff"


class _Handler(http.server.BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        issuer = self.issuer
        if self.path != "/.well-known/jwks.json":
            issuer.elsewhere_asked.append(self.path)
            self._answer(404, b"{}", {})
            return
        issuer.jwks_asked_at.append(time.monotonic())
        body = (
            json.dumps({"keys": issuer.published}).encode() if issuer.jwks_body is None else issuer.jwks_body
        )
        self._answer(issuer.jwks_status, body, issuer.jwks_headers)

    def do_POST(self) -> None:
        issuer = self.issuer
        received = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/api/token/verify/" or self.headers["Content-Type"] != "application/json":
            issuer.elsewhere_asked.append(self.path)
            self._answer(404, b"{}", {})
            return
        issuer.verify_asked.append(received)
        time.sleep(issuer.verify_delay_seconds)
        if issuer.verify_status is not None:
            self._answer(issuer.verify_status, issuer.verify_body, issuer.verify_headers)
        elif received["token"] in issuer.revoked:
            self._answer(401, b'{"code":"token_not_valid","detail":"..."}', {})
        else:
            self._answer(200, issuer.verify_body, {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@contextmanager
def running(issuer: Issuer) -> Iterator[Issuer]:
    """Serve `issuer` on a free port of this machine."""
    handler = type("Handler", (_Handler,), {"issuer": issuer})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
