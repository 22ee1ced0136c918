"""The issuer's public keys, by `kid`: fetched from one configured URL, kept as long as its Cache-Control says.

RFC 7517, RFC 8725 section 3.1 and 3.10, RFC 9111 (max-age, Age). The algorithm belongs to the key: it follows from
`kty`, `crv` and `alg` of the published JWK and never from a token. Invariants: the URL is the configured one whatever
a token says; at most one fetch a second, whatever is asked and whether or not it succeeds; one fetch at a time; a key
the issuer no longer publishes is unknown once max-age has passed. A key set that went stale while the issuer is away
is not used: the request gets a 503 and not a guess.
"""

import base64
import binascii
import json
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from .outbound import Ask, Unreachable, ask, require_http

SIZE_LIMIT_BYTES = 65_536
DEFAULT_MAX_AGE_SECONDS = 300
LONGEST_MAX_AGE_SECONDS = 86_400
SECONDS_BETWEEN_FETCHES = 1.0
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True)
class PublishedKey:
    """A public key with the one algorithm it may verify."""

    algorithm: str
    jwk: jwt.PyJWK


@dataclass(frozen=True)
class _Snapshot:
    keys: Mapping[str, PublishedKey]
    fresh_until: float


class PublishedKeys:
    """The key set of one issuer. Safe to share between threads. `clock` returns seconds that never go back."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        ask: Ask = ask,
    ) -> None:
        self._url = require_http(url)
        self._ask = ask
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._snapshot = _Snapshot({}, -math.inf)
        self._next_fetch_at = -math.inf
        self._lock = threading.Lock()

    def find(self, kid: str) -> PublishedKey | None:
        """Return the key named `kid`, fetching the set when it is stale or does not name it; None if it is unknown.

        Raises Unreachable when there is no fresh key set to ask.
        """
        snapshot = self._snapshot
        if self._is_fresh(snapshot) and kid in snapshot.keys:
            return snapshot.keys[kid]
        with self._lock:
            snapshot = self._snapshot  # another thread may have fetched while this one waited
            if not self._is_fresh(snapshot) or kid not in snapshot.keys:
                self._fetch()
            if not self._is_fresh(self._snapshot):
                raise Unreachable("no fresh key set")
            return self._snapshot.keys.get(kid)

    def _is_fresh(self, snapshot: _Snapshot) -> bool:
        return self._clock() < snapshot.fresh_until

    def _fetch(self) -> None:
        """Replace the snapshot if a fetch is due; keep the one there is when it fails. Holds the lock."""
        if self._clock() < self._next_fetch_at:
            return
        try:
            answer = self._ask(self._url, timeout_seconds=self._timeout_seconds, size_limit=SIZE_LIMIT_BYTES)
            if answer.status != 200:
                raise Unreachable("the key set is not there")
            keys = parse_key_set(answer.body)
        except (Unreachable, ValueError):
            return  # the caller sees the snapshot's age; the next attempt is a second away
        finally:
            # Counted from the end, so that threads queued behind a slow fetch do not each repeat it.
            self._next_fetch_at = self._clock() + SECONDS_BETWEEN_FETCHES
        lifetime = max(freshness_seconds(answer.headers), SECONDS_BETWEEN_FETCHES)
        self._snapshot = _Snapshot(keys, self._clock() + lifetime)


def freshness_seconds(headers: Mapping[str, str]) -> float:
    """Return how long an answer may be kept: max-age less Age, 0 for no-store and no-cache (RFC 9111 section 4.2)."""
    directives = [part.strip().lower() for part in (headers.get("Cache-Control") or "").split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return 0
    ages = [re.fullmatch(r'max-age="?(\d{1,9})"?', directive) for directive in directives]
    max_age = min((int(found[1]) for found in ages if found), default=DEFAULT_MAX_AGE_SECONDS)
    age = headers.get("Age") or ""
    if re.fullmatch(r"\d{1,9}", age):
        max_age -= int(age)
    return max(0, min(max_age, LONGEST_MAX_AGE_SECONDS))


def parse_key_set(body: bytes) -> dict[str, PublishedKey]:
    """Return the usable keys of a JWK Set by kid; a kid that appears twice names none. Raises ValueError."""
    try:
        document = json.loads(body)
    except RecursionError as error:
        raise ValueError("the key set is nested too deeply") from error
    jwks = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(jwks, list):
        raise ValueError("the key set has no list of keys")
    candidates = [jwk for jwk in jwks if isinstance(jwk, dict) and isinstance(jwk.get("kid"), str)]
    occurrences = Counter(jwk["kid"] for jwk in candidates)
    usable = {jwk["kid"]: parse_key(jwk) for jwk in candidates if occurrences[jwk["kid"]] == 1}
    return {kid: key for kid, key in usable.items() if key is not None}


def parse_key(jwk: Mapping[str, Any]) -> PublishedKey | None:
    """Return the key of one JWK, or None for one that may not verify a signature here."""
    if PRIVATE_MEMBERS & jwk.keys() or jwk.get("use", "sig") != "sig":
        return None
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if jwk.get("kty") == "EC" and jwk.get("crv") == "P-256" and jwk.get("alg", "ES256") == "ES256":
        algorithm, members = "ES256", {"kty", "crv", "x", "y"}
    elif jwk.get("kty") == "RSA" and jwk.get("alg", "RS256") == "RS256" and _has_sound_size(jwk):
        algorithm, members = "RS256", {"kty", "n", "e"}
    else:
        return None
    try:
        return PublishedKey(algorithm, jwt.PyJWK({member: jwk[member] for member in members}, algorithm))
    except (jwt.PyJWTError, KeyError, ValueError, TypeError, AttributeError):
        return None


def _has_sound_size(jwk: Mapping[str, Any]) -> bool:
    """Say whether an RSA modulus has 2048 to 4096 bits: an enormous one makes each verification take seconds."""
    modulus = jwk.get("n")
    if not isinstance(modulus, str) or len(modulus) > 700:
        return False
    try:
        decoded = base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))
    except (binascii.Error, ValueError):
        return False
    return 2048 <= int.from_bytes(decoded).bit_length() <= 4096
