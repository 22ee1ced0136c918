"""djangorestframework-simplejwt on the key ring. The only importer of it besides tokens.api.authentication.

Its stock backend signs with one key of the settings and reads no `kid`; ours verifies by tokens.jose and never signs.
Its blacklist app is never installed, and its stock token classes are closed, so that a stray one fails.
"""

import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework_simplejwt import state
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenBackendExpiredToken
from rest_framework_simplejwt.tokens import Token

from tokens import jose


class KeyRingTokenBackend(TokenBackend):
    """Decodes with verify(), for one audience. It signs nothing: what is issued goes through tokens.issuing."""

    def __init__(self, audience: str) -> None:
        self._audience = audience
        super().__init__("ES256", signing_key=None, issuer=settings.WARDKEY_ISSUER, audience=audience)

    def encode(self, payload: dict[str, Any]) -> str:
        raise TokenBackendError("no entry in the ledger, no token")

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        if not verify:
            raise TokenBackendError("unverified decoding is not offered")
        text = token.decode("ascii", "replace") if isinstance(token, bytes) else token
        try:
            return jose.verify(text, typ=jose.ACCESS_TOKEN, audiences=(self._audience,), now=timezone.now())
        except jose.TokenExpired as error:
            raise TokenBackendExpiredToken("expired") from error
        except jose.TokenError as error:
            raise TokenBackendError(str(error)) from error


class ClosedTokenBackend(TokenBackend):
    """What simplejwt's stock classes find: nothing works."""

    def encode(self, payload: dict[str, Any]) -> str:
        raise TokenBackendError("use the key ring")

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        raise TokenBackendError("use the key ring")


class BaseToken(Token):
    """A base token as simplejwt's authentication sees it."""

    token_type = "base"  # noqa: S105
    lifetime = datetime.timedelta(seconds=settings.BASE_TOKEN_SECONDS)
    _token_backend = KeyRingTokenBackend(settings.WARDKEY_ISSUER)

    def verify(self) -> None:
        """Add nothing: jose.verify() has checked the times, the audience and every claim."""


def close_stock_backend() -> None:
    """Make any stock simplejwt class fail closed; called when the app is ready."""
    state.token_backend = ClosedTokenBackend("ES256", signing_key=None)
