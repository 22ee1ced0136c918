"""The clinician's home: whom they may see, why and until when, and their recent sign-ins."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accounts.access import reach
from accounts.models import User
from audit.events import EventType
from audit.models import Event


@dataclass(frozen=True, slots=True)
class SignInShown:
    """A past sign-in as its owner sees it."""

    at: Any
    successful: bool
    remote_addr: str
    user_agent: str


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Show the signed-in person's patients and sign-ins."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101 (login_required)
    now = timezone.now()
    reached = reach.patients_of(user=user, now=now, record_number=request.POST.get("q", ""))
    sign_ins = Event.objects.filter(
        event__in=[EventType.SIGN_IN, EventType.SIGN_IN_FAILED], object_pk=str(user.pk)
    )[:10]
    shown = [
        SignInShown(e.recorded_at, e.event == EventType.SIGN_IN, e.remote_addr or "", e.user_agent)
        for e in sign_ins
    ]
    return render(
        request,
        "accounts/home.html",
        {
            "patients": reached[: reach.PAGE],
            "patients_more": len(reached) > reach.PAGE,
            "sign_ins": shown,
            "last_sign_in": shown[1] if len(shown) > 1 else None,
            "q": request.POST.get("q", ""),
            "roles_in_force": [a.role.name for a in user.roles_in_force_at(now)],
        },
    )
