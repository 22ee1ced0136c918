"""Ask the issuer whether a token still holds: `POST {issuer}/api/token/verify/`, 200 for yes, 401 for no.

A signature says what was true when the token was minted; this says what is true now (access revoked, account
suspended, family revoked). Invariant: it fails closed. Whatever is neither a clear yes nor a clear no is `Unreachable`,
which the caller answers with a 503. A positive answer may be kept for a configured time, 0 by default, and never
beyond the token's own end; a no is never kept. The cache knows tokens by their SHA-256 only.
"""

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable
from typing import Final

from .outbound import Ask, Unreachable, ask, require_http

SIZE_LIMIT_BYTES: Final = 16_384
CACHE_ENTRIES: Final = 4_096


class Standing:
    """The issuer's present opinion of a token. Safe to share between threads. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        verify_url: str,
        *,
        timeout_seconds: float = 2.0,
        cache_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        ask: Ask = ask,
    ) -> None:
        self._verify_url = require_http(verify_url)
        self._ask = ask
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._cache_seconds = cache_seconds
        self._held_until: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def holds(self, token: str, *, seconds_left: float) -> bool:
        """Say whether the issuer still stands by `token`, which ends in `seconds_left`. Raises Unreachable."""
        digest = hashlib.sha256(token.encode("ascii")).digest()
        if self._cache_seconds > 0 and self._clock() < self._held_until.get(digest, -math.inf):
            return True
        asked_at = self._clock()
        body = json.dumps({"token": token}).encode("ascii")
        answer = self._ask(
            self._verify_url, body=body, timeout_seconds=self._timeout_seconds, size_limit=SIZE_LIMIT_BYTES
        )
        if answer.status == 401:
            return False
        # 200 with anything but a JSON object is some other page at that address, not the issuer's yes.
        if answer.status != 200 or not _is_json_object(answer.body):
            raise Unreachable("the issuer did not say whether the token holds")
        if self._cache_seconds > 0:
            self._remember(digest, asked_at + min(self._cache_seconds, seconds_left))
        return True

    def _remember(self, digest: bytes, until: float) -> None:
        now = self._clock()
        with self._lock:
            if len(self._held_until) >= CACHE_ENTRIES:
                still_held = {key: end for key, end in self._held_until.items() if end > now}
                self._held_until = still_held if len(still_held) < CACHE_ENTRIES else {}
            self._held_until[digest] = until


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False
