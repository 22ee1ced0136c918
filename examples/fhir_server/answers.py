"""What goes back over the wire: FHIR JSON answers, and refusals as OperationOutcome (FHIR R4, RFC 6750 section 3).

Invariants: every answer is `no-store` and `nosniff`; a refusal is one of the fixed sentences below and echoes nothing
of the request; refusals that could tell whether a patient exists are the same object for both cases.
"""

import http
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HEADERS_OF_EVERY_ANSWER = (
    ("Content-Type", "application/fhir+json"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
)


@dataclass(frozen=True)
class Answer:
    """One HTTP answer whose body is a FHIR resource."""

    status: int
    resource: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...] = ()

    def status_line(self) -> str:
        """Return for example "404 Not Found"."""
        return f"{self.status} {http.HTTPStatus(self.status).phrase}"

    def body(self) -> bytes:
        """Return the resource as UTF-8 JSON."""
        return json.dumps(self.resource, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


class Refusal(Exception):
    """A request that gets no resource. `log_phrase` goes to our log only and must name no person and no input."""

    def __init__(
        self, status: int, code: str, diagnostics: str, *headers: tuple[str, str], log_phrase: str = ""
    ) -> None:
        super().__init__(log_phrase or diagnostics)
        self.answer = Answer(status, operation_outcome(code, diagnostics), headers)


def operation_outcome(code: str, diagnostics: str) -> dict[str, Any]:
    """Return an OperationOutcome; `code` is of http://hl7.org/fhir/issue-type."""
    issue = {"severity": "error", "code": code, "diagnostics": diagnostics}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def invalid_token(log_phrase: str) -> Refusal:
    """401, the same for every way in which a token is missing or bad."""
    challenge = ("WWW-Authenticate", 'Bearer error="invalid_token"')
    return Refusal(401, "login", "A valid access token is required.", challenge, log_phrase=log_phrase)


def insufficient_scope(resource_type: str, permission: str) -> Refusal:
    """403 for want of a scope, naming the one that would do."""
    needed = f"patient/{resource_type}.{permission}"
    challenge = ("WWW-Authenticate", f'Bearer error="insufficient_scope", scope="{needed}"')
    return Refusal(403, "forbidden", f"The token's scope does not allow {needed}.", challenge)


def other_patient() -> Refusal:
    """403 for any patient but the token's, decided before looking whether there is one."""
    challenge = ("WWW-Authenticate", 'Bearer error="insufficient_scope"')
    return Refusal(403, "forbidden", "The token does not open this patient's record.", challenge)


def not_found() -> Refusal:
    """404 for what is not there, and for what the token's scope or patient does not reach."""
    return Refusal(404, "not-found", "There is no such resource here.")


def method_not_allowed() -> Refusal:
    """405: this server is read-only."""
    return Refusal(405, "not-supported", "Only GET and HEAD are supported.", ("Allow", "GET, HEAD"))


def invalid_request(diagnostics: str) -> Refusal:
    """400 with a fixed sentence."""
    return Refusal(400, "invalid", diagnostics)


def too_long() -> Refusal:
    """414 for a query beyond what any search here can mean."""
    return Refusal(414, "too-long", "The query is too long.")


def issuer_away(log_phrase: str) -> Refusal:
    """503: whether the token holds cannot be asked, and so it is not believed."""
    return Refusal(
        503,
        "transient",
        "The token cannot be checked at the moment.",
        ("Retry-After", "2"),
        log_phrase=log_phrase,
    )
