"""Bearer authentication with a base token (RFC 6750 section 2.1), without a query: the operation asks for the facts."""

from dataclasses import dataclass
from typing import Any

from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import TokenError

from audit import context
from tokens.api.simplejwt import BaseToken
from tokens.errors import InvalidToken


@dataclass(frozen=True, slots=True)
class TokenPrincipal:
    """Whoever a verified base token speaks of."""

    claims: dict[str, Any]
    is_authenticated: bool = True

    @property
    def pk(self) -> str:
        """The subject."""
        return str(self.claims["sub"])


class BaseTokenAuthentication(JWTAuthentication):
    """Accepts `Authorization: Bearer <base token>` and nothing else."""

    def authenticate(self, request: Any) -> Any:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        scheme, _, raw = header.partition(" ")
        if scheme.lower() != "bearer" or not raw or " " in raw:
            raise InvalidToken("malformed_authorization")
        try:
            token = BaseToken(raw)
        except TokenError as error:
            raise InvalidToken(str(error.__cause__ or error)[:64]) from error
        context.identify(
            actor_ref=token.payload["sub"][:64],
            client_ref=token.payload["client_id"][:64],
            session_ref=str(token.payload.get("sid", ""))[:64],
        )
        return TokenPrincipal(token.payload), token

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"
