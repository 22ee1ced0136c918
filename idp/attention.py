"""What needs attention: the cards on the portal's home, each for those alone who may open what it speaks of.

However large the tables, a card reads a handful of rows through an index and counts no further than it shows ("100+").
Numbers of the ledger are no reading of the ledger: they name nobody.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from django.contrib.admin.utils import quote
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from accounts.admin.patient_names import patient_shown
from accounts.models import PatientAccessGrant, RoleAssignment
from audit.events import EventType
from audit.models import Event
from audit.search import Criteria
from tokens import keys
from tokens.models import SigningKey
from tokens.rotation import ALGORITHMS

ROWS = 5
MOST = 100
MOST_EVENTS = 5000
ENDING_WITHIN = datetime.timedelta(days=14)
# The beat looks every minute: a rotation that is later than this is not coming.
ROTATION_LATE = datetime.timedelta(minutes=15)
State = SigningKey.State


def cards(request: HttpRequest, *, now: datetime.datetime) -> dict[str, Any]:
    """Return the figures that this person may see; what is absent has no card."""
    may = request.user.has_perm
    found: dict[str, Any] = {}
    if may("accounts.view_patientaccessgrant"):
        found |= {"requests_waiting": requests_waiting(request), "grants_ending": grants_ending(request, now)}
    if may("accounts.assign_role") and may("accounts.view_roleassignment"):
        found |= {"assignments_waiting": assignments_waiting(request, now)}
    if may("tokens.view_signingkey"):
        found |= signing_keys(now)
    if may("tokens.view_signingkey") or may("audit.view_event"):
        found |= today(now)
    return found


def requests_waiting(request: HttpRequest) -> dict[str, Any]:
    """Return the requests that nobody has decided, those first whose end comes first."""
    waiting = PatientAccessGrant.objects.waiting().order_by("ends_at")
    return _grants(request, waiting, PatientAccessGrant.State.REQUESTED)


def grants_ending(request: HttpRequest, now: datetime.datetime) -> dict[str, Any]:
    """Return the active grants whose end is near; one that has not begun does not end yet."""
    active = PatientAccessGrant.State.ACTIVE
    ending = PatientAccessGrant.objects.filter(
        state=active, ends_at__gt=now, ends_at__lte=now + ENDING_WITHIN
    )
    return _grants(request, ending.order_by("ends_at"), active)


def _grants(request: HttpRequest, grants: QuerySet[PatientAccessGrant], state: str) -> dict[str, Any]:
    shown = grants.select_related("grantee_user", "grantee_care_team", "patient")[:ROWS]
    return {
        "count": at_most(grants[: MOST + 1].count(), MOST),
        "rows": [
            {
                "url": reverse("admin:accounts_patientaccessgrant_change", args=[grant.pk]),
                "grantee_label": grant.grantee_label,
                "patient_label": patient_shown(request, grant.patient),
                "requested_at": grant.requested_at,
                "ends_at": grant.ends_at,
            }
            for grant in shown
        ],
        "url": f"{reverse('admin:accounts_patientaccessgrant_changelist')}?state__exact={state}",
    }


def assignments_waiting(request: HttpRequest, now: datetime.datetime) -> dict[str, Any]:
    """Return the role assignments that this person could approve, the longest waiting first."""
    own = Q(assigned_by=request.user.pk) | Q(user=request.user.pk)
    waiting = RoleAssignment.objects.waiting(now).exclude(own).order_by("assigned_at")
    return {
        "count": at_most(waiting[: MOST + 1].count(), MOST),
        "rows": [
            {
                "url": reverse("admin:accounts_roleassignment_change", args=[assignment.pk]),
                "person_label": assignment.user,
                "role_label": assignment.role,
                "assigned_at": assignment.assigned_at,
                "assigned_by": assignment.assigned_by,
            }
            for assignment in waiting.select_related("user", "role", "assigned_by")[:ROWS]
        ],
        "url": f"{reverse('admin:accounts_roleassignment_changelist')}?state=waiting",
    }


def signing_keys(now: datetime.datetime) -> dict[str, Any]:
    """Return the keys that are in use, and whether each algorithm has one that signs and is not too old."""
    in_use = SigningKey.objects.filter(state__in=[State.ACTIVE, State.PENDING, State.RETIRING])
    ring = list(in_use.defer("private_key", "public_jwk").order_by("algorithm", "-created_at"))
    signs = keys.policy().signs
    ends = {
        key.kid: key.activated_at + signs for key in ring if key.state == State.ACTIVE and key.activated_at
    }
    signing = {key.algorithm for key in ring if key.kid in ends and ends[key.kid] + ROTATION_LATE > now}
    return {
        "signing_keys_ok": signing.issuperset(ALGORITHMS),
        "signing_keys": [
            {
                "url": reverse("admin:tokens_signingkey_change", args=[quote(key.kid)]),
                "algorithm": key.algorithm,
                "kid_short": key.kid[:8],
                "state": key.state,
                "state_label": key.get_state_display(),
                "age_days": (now - key.created_at).days,
                "next_rotation_at": ends.get(key.kid),
            }
            for key in ring
        ],
    }


def today(now: datetime.datetime) -> dict[str, Any]:
    """Return how many sign-ins and tokens were refused since midnight, and the former by the hour."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    low, high = Criteria(since=midnight).bounds()
    since = Event.objects.filter(recorded_at__gte=midnight, id__range=(low, high)).order_by("-id")
    refused = since.filter(event=EventType.TOKEN_REFUSED)[: MOST_EVENTS + 1].count()
    failed = since.filter(event=EventType.SIGN_IN_FAILED).values_list("recorded_at", flat=True)
    times = list(failed[: MOST_EVENTS + 1])
    return {
        "failed_sign_ins_today": at_most(len(times), MOST_EVENTS),
        "failed_sign_ins_by_hour": by_hour(times),
        "refusals_today": at_most(refused, MOST_EVENTS),
    }


def by_hour(times: Sequence[datetime.datetime]) -> list[int]:
    """Return how many of these times are in each of the 24 hours."""
    counts = [0] * 24
    for time in times:
        counts[time.hour] += 1
    return counts


def at_most(count: int, most: int) -> int | str:
    """Return a count that went no further than one past `most`, for people."""
    return f"{most:,}+" if count > most else count
