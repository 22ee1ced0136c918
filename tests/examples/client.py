"""Requests to the application the way a WSGI server makes them, under the standard library's conformance checker."""

import io
import json
import sys
import wsgiref.validate
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from wsgiref.types import WSGIApplication

Get = Callable[..., "Response"]


@dataclass(frozen=True)
class Response:
    """An answer as it went over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def resource(self) -> dict[str, Any]:
        """Return the FHIR resource in the body."""
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    def same_as(self, other: "Response") -> bool:
        """Say whether nobody could tell the two apart."""
        return self._comparable() == other._comparable()

    def _comparable(self) -> tuple[int, dict[str, str], bytes]:
        return self.status, {n: v for n, v in self.headers.items() if n != "X-Request-Id"}, self.body


def call(
    application: WSGIApplication,
    target: str,
    *,
    token: str | None = None,
    method: str = "GET",
    authorization: str | None = None,
) -> Response:
    """Make one request; `target` is a path with its query as on the request line, but the path already decoded."""
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "/fhir",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "evil.example",  # what a client's Host header would make of it
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "evil.example",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if authorization is not None or token is not None:
        environ["HTTP_AUTHORIZATION"] = authorization if authorization is not None else f"Bearer {token}"
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda _: None

    chunks = wsgiref.validate.validator(application)(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        chunks.close()  # type: ignore[attr-defined]
    [(status, headers)] = started
    assert len({name for name, _ in headers}) == len(headers)
    return Response(int(status.split()[0]), dict(headers), body)
