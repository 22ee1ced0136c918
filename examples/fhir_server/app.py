"""The WSGI application: a read-only FHIR R4 server that lets a token see the one patient it names.

Each request goes the same way: method, route, token, query, scope, patient, resource. Invariants: everything but
`/metadata` needs a token; another patient is refused before anything is looked up, so the answer is the same whether
or not there is one; the log has route templates and fixed phrases, never a path, a query, a token or a name; a fault
of ours is a 500 with a request id and nothing else, whatever a client sends.
"""

import logging
import os
import re
import secrets
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .answers import (
    HEADERS_OF_EVERY_ANSWER,
    Answer,
    Refusal,
    insufficient_scope,
    invalid_token,
    issuer_away,
    method_not_allowed,
    not_found,
    operation_outcome,
    other_patient,
)
from .capability import capability_statement
from .compartments import CompartmentOf
from .keyset import PublishedKeys
from .outbound import Ask, Unreachable, ask, require_http
from .patients_file import PatientsFile
from .scopes import allowance
from .search import NO_PARAMETERS, PARAMETERS, READABLE_TYPES, read_parameters, search
from .standing import Standing
from .tokens import AccessToken, InvalidToken, TokenValidator

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger("fhir_server")

PATH_SHAPE = re.compile(r"/([A-Z][A-Za-z]{1,40})(?:/([A-Za-z0-9\-.]{1,64}))?")
BEARER_SHAPE = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*)")  # RFC 6750 section 2.1


@dataclass(frozen=True)
class Route:
    """Where a request goes. `template` is what the log may say of the path."""

    template: str
    resource_type: str = ""
    id: str | None = None


def route_of(path: str) -> Route:
    """Return the route of a PATH_INFO relative to the mount; template "unknown" for what is not served."""
    if path == "/metadata":
        return Route("/metadata")
    found = PATH_SHAPE.fullmatch(path)
    if found and found[2] is None and found[1] in PARAMETERS:
        return Route(f"/{found[1]}", found[1])
    if found and found[2] is not None and found[1] in READABLE_TYPES:
        return Route(f"/{found[1]}/{{id}}", found[1], found[2])
    return Route("unknown")


class FhirServer:
    """The application; build it with `create_application`."""

    def __init__(
        self, *, base_url: str, issuer: str, validator: TokenValidator, resources: CompartmentOf
    ) -> None:
        self._base_url = base_url
        self._validator = validator
        self._resources = resources
        self._capability_statement = capability_statement(base_url=base_url, issuer=issuer)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        started_at = time.perf_counter()
        request_id = secrets.token_hex(8)
        method = environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in {"GET", "HEAD"} else "other"
        route = route_of(environ.get("PATH_INFO", ""))
        try:
            answer, remark = self._answer(method, route, environ)
        except Refusal as refusal:
            answer, remark = refusal.answer, str(refusal)
        except Exception:
            answer, remark = _fault(request_id)
        milliseconds = (time.perf_counter() - started_at) * 1000
        logger.info(
            "%s %s %d %.0f ms %s: %s", method, route.template, answer.status, milliseconds, request_id, remark
        )
        body = answer.body()
        headers = [*HEADERS_OF_EVERY_ANSWER, *answer.headers]
        headers += [("X-Request-Id", request_id), ("Content-Length", str(len(body)))]
        start_response(answer.status_line(), headers)
        return [] if method == "HEAD" else [body]

    def _answer(self, method: str, route: Route, environ: "WSGIEnvironment") -> tuple[Answer, str]:
        """Return the answer and a remark for the log. Raises Refusal."""
        if method == "other":
            raise method_not_allowed()
        if route.template == "/metadata":
            return Answer(200, self._capability_statement, (("Access-Control-Allow-Origin", "*"),)), "public"
        token = self._authenticate(environ.get("HTTP_AUTHORIZATION"))
        if not route.resource_type:
            raise not_found()
        query_string = environ.get("QUERY_STRING", "")
        answer = (
            self._read(route, token, query_string) if route.id else self._search(route, token, query_string)
        )
        return answer, f"jti {token.jti} for {token.purpose_of_use}"

    def _authenticate(self, authorization: str | None) -> AccessToken:
        """Return what the bearer token says. Raises Refusal: 401, or 503 when the issuer cannot be asked."""
        if authorization is None:
            raise invalid_token("no token")
        found = BEARER_SHAPE.fullmatch(authorization)
        if not found:
            raise invalid_token("no bearer token")
        try:
            return self._validator.validate(found[1])
        except InvalidToken as error:
            raise invalid_token(str(error)) from error
        except Unreachable as error:
            raise issuer_away(str(error)) from error

    def _read(self, route: Route, token: AccessToken, query_string: str) -> Answer:
        read_parameters(query_string, NO_PARAMETERS)
        allowed = allowance(token.scope, route.resource_type, "r")
        if allowed is None:
            raise insufficient_scope(route.resource_type, "r")
        if route.resource_type == "Patient" and route.id != token.patient:
            raise other_patient()
        resource = self._resources(token.patient).get(route.resource_type, {}).get(route.id or "")
        if resource is None or not allowed.covers(resource):
            raise not_found()
        return Answer(200, resource)

    def _search(self, route: Route, token: AccessToken, query_string: str) -> Answer:
        parameters = read_parameters(query_string, PARAMETERS[route.resource_type])
        allowed = allowance(token.scope, route.resource_type, "s")
        if allowed is None:
            raise insufficient_scope(route.resource_type, "s")
        bundle = search(
            self._resources(token.patient),
            route.resource_type,
            parameters,
            patient=token.patient,
            allowed=allowed,
            base_url=self._base_url,
        )
        return Answer(200, bundle)


