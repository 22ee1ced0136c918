"""One shape for every refusal: {"code", "detail"}; each refusal is in the ledger, in a transaction of its own."""

from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from rest_framework import exceptions
from rest_framework.response import Response

from audit import ledger
from audit.events import EventType, Outcome
from tokens import errors
from tokens.errors import OAuthError

TRANSLATED: tuple[tuple[type[Exception], type[OAuthError]], ...] = (
    (exceptions.NotAuthenticated, errors.NotAuthenticated),
    (exceptions.AuthenticationFailed, errors.InvalidToken),
    (exceptions.MethodNotAllowed, errors.MethodNotAllowed),
    (exceptions.UnsupportedMediaType, errors.UnsupportedMediaType),
    (exceptions.ParseError, errors.InvalidRequest),
    (exceptions.APIException, errors.InvalidRequest),
)


def answer(raised: Exception, context: dict[str, Any]) -> Response | None:
    """Return the answer to a refusal and record it; None (a bug, a 500 with a request id) for anything else."""
    if isinstance(raised, (OperationalError, InterfaceError)):
        return _response(errors.TemporarilyUnavailable())
    refusal = _refusal(raised)
    if refusal is None:
        return None
    request = context["request"]
    match = request.resolver_match
    try:
        with transaction.atomic():
            ledger.record(
                EventType.TOKEN_REFUSED,
                outcome=Outcome.REFUSED,
                client=refusal.client[:64],
                session=refusal.session[:64],
                reason_code=refusal.reason[:64],
                details={
                    "endpoint": match.url_name if match else "",
                    "subject": refusal.subject,
                    "code": refusal.code,
                },
            )
    except (OperationalError, InterfaceError):
        return _response(errors.TemporarilyUnavailable())
    return _response(refusal)


def _refusal(raised: Exception) -> OAuthError | None:
    if isinstance(raised, OAuthError):
        return raised
    return next((ours() for theirs, ours in TRANSLATED if isinstance(raised, theirs)), None)


def _response(refusal: OAuthError) -> Response:
    response = Response({"code": refusal.code, "detail": refusal.detail}, status=refusal.status)
    if refusal.status == 401:
        bearer = "" if refusal.code == "not_authenticated" else ' error="invalid_token"'
        response["WWW-Authenticate"] = f"Bearer{bearer}"
    if refusal.status == 503:
        response["Retry-After"] = "5"
    return response
