"""One shape for every refusal: {"code", "detail"}; each refusal is in the ledger, in a transaction of its own."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError, transaction
from redis.exceptions import RedisError
from rest_framework import exceptions
from rest_framework.response import Response

from audit import ledger
from audit.events import EventType, Outcome
from tokens import errors
from tokens.errors import OAuthError
from tokens.key_ring import NoSigningKey

# The database is locked or away, or the cache is, or the signing keys are not there yet: nothing was done.
UNAVAILABLE = (OperationalError, InterfaceError, RedisError, NoSigningKey)
RETRY_SECONDS = {errors.TemporarilyUnavailable.status: "5", errors.TooManyAttempts.status: "300"}
TRANSLATED: tuple[tuple[type[Exception], type[OAuthError]], ...] = (
    (exceptions.NotAuthenticated, errors.NotAuthenticated),
    (exceptions.AuthenticationFailed, errors.InvalidToken),
    (exceptions.MethodNotAllowed, errors.MethodNotAllowed),
    (exceptions.UnsupportedMediaType, errors.UnsupportedMediaType),
    (exceptions.ParseError, errors.InvalidRequest),
    (exceptions.APIException, errors.InvalidRequest),
    (PermissionDenied, errors.InvalidRequest),  # allauth's, when the client has no address
)


def answer(raised: Exception, context: dict[str, Any]) -> Response | None:
    """Return the answer to a refusal and record it; None (a bug, a 500 with a request id) for anything else."""
    if isinstance(raised, UNAVAILABLE):
        return _response(errors.TemporarilyUnavailable())
    refusal = _refusal(raised)
    if refusal is None:
        return None
    if refusal.recorded:
        return _response(refusal)
    request = context["request"]
    match = request.resolver_match
    try:
        with transaction.atomic():
            ledger.record(
                EventType.TOKEN_REFUSED,
                outcome=Outcome.REFUSED,
                by=refusal.by,
                client=refusal.client[:64],
                session=refusal.session[:64],
                patient=refusal.patient,
                purpose_of_use=refusal.purpose_of_use[:32],
                reason_code=refusal.reason[:64],
                details={
                    "endpoint": match.url_name if match else "",
                    "subject": refusal.subject,
                    "code": refusal.code,
                },
            )
    except UNAVAILABLE:
        return _response(errors.TemporarilyUnavailable())
    return _response(refusal)


def _refusal(raised: Exception) -> OAuthError | None:
    if isinstance(raised, OAuthError):
        return raised
    return next((ours() for theirs, ours in TRANSLATED if isinstance(raised, theirs)), None)


def _response(refusal: OAuthError) -> Response:
    response = Response({"code": refusal.code, "detail": refusal.detail}, status=refusal.status)
    if refusal.status == 401:
        bearer = ' error="invalid_token"' if refusal.code == errors.InvalidToken.code else ""
        response["WWW-Authenticate"] = f"Bearer{bearer}"
    if refusal.status in RETRY_SECONDS:
        response["Retry-After"] = RETRY_SECONDS[refusal.status]
    return response