def _fault(request_id: str) -> tuple[Answer, str]:
    """Answer for a fault of ours; log where it was, and not its text, which may hold what the client sent."""
    kind, _, traceback = sys.exc_info()
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    place = (
        f"{Path(traceback.tb_frame.f_code.co_filename).name}:{traceback.tb_lineno}"
        if traceback
        else "nowhere"
    )
    name = kind.__name__ if kind else "nothing"
    logger.error("fault %s in %s, request %s", name, place, request_id)
    return Answer(
        500, operation_outcome("exception", f"A fault of this server: request {request_id}.")
    ), "fault"


def create_application(
    *,
    base_url: str,
    issuer: str,
    jwks_url: str,
    verify_url: str,
    resources: CompartmentOf,
    verify_cache_seconds: float = 0.0,
    timeout_seconds: float = 2.0,
    leeway_seconds: float = 5.0,
    now: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
    ask: Ask = ask,
) -> "WSGIApplication":
    """Build the application.

    `base_url` is both the address in links and the audience a token must have, without a trailing slash.
    `resources` is called for each request with the token's patient and returns what there is of theirs.
    `verify_cache_seconds` is how long a revoked token may still be believed; `timeout_seconds` bounds each request
    to the issuer; `now` is the time of day for claims and `clock` a monotonic one for caches, both in seconds;
    `ask` makes the requests to the issuer.
    Raises ValueError for a URL that is not absolute http(s).
    """
    for url in (base_url, issuer, jwks_url, verify_url):
        parts = urllib.parse.urlsplit(require_http(url))
        if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
            logger.warning(
                "%s is plain HTTP beyond this machine: tokens and keys can be read and replaced", url
            )
    validator = TokenValidator(
        issuer=issuer,
        audience=base_url,
        keys=PublishedKeys(jwks_url, timeout_seconds=timeout_seconds, clock=clock, ask=ask),
        standing=Standing(
            verify_url,
            timeout_seconds=timeout_seconds,
            cache_seconds=verify_cache_seconds,
            clock=clock,
            ask=ask,
        ),
        leeway_seconds=leeway_seconds,
        now=now,
    )
    return FhirServer(base_url=base_url, issuer=issuer, validator=validator, resources=resources)


def application_of(issuer: str, base_url: str, patients_path: Path, *, ask: Ask = ask) -> "WSGIApplication":
    """Build the application for a Wardkey at `issuer`, with the synthetic records of the people in a JSON file."""
    return create_application(
        base_url=base_url,
        issuer=issuer,
        jwks_url=f"{issuer}/.well-known/jwks.json",
        verify_url=f"{issuer}/api/token/verify/",
        resources=PatientsFile(patients_path).compartment,
        ask=ask,
    )


def from_environment(*, ask: Ask = ask) -> "WSGIApplication":
    """Build the application from WARDKEY_ISSUER, WARDKEY_FHIR_BASE and WARDKEY_DATA_DIR/demo-patients.json."""
    issuer = os.environ.get("WARDKEY_ISSUER", "http://127.0.0.1:8000").rstrip("/")
    base_url = os.environ.get("WARDKEY_FHIR_BASE", f"{issuer}/fhir").rstrip("/")
    folder = Path(os.environ.get("WARDKEY_DATA_DIR", ".local"))
    return application_of(issuer, base_url, folder / "demo-patients.json", ask=ask)
