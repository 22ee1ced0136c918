"""Requests to an issuer that is a WSGI application in this very process, where this server is mounted beside it.

Over a socket they would need a second thread of the same web server, and a burst of requests here that holds every
thread would wait for one until the time-out. Invariant: what the issuer gets is the request that `outbound.ask` sends,
through its whole application; only the socket is left out. The time limit is the issuer's own.
"""

import http.client
import io
import sys
import urllib.parse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from .outbound import Answer, Ask, Unreachable, require_http

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


def asker(application: "WSGIApplication") -> Ask:
    """Return an `ask` that calls `application` (PEP 3333) in the thread of the caller."""

    def ask(url: str, *, body: bytes | None = None, timeout_seconds: float, size_limit: int) -> Answer:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            started[:] = [(status, headers)]
            return lambda _: None

        chunks = application(_environ(url, body), start_response)
        try:
            received = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()  # lets the issuer give back its database connection
        if len(received) > size_limit:
            raise Unreachable("the issuer's answer is too large")
        [(status, pairs)] = started
        headers = http.client.HTTPMessage()  # what a socket's answer has: names in any letter case
        for name, value in pairs:
            headers[name] = value
        return Answer(int(status.split()[0]), cast("Mapping[str, str]", headers), received)

    return ask


def _environ(url: str, body: bytes | None) -> dict[str, Any]:
    parts = urllib.parse.urlsplit(require_http(url))
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET" if body is None else "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": parts.path,
        "QUERY_STRING": "",
        "SERVER_NAME": parts.hostname,
        "SERVER_PORT": str(parts.port or (443 if parts.scheme == "https" else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": parts.netloc,
        "HTTP_ACCEPT": "application/json",
        "CONTENT_LENGTH": str(len(body or b"")),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": io.BytesIO(body or b""),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if body is not None:
        environ["CONTENT_TYPE"] = "application/json"
    return environ
