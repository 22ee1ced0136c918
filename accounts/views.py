"""The clinician's home: whom they may see, why and until when, and their recent sign-ins.

Names leave the server here, so the ledger says so first; no record number and no name is ever part of an address,
which is why search and paging are POST.
"""

import datetime
import uuid
from dataclasses import dataclass
from typing import cast

from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts import user_agents
from accounts.access import reach
from accounts.models import User
from audit import ledger
from audit.events import EventType
from audit.models import Event

RECORD_NUMBER_LENGTH = 64
SIGN_INS_SHOWN = 8
SOON = datetime.timedelta(days=14)


@dataclass(frozen=True, slots=True)
class SignInShown:
    """A past sign-in as its owner sees it."""

    at: datetime.datetime
    successful: bool
    by_application: bool
    remote_addr: str
    device: str


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def home(request: HttpRequest) -> HttpResponse:
    """Show the signed-in person's patients and sign-ins."""
    user, now = cast(User, request.user), timezone.now()
    record_number = request.POST.get("q", "").strip()[:RECORD_NUMBER_LENGTH]
    page = reach.patients_of(user=user, now=now, record_number=record_number, after=_position(request))
    _record_what_is_shown(user, page, searched=bool(record_number), now=now)
    sign_ins = _sign_ins(user)
    before = [sign_in for sign_in in sign_ins if sign_in.successful and not sign_in.by_application][1:2]
    return render(
        request,
        "accounts/home.html",
        {
            "page": page,
            "q": record_number,
            "sign_ins": sign_ins,
            "last_sign_in": before[0] if before else None,
            "ends_soon": user.ends_at is not None and user.ends_at <= now + SOON,
            "roles_in_force": [held.role.name for held in user.roles_in_force_at(now)],
        },
    )


def _position(request: HttpRequest) -> uuid.UUID | None:
    """Return the key that the wanted page begins after. Raises BadRequest."""
    if not (text := request.POST.get("after", "")):
        return None
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise BadRequest from error


def _record_what_is_shown(user: User, page: reach.Page, *, searched: bool, now: datetime.datetime) -> None:
    """Record that names were shown, and whose when it was one patient that was looked for. No entry, no page."""
    only = str(page.patients[0].patient.pk) if searched and page.patients else ""
    with transaction.atomic():
        ledger.record(
            EventType.PATIENT_SEARCHED,
            by=user,
            patient=only,
            details={"page": "home", "by_record_number": searched, "shown": len(page.patients)},
            now=now,
        )


def _sign_ins(user: User) -> list[SignInShown]:
    """Return the latest sign-ins and failures, at the form and by an application."""
    at_form = Event.objects.filter(
        event__in=[EventType.SIGN_IN, EventType.SIGN_IN_FAILED], object_pk=str(user.pk)
    )
    by_application = Event.objects.filter(event=EventType.BASE_TOKEN_ISSUED, actor_ref=str(user.pk))
    events = [*at_form[:SIGN_INS_SHOWN], *by_application[:SIGN_INS_SHOWN]]
    events.sort(key=lambda event: event.pk, reverse=True)
    return [
        SignInShown(
            event.recorded_at,
            event.event != EventType.SIGN_IN_FAILED,
            event.event == EventType.BASE_TOKEN_ISSUED,
            event.remote_addr or "",
            user_agents.describe(event.user_agent),
        )
        for event in events[:SIGN_INS_SHOWN]
    ]
