"""allauth's policy points: nobody signs themselves up, and a throttled sign-in leaves its mark in the ledger."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest

from accounts.models import User
from audit import ledger
from audit.events import EventType, Outcome
from crypto.keyed_hash import blind_index


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """The account policy of Wardkey."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """Authenticate under the one spelling of a username, so that the throttle counts all spellings as one."""
        if username := credentials.get("username"):
            credentials["username"] = User.normalize_username(username)
        return super().authenticate(request, **credentials)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            super().pre_authenticate(request, **credentials)
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
