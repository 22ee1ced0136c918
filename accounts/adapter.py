"""allauth's policy points: nobody signs themselves up, and what it refuses or changes leaves its mark in the ledger."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.internal import ratelimit
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.models import User
from audit import context, ledger
from audit.events import EventType, Outcome
from crypto.keyed_hash import blind_index


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """The account policy of Wardkey."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_safe_url(self, url: str) -> bool:
        """Return whether a redirect may go there: a path of our own, never a host, not even our own by name."""
        return url.startswith("/") and url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def is_ajax(self, request: HttpRequest) -> bool:
        """Answer forms with pages alone: programs have the token API."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that the ledger names, so that throttle and ledger mean the same client."""
        if address := context.current().remote_addr:
            return address
        raise PermissionDenied

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """Authenticate under the one spelling of a username, so that the throttle counts all spellings as one."""
        if username := credentials.get("username"):
            credentials["username"] = User.normalize_username(username)
        return super().authenticate(request, **credentials)

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Count guesses for an account from each address on its own: nobody locks a colleague out from elsewhere."""
        return f"{self._account_key(request, **credentials)} from {self.get_client_ip(request)}"

    def _account_key(self, request: HttpRequest, **credentials: Any) -> str:
        key: str = super()._get_login_attempts_cache_key(request, **credentials)
        return key

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            super().pre_authenticate(request, **credentials)
            self._count_guess_from_anywhere(request, **credentials)
        except ValidationError:
            typed = str(credentials.get("username", ""))[:150]
            with transaction.atomic():
                ledger.record(
                    EventType.SIGN_IN_FAILED,
                    outcome=Outcome.SERIOUS,
                    reason_code="too_many_attempts",
                    details={"username_hash": blind_index("username", typed).hex()},
                )
            raise

    def _count_guess_from_anywhere(self, request: HttpRequest, **credentials: Any) -> None:
        """Bound the guesses for an account whatever addresses they come from. Raises ValidationError."""
        anywhere = ratelimit.consume(
            request,
            app="allauth.account",
            action="login_failed_anywhere",
            key=self._account_key(request, **credentials),
        )
        if not anywhere:
            raise self.validation_error("too_many_login_attempts")
        self._login_failed_rl_usage.usage += (
            anywhere.usage
        )  # given back, like the other, when the password is right

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("account_login")

    @transaction.atomic
    def set_password(self, user: Any, password: str) -> None:
        """Give a user the password of their own choice; every other session of theirs ends with the old one."""
        user.set_password(password)
        user.save(update_fields=["password"])
        ledger.record(
            EventType.PASSWORD_CHANGED,
            by=user,
            obj=user,
            object_label=user.username,
            action=1,
            details={"method": "own"},
        )
