"""Public keys as JSON Web Keys (RFC 7517) and their thumbprints (RFC 7638). No I/O.

A published key has the members that its algorithm needs, `kid`, `alg` and `use`, and nothing private: the members are
named here one by one, never copied from a key.
"""

import base64
import hashlib
import json
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

REQUIRED = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}

PublicKey = EllipticCurvePublicKey | RSAPublicKey


def public_jwk(key: PublicKey, algorithm: str) -> dict[str, str]:
    """Return the JWK of a P-256 or RSA public key (RFC 7518 section 6); its `kid` is its thumbprint."""
    numbers = key.public_numbers()
    members: dict[str, str]
    if isinstance(key, EllipticCurvePublicKey):
        size = (key.key_size + 7) // 8  # coordinates keep their leading zeros
        members = {"kty": "EC", "crv": "P-256", "x": _uint(numbers.x, size), "y": _uint(numbers.y, size)}  # type: ignore[union-attr]
    else:
        members = {"kty": "RSA", "n": _uint(numbers.n), "e": _uint(numbers.e)}  # type: ignore[union-attr]
    return {**members, "kid": thumbprint(members), "alg": algorithm, "use": "sig"}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Return the RFC 7638 thumbprint of a public JWK: BASE64URL without padding of SHA-256, 43 characters."""
    required = {name: jwk[name] for name in REQUIRED[jwk["kty"]]}
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
    return _text(hashlib.sha256(canonical.encode()).digest())


def _uint(value: int, size: int = 0) -> str:
    return _text(value.to_bytes(size or (value.bit_length() + 7) // 8))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
