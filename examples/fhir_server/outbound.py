"""One bounded HTTP request to the issuer: a deadline, a size limit, no redirects, no proxy from the environment.

A token travels in these requests, so nothing here follows a `Location` and nothing logs a body. It must not decide
anything: a status is handed back as it came, and every way of getting no whole answer is `Unreachable`.
"""

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Protocol

CHUNK_BYTES = 16_384


class Unreachable(Exception):
    """The issuer gave no whole answer in time. The text is a fixed phrase, safe to log."""


@dataclass(frozen=True)
class Answer:
    """Status, headers (any letter case) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Ask(Protocol):
    """How a request gets to the issuer: `ask` below, or for an issuer in this process `in_process.asker`."""

    def __call__(
        self, url: str, *, body: bytes | None = None, timeout_seconds: float, size_limit: int
    ) -> Answer: ...


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Leave a redirect to be seen as the 3xx it is: a key set or a token check never moves elsewhere."""


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())


def require_http(url: str) -> str:
    """Return `url` if it is an absolute http(s) URL without user info, query or fragment; else raise ValueError."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is not an absolute http(s) URL")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"{url!r} must have no user info, query or fragment")
    return url


def ask(url: str, *, body: bytes | None = None, timeout_seconds: float, size_limit: int) -> Answer:
    """GET `url`, or POST `body` as JSON to it.

    The time-out bounds connecting and each wait for bytes, and the body as a whole. Raises Unreachable.
    """
    deadline = time.monotonic() + timeout_seconds
    request = urllib.request.Request(require_http(url), data=body, headers={"Accept": "application/json"})  # noqa: S310
    if body is not None:
        request.add_header("Content-Type", "application/json")
    try:
        response = _OPENER.open(request, timeout=timeout_seconds)
    except urllib.error.HTTPError as error:
        response = error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable("no connection to the issuer") from error
    with response:
        try:
            received = _read(response, deadline, size_limit)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable("the issuer's answer broke off") from error
        return Answer(response.status, response.headers, received)


def _read(response: Any, deadline: float, size_limit: int) -> bytes:
    received = bytearray()
    while chunk := response.read1(CHUNK_BYTES):
        received += chunk
        if len(received) > size_limit:
            raise Unreachable("the issuer's answer is too large")
        if time.monotonic() > deadline:
            raise Unreachable("the issuer's answer took too long")
    return bytes(received)
