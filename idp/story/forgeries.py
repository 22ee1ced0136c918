"""Tokens as an attacker would bend them, out of a good one and what the server publishes. None of them may be believed.

RFC 8725 section 2 names the kinds. Written without the JWT library, which refuses to make most of them. Must not be
imported by anything that serves.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def segments(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Return header, claims and signature of a compact JWS, believing nothing."""
    header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(header), json.loads(claims), signature


def forgeries(token: str, *, other_patient: str, jwk: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what was done to the token, and the result. `jwk` is the published ES256 key that signed it."""
    header, claims, signature = segments(token)
    yield "another patient written into it", _join(header, claims | {"patient": other_patient}, signature)
    yield "its end put off by a day", _join(header, claims | {"exp": claims["exp"] + 86_400}, signature)
    yield "one bit of its signature turned", _join(header, claims, bytes([signature[0] ^ 1]) + signature[1:])
    yield "no signature, algorithm none", _join(header | {"alg": "none"}, claims, b"")
    as_secret = header | {"alg": "HS256"}
    mac = hmac.digest(_pem(jwk), _signed_part(as_secret, claims), hashlib.sha256)
    yield "the public key used as an HMAC secret", _join(as_secret, claims, mac)
    own = ec.generate_private_key(ec.SECP256R1())
    r, s = decode_dss_signature(own.sign(_signed_part(header, claims), ec.ECDSA(SHA256())))
    raw = r.to_bytes(32) + s.to_bytes(32)
    yield "signed with the attacker's key", _join(header, claims, raw)


def _join(header: Mapping[str, Any], claims: Mapping[str, Any], signature: bytes) -> str:
    return f"{_signed_part(header, claims).decode()}.{_encode(signature)}"


def _signed_part(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bytes:
    return ".".join(_encode(json.dumps(part).encode()) for part in (header, claims)).encode()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _pem(jwk: Mapping[str, str]) -> bytes:
    x, y = (int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "==")) for name in ("x", "y"))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
