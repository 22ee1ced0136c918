"""Validate one Wardkey patient token: an RFC 9068 access token that names one patient, for this server.

The order is RFC 9068 section 4 and RFC 8725 section 3: bounds and spelling, header, key by `kid`, the key's own
algorithm, signature, claims, and then the issuer's present opinion. Invariants: nothing in the token chooses a key
beyond naming one the issuer publishes, and nothing in it chooses an algorithm; a claim is read only after the
signature holds; `InvalidToken` carries a fixed phrase, never a part of the token, so that it may be logged.
"""

import base64
import binascii
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import jwt

from .keyset import PublishedKeys
from .standing import Standing

SIZE_LIMIT_BYTES = 8_192
TOKEN_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
KID_SHAPE = re.compile(r"[A-Za-z0-9_-]{1,128}")
FHIR_ID_SHAPE = re.compile(r"[A-Za-z0-9\-.]{1,64}")
SCOPE_SHAPE = re.compile(r"(?:[!#-\[\]-~]+(?: [!#-\[\]-~]+)*)?")  # RFC 6749 section 3.3
LATEST_NUMERIC_DATE = 2**40  # some 35,000 years: keeps arithmetic on times ordinary


class InvalidToken(Exception):
    """The token is not to be believed. The text is a fixed phrase for our log, not for the wire."""


@dataclass(frozen=True)
class AccessToken:
    """What a believed token says. `patient` is a FHIR id; `scope` is space separated as it was granted."""

    subject: str
    client_id: str
    jti: str
    patient: str
    purpose_of_use: str
    scope: str
    expires_at: int


class TokenValidator:
    """Believes tokens of one issuer for one audience. Safe to share between threads.

    `leeway_seconds` (0 to 5) allows for two clocks that differ; `now` returns seconds since the epoch.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        keys: PublishedKeys,
        standing: Standing,
        leeway_seconds: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not 0 <= leeway_seconds <= 5:
            raise ValueError("leeway_seconds must be between 0 and 5")
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._standing = standing
        self._leeway_seconds = leeway_seconds
        self._now = now

    def validate(self, token: str) -> AccessToken:
        """Return what the token says. Raises InvalidToken, or Unreachable when the issuer cannot be asked."""
        if len(token) > SIZE_LIMIT_BYTES or not TOKEN_SHAPE.fullmatch(token):
            raise InvalidToken("not a signed token of bearable size")
        header, *_ = [_decode_segment(segment) for segment in token.split(".")]
        kid = _check_header(_parse_object(header))
        key = self._keys.find(kid)
        if key is None:
            raise InvalidToken("kid is not published")
        # The list has the key's own algorithm and no other: a relabelled header does not match it.
        try:
            payload = jwt.PyJWS().decode(token, key=key.jwk, algorithms=[key.algorithm])
        except jwt.PyJWTError as error:
            raise InvalidToken("signature does not hold") from error
        access = self._check_claims(_parse_object(payload))
        if not self._standing.holds(token, seconds_left=access.expires_at - self._now()):
            raise InvalidToken("issuer no longer stands by it")
        return access

    def _check_claims(self, claims: dict[str, Any]) -> AccessToken:
        """Check every claim this server relies on (RFC 9068 section 2.2 and 4)."""
        now = self._now()
        if claims.get("iss") != self._issuer:
            raise InvalidToken("wrong issuer")
        if claims.get("aud") != self._audience:  # one string: a list makes it somebody else's token too
            raise InvalidToken("wrong audience")
        expires_at, issued_at = _numeric_date(claims, "exp"), _numeric_date(claims, "iat")
        if now >= expires_at + self._leeway_seconds:
            raise InvalidToken("expired")
        if issued_at > now + self._leeway_seconds:
            raise InvalidToken("issued in the future")
        if issued_at >= expires_at:
            raise InvalidToken("ends before it begins")
        if "nbf" in claims and _numeric_date(claims, "nbf") > now + self._leeway_seconds:
            raise InvalidToken("not valid yet")
        if "cnf" in claims:
            # RFC 9449 section 7.1: a token bound to a key is no bearer token, and no proof is checked here.
            raise InvalidToken("bound to a key")
        return AccessToken(
            subject=_text(claims, "sub"),
            client_id=_text(claims, "client_id"),
            jti=_text(claims, "jti"),
            patient=_matching(claims, "patient", FHIR_ID_SHAPE),
            purpose_of_use=_text(claims, "purpose_of_use"),
            scope=_matching(claims, "scope", SCOPE_SHAPE),
            expires_at=expires_at,
        )


def _decode_segment(segment: str) -> bytes:
    """Decode BASE64URL without padding, refusing a second spelling of the same bytes (RFC 4648 section 3.5)."""
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (binascii.Error, ValueError) as error:
        raise InvalidToken("not BASE64URL") from error
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment.encode("ascii"):
        raise InvalidToken("not canonical BASE64URL")
    return decoded


def _parse_object(encoded: bytes) -> dict[str, Any]:
    """Parse a JSON object, refusing repeated names, NaN and Infinity, deep nesting and invalid UTF-8."""
    try:
        parsed = json.loads(
            encoded.decode("utf-8"), object_pairs_hook=_unique_names, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise InvalidToken("not JSON") from error
    if not isinstance(parsed, dict):
        raise InvalidToken("not a JSON object")
    return parsed


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name appears twice")
    return names


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError("not a JSON number")


def _check_header(header: dict[str, Any]) -> str:
    """Return the `kid`. `jwk`, `jku` and `x5u` are never looked at: keys come from the configured URL alone."""
    typ = header.get("typ")
    if not isinstance(typ, str) or typ.lower() not in {"at+jwt", "application/at+jwt"}:
        raise InvalidToken("not an access token")  # an ID token or a logout token signed by the same key
    if "crit" in header or "b64" in header:
        raise InvalidToken("has critical extensions")  # RFC 7515 section 4.1.11: none is understood here
    kid = header.get("kid")
    if not isinstance(kid, str) or not KID_SHAPE.fullmatch(kid):
        raise InvalidToken("no usable kid")
    return kid


def _numeric_date(claims: dict[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= LATEST_NUMERIC_DATE:  # bool is an int to isinstance
        raise InvalidToken(f"{name} is not a time")
    return value


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= 255
        or not value.isascii()
        or not value.isprintable()
    ):
        raise InvalidToken(f"no usable {name}")
    return value


def _matching(claims: dict[str, Any], name: str, shape: re.Pattern[str]) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise InvalidToken(f"no usable {name}")
    return value
