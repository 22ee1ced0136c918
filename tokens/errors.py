"""Refusals on the wire: a registered or stable code, a status, a fixed sentence; the reason is the ledger's alone.

Codes are those of RFC 6749 section 5.2 and RFC 6750 section 3.1 where they fit, so that the OAuth endpoints can say
the same; the sentence never echoes input.
"""

from typing import ClassVar

from audit.context import Person


class OAuthError(Exception):
    """A request that is refused. `reason` says exactly why, for the ledger.

    Args:
        by: whose own token or password was refused, where that is proven.
        subject: whom the refused token speaks of, where somebody else may have presented it.
        recorded: the ledger has this refusal already.
    """

    code: ClassVar[str]
    status: ClassVar[int] = 400
    detail: ClassVar[str]

    def __init__(
        self,
        reason: str = "",
        *,
        by: Person | None = None,
        client: str = "",
        subject: str = "",
        session: str = "",
        patient: str = "",
        purpose_of_use: str = "",
        recorded: bool = False,
    ) -> None:
        super().__init__(self.code)
        self.reason = reason or self.code
        self.by = by
        self.client = client
        self.subject = subject
        self.session = session
        self.patient = patient
        self.purpose_of_use = purpose_of_use
        self.recorded = recorded


class InvalidRequest(OAuthError):
    """RFC 6749 section 5.2: missing, repeated, unknown or malformed parameters."""

    code = "invalid_request"
    detail = "The request is malformed: a parameter is missing, unknown, repeated or of the wrong form."


class RequestTooLarge(OAuthError):
    """RFC 9110 section 15.5.14."""

    code = "request_too_large"
    status = 413
    detail = "The request is larger than this endpoint accepts."


class UnsupportedMediaType(OAuthError):
    """RFC 9110 section 15.5.16."""

    code = "unsupported_media_type"
    status = 415
    detail = "Send application/json in UTF-8."


class InvalidCredentials(OAuthError):
    """A sign-in that failed, for whatever reason: always these words."""

    code = "invalid_credentials"
    status = 401
    detail = "The username or the password is not right, or the account may not sign in."


class TooManyAttempts(OAuthError):
    """RFC 6585 section 4."""

    code = "too_many_attempts"
    status = 429
    detail = "Too many failed attempts. Wait a few minutes and try again."


class InvalidGrant(OAuthError):
    """RFC 6749 section 5.2: a refresh token that is unknown, used up, expired or revoked: always these words."""

    # Diverges: 401 and not 400, because simplejwt's clients sign in again on a 401.
    code = "invalid_grant"
    status = 401
    detail = "The refresh token is not valid. Sign in again."


class InvalidToken(OAuthError):
    """RFC 6750 section 3.1, under the code that simplejwt's clients know."""

    code = "token_not_valid"
    status = 401
    detail = "The token is not valid."


class NotAuthenticated(OAuthError):
    """RFC 6750 section 3: no credentials at all."""

    code = "not_authenticated"
    status = 401
    detail = "Send an access token in the Authorization header as a Bearer token."


class InvalidScope(OAuthError):
    """RFC 6749 section 5.2: a scope that no patient token can have."""

    code = "invalid_scope"
    detail = "The scope is not a list of patient/ scopes such as patient/Observation.rs."


class AccessDenied(OAuthError):
    """No token for this patient: the same words whether or not there is such a patient."""

    code = "access_denied"
    status = 403
    detail = "Access to this patient is not allowed."


class NotFound(OAuthError):
    """RFC 9110 section 15.5.5."""

    code = "not_found"
    status = 404
    detail = "There is nothing at this address."


class MethodNotAllowed(OAuthError):
    """RFC 9110 section 15.5.6."""

    code = "method_not_allowed"
    status = 405
    detail = "This endpoint does not offer that method."


class ServerError(OAuthError):
    """RFC 6749 section 4.1.2.1: a bug. The request id in X-Request-Id finds it in the logs."""

    code = "server_error"
    status = 500
    detail = "The server made a mistake. Report the X-Request-Id of this answer."


class TemporarilyUnavailable(OAuthError):
    """RFC 6749 section 4.1.2.1: the database is locked or away, or no key may sign."""

    code = "temporarily_unavailable"
    status = 503
    detail = "The service is busy. Try again in a moment."
