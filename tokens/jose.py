"""mint() and verify(): one of each for every token there is. The only importer of the JWT library.

RFC 7519, RFC 8725 (JWT best practices), RFC 9068 (access tokens). The algorithm belongs to the key and is never
taken from the header; the key comes from our own ring by kid and from nowhere else; `typ` separates the kinds of
token; `iss`, `aud` and all times are checked for form as well as value. Anything unusual is refused: `crit`, `b64`,
an audience list, a lone surrogate, a token over 8 kB.
"""

import time
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import jwt
from django.conf import settings

from tokens import key_ring

MAX_LENGTH = 8192
LEEWAY_SECONDS = 5
ACCESS_TOKEN = "at+jwt"  # noqa: S105 (RFC 9068 section 2.1, a media type)
REQUIRED: Mapping[str, tuple[str, ...]] = {
    ACCESS_TOKEN: ("iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope")
}
_OPTIONS: Any = {
    "verify_signature": True,
    "verify_exp": True,
    "verify_nbf": True,
    "verify_iat": True,
    "verify_aud": False,  # ours below is stricter: one exact string, never a list
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class TokenError(Exception):
    """The token is refused. The message is a stable code for the ledger, never for the wire."""


class TokenExpired(TokenError):
    """The token's time is over."""


def mint(claims: Mapping[str, Any], *, typ: str, algorithm: str = "ES256") -> str:
    """Sign claims with the active key of an algorithm and return the compact JWS (RFC 7515 section 3.1).

    Fills `iss`, `iat` and `jti` when they are not there. Raises NoSigningKey.
    """
    signer = key_ring.current().signer(algorithm)
    payload = {"iss": settings.WARDKEY_ISSUER, "iat": int(time.time()), "jti": str(uuid.uuid4()), **claims}
    return jwt.encode(payload, signer.key, algorithm=algorithm, headers={"kid": signer.kid, "typ": typ})


def verify(token: str, *, typ: str, audiences: Collection[str]) -> dict[str, Any]:
    """Return the claims of a token that holds. No I/O but the ring's poll.

    Args:
        token: compact JWS, at most 8,192 ASCII characters.
        typ: the kind of token that is expected.
        audiences: the exact audiences that are acceptable here.

    Raises TokenExpired or TokenError.
    """
    verifier = _verifier(token, typ)
    try:
        claims: dict[str, Any] = jwt.decode(
            token, verifier.key, algorithms=[verifier.algorithm], options=_OPTIONS, leeway=LEEWAY_SECONDS
        )
    except jwt.ExpiredSignatureError as error:
        raise TokenExpired("expired") from error
    except (jwt.PyJWTError, ValueError, RecursionError, OverflowError) as error:
        raise TokenError(f"jose_{type(error).__name__}") from error
    _check_claims(claims, typ, audiences)
    return claims


def _verifier(token: str, typ: str) -> key_ring.Verifier:
    if not isinstance(token, str) or len(token) > MAX_LENGTH or not token.isascii() or token.count(".") != 2:
        raise TokenError("not_a_jws")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise TokenError("bad_header") from error
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


def _check_claims(claims: dict[str, Any], typ: str, audiences: Collection[str]) -> None:
    for name in REQUIRED[typ]:
        value = claims.get(name)
        expected = int if name in ("exp", "iat") else str
        if type(value) is not expected:
            raise TokenError(f"claim_{name}")
    if claims["iss"] != settings.WARDKEY_ISSUER:
        raise TokenError("wrong_issuer")
    if claims["aud"] not in audiences:
        raise TokenError("wrong_audience")
    if not all(value.isprintable() for value in claims.values() if isinstance(value, str)):
        raise TokenError("unprintable_claim")
