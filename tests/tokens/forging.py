"""Tokens by hand: every header and claim as an attacker would have it, with a signature that is right or is not."""

import base64
import json
import time
import uuid
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from django.conf import settings

from tokens import key_ring


def encode(raw: bytes) -> str:
    """Return BASE64URL without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Return the bytes of BASE64URL without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of a base token of nobody in particular; None takes a claim out."""
    now = int(time.time())
    whole = {
        "iss": settings.WARDKEY_ISSUER,
        "aud": settings.WARDKEY_ISSUER,
        "sub": str(uuid.uuid4()),
        "client_id": "direct",
        "scope": "openid",
        "sid": str(uuid.uuid4()),
        "jti": str(uuid.uuid4()),
        "iat": now,
        "exp": now + 300,
        **changed,
    }
    return {name: value for name, value in whole.items() if value is not None}


def header(**changed: Any) -> dict[str, Any]:
    """Return the header that our own ES256 tokens have, changed; None takes a member out."""
    whole = {"alg": "ES256", "typ": "at+jwt", "kid": key_ring.current().signer("ES256").kid, **changed}
    return {name: value for name, value in whole.items() if value is not None}


def signed(
    head: dict[str, Any] | bytes,
    payload: dict[str, Any] | bytes,
    *,
    key: Any = None,
    algorithm: str = "ES256",
) -> str:
    """Return a compact JWS over exactly this header and payload, by our own active key unless another is given."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (head, payload)]
    signing_input = ".".join(map(encode, parts))
    key = key or key_ring.current().signer(algorithm).key
    if isinstance(key, EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32) + s.to_bytes(32)
    else:
        signature = key.sign(signing_input.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signing_input}.{encode(signature)}"
