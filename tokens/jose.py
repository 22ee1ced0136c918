"""mint() and verify(): one of each for every token there is. The only importer of the JWT library.

RFC 7519, RFC 8725 (JWT best practices), RFC 9068 (access tokens). The algorithm belongs to the key and is never
taken from the header; the key comes from our own ring by kid and from nowhere else; `typ` separates the kinds of
token; `iss`, `aud` and all times are checked for form as well as value. Anything unusual is refused: `crit`, `b64`,
an audience list, a lone surrogate, padding (one token, one spelling), a token over 8 kB.
"""

import base64
import datetime
import json
import re
import time
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import jwt
from django.conf import settings

from tokens import key_ring

MAX_LENGTH = 8192
LEEWAY_SECONDS = 5
ALGORITHM = "ES256"
ACCESS_TOKEN = "at+jwt"  # noqa: S105 (RFC 9068 section 2.1, a media type)
REQUIRED: Mapping[str, tuple[str, ...]] = {
    ACCESS_TOKEN: ("iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope")
}
TEXTS = ("iss", "sub", "aud", "jti", "client_id", "scope", "sid", "acr", "patient", "purpose_of_use", "basis")
TIMES = ("exp", "iat", "nbf", "auth_time")
_COMPACT_JWS = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
# The signature is the library's to check; every claim is ours below, by the caller's clock and more strictly.
_OPTIONS: Any = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class TokenError(Exception):
    """The token is refused. The message is a stable code for the ledger, never for the wire."""


class TokenExpired(TokenError):
    """The token's time is over."""


def mint(claims: Mapping[str, Any], *, typ: str, algorithm: str = ALGORITHM) -> str:
    """Sign claims with the active key of an algorithm and return the compact JWS (RFC 7515 section 3.1).

    Fills `iss`, `iat` and `jti` when they are not there. Raises NoSigningKey.
    """
    signer = key_ring.current().signer(algorithm)
    payload = {"iss": settings.WARDKEY_ISSUER, "iat": int(time.time()), "jti": str(uuid.uuid4()), **claims}
    return jwt.encode(payload, signer.key, algorithm=algorithm, headers={"kid": signer.kid, "typ": typ})


def verify(token: str, *, typ: str, audiences: Collection[str], now: datetime.datetime) -> dict[str, Any]:
    """Return the claims of a token that holds. No I/O but the ring's poll.

    Args:
        token: compact JWS, at most 8,192 ASCII characters.
        typ: the kind of token that is expected.
        audiences: the exact audiences that are acceptable here.
        now: the time by which it must hold, give or take LEEWAY_SECONDS.

    Raises TokenExpired or TokenError.
    """
    verifier = _verifier(token, typ)
    try:
        claims: dict[str, Any] = jwt.decode(
            token, verifier.key, algorithms=[verifier.algorithm], options=_OPTIONS
        )
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise TokenError(f"jose_{type(error).__name__}") from error
    _check_form(claims, typ)
    _check_values(claims, audiences, now)
    return claims


def _verifier(token: str, typ: str) -> key_ring.Verifier:
    if not isinstance(token, str) or len(token) > MAX_LENGTH or not _COMPACT_JWS.fullmatch(token):
        raise TokenError("not_a_jws")
    header_text, _ = map(_utf_8, token.split(".")[:2])
    try:
        header = json.loads(header_text)
    except (ValueError, RecursionError) as error:
        raise TokenError("bad_header") from error
    if not isinstance(header, dict):
        raise TokenError("bad_header")
    if header.get("typ") != typ:
        raise TokenError("wrong_typ")
    if "crit" in header or "b64" in header:
        raise TokenError("critical_header")
    kid = header.get("kid")
    verifier = key_ring.verifier(kid) if isinstance(kid, str) and len(kid) <= 64 else None
    if verifier is None:
        raise TokenError("unknown_key")
    if header.get("alg") != verifier.algorithm:
        raise TokenError("wrong_algorithm")
    return verifier


def _utf_8(part: str) -> str:
    """Return the text of a part (RFC 8725 section 3.7: UTF-8 alone; Python's JSON would read UTF-16 and UTF-32 too)."""
    try:
        text = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
    except ValueError as error:
        raise TokenError("not_utf_8") from error
    if "\x00" in text:
        raise TokenError("not_utf_8")
    return text


def _check_form(claims: dict[str, Any], typ: str) -> None:
    if missing := next((name for name in REQUIRED[typ] if name not in claims), None):
        raise TokenError(f"claim_{missing}")
    for name in TIMES:
        if type(claims.get(name, 0)) is not int:  # a bool is no time, nor is a text or a fraction
            raise TokenError(f"claim_{name}")
    for name in TEXTS:
        value = claims.get(name, "")
        if not isinstance(value, str) or not value.isprintable():
            raise TokenError(f"claim_{name}")


def _check_values(claims: dict[str, Any], audiences: Collection[str], now: datetime.datetime) -> None:
    seconds = now.timestamp()
    if claims["iss"] != settings.WARDKEY_ISSUER:
        raise TokenError("wrong_issuer")
    if claims["aud"] not in audiences:
        raise TokenError("wrong_audience")
    if max(claims["iat"], claims.get("nbf", 0)) > seconds + LEEWAY_SECONDS:
        raise TokenError("not_yet_valid")
    if claims["exp"] <= seconds - LEEWAY_SECONDS:
        raise TokenExpired("expired")
