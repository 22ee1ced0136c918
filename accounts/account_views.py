"""The account pages: allauth's views, where a refusal must be recorded or a change and its entry belong together."""

from typing import Any, cast

from allauth.account import views as allauth_views
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods

from accounts import user_agents
from accounts.models import User
from accounts.operations import sessions
from audit import ledger, refusals
from audit.events import EventType, Outcome
from audit.refusals import Refused

TOO_MANY = 429
MAX_BIGINT = 2**63 - 1


class RecordsThrottling:
    """Records it that a page shut somebody out for their many attempts."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        if response.status_code == TOO_MANY:
            match = request.resolver_match
            with transaction.atomic():
                ledger.record(
                    EventType.SIGN_IN_FAILED,
                    outcome=Outcome.SERIOUS,
                    reason_code="too_many_attempts",
                    details={"page": match.view_name if match else ""},
                )
            response["Retry-After"] = "60"
        return response


@method_decorator(login_not_required, name="dispatch")
class SignIn(RecordsThrottling, allauth_views.LoginView):  # type: ignore[misc]
    """The sign-in form."""

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        return response


class Reauthentication(RecordsThrottling, allauth_views.ReauthenticateView):  # type: ignore[misc]
    """A fresh proof; a wrong password is recorded by the failure's own signal, as at the sign-in form."""


class PasswordChange(RecordsThrottling, allauth_views.PasswordChangeView):  # type: ignore[misc]
    """A new password for oneself. The old one is asked for; the session ends with it, as all others do."""

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        return response

    def form_invalid(self, form: Any) -> HttpResponse:
        codes = [error.code for errors in form.errors.as_data().values() for error in errors]
        refused = Refused(codes[0] or "invalid", "The password was not changed.")
        user = cast(User, self.request.user)
        refusals.record(refused, operation="password_change", by=user, obj=user)
        response: HttpResponse = super().form_invalid(form)
        return response


@require_http_methods(["GET", "HEAD", "POST"])
def session_list(request: HttpRequest) -> HttpResponse:
    """Show where one is signed in, and end what is not wanted: the one named by `end`, or all but this one."""
    user, current = cast(User, request.user), request.session.session_key or ""
    if request.method == "POST":
        only = _session_number(request.POST.get("end", ""))
        ended = sessions.end_elsewhere(user=user, keep=current, only=only, now=timezone.now())
        messages.success(request, f"{ended} session{'s' if ended != 1 else ''} ended.")
        return redirect("usersessions_list")
    shown = [
        {"row": row, "device": user_agents.describe(row.user_agent), "current": row.session_key == current}
        for row in UserSession.objects.purge_and_list(user)
    ]
    shown.sort(key=lambda one: (not one["current"], -one["row"].created_at.timestamp()))
    return render(request, "usersessions/usersession_list.html", {"sessions": shown})


def _session_number(text: str) -> int | None:
    """Return the number of a session, None for all of them. Raises BadRequest."""
    if text == "others":
        return None
    if text.isascii() and text.isdigit() and int(text[:20]) <= MAX_BIGINT:
        return int(text[:20])
    raise BadRequest
