"""Sign-ins, failures and sign-outs into the ledger, whichever door they came through.

The typed name of a failed sign-in is kept only as a keyed hash: people type passwords there. The look-up that tells
whether somebody has that name runs for known and unknown names alike, so that both take the same work.
"""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction

from accounts.models import User
from audit import ledger
from audit.events import EventType, Outcome
from crypto.keyed_hash import blind_index


def connect() -> None:
    """Subscribe to Django's signals; allauth fires them too."""
    user_logged_in.connect(record_sign_in, dispatch_uid="wardkey.sign_in")
    user_login_failed.connect(record_failure, dispatch_uid="wardkey.sign_in_failed")
    user_logged_out.connect(record_sign_out, dispatch_uid="wardkey.sign_out")


def record_sign_in(sender: Any, request: Any, user: User, **kwargs: Any) -> None:
    """Record a session's start; if the ledger cannot be written, the sign-in fails."""
    ledger.record(
        EventType.SIGN_IN, by=user, obj=user, object_label=user.username, details={"method": "form"}
    )


def record_failure(sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any) -> None:
    """Record a refused sign-in in a transaction of its own."""
    typed = str(credentials.get("username", ""))[:150].replace("\x00", "")
    user = User.objects.filter(username=User.normalize_username(typed)).first()
    with transaction.atomic():
        ledger.record(
            EventType.SIGN_IN_FAILED,
            outcome=Outcome.REFUSED,
            obj=user,
            object_label=user.username if user else "",
            reason_code="known_user" if user else "unknown_user",
            details={"username_hash": blind_index("username", typed).hex()},
        )


def record_sign_out(sender: Any, request: Any, user: User | None, **kwargs: Any) -> None:
    """Record a session's end."""
    if user is not None:
        ledger.record(EventType.SIGN_OUT, by=user, obj=user, object_label=user.username)
