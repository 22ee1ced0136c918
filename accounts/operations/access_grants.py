"""Patient access grants: request, approve, reject, revoke, settle.

Nobody grants to themselves, alone or through a care team they are in, and nobody approves their own request; the
model's constraints say the same, so that a superuser with a shell cannot either.
"""

import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from accounts.access import scopes as smart
from accounts.models import CareTeam, Patient, PatientAccessGrant, User
from accounts.operations.refusals import Refused, require
from accounts.purposes import PURPOSES_OF_USE
from audit import ledger
from audit.events import EventType

LONGEST = datetime.timedelta(days=366)
State = PatientAccessGrant.State


@transaction.atomic
def request(
    *,
    patient: Patient,
    scopes: str,
    ends_at: datetime.datetime,
    reason: str,
    by: User,
    now: datetime.datetime,
    grantee_user: User | None = None,
    grantee_care_team: CareTeam | None = None,
    purpose_of_use: str = "TREAT",
    starts_at: datetime.datetime | None = None,
) -> PatientAccessGrant:
    """Ask that a clinician or a care team may see a patient. Raises Refused."""
    require(by, "accounts.request_access_grant")
    starts_at = starts_at or now
    if (grantee_user is None) == (grantee_care_team is None):
        raise Refused("one_grantee", "Name either a person or a care team.")
    _refuse_own_interest(by, grantee_user, grantee_care_team, now)
    if grantee_user is not None and not grantee_user.may_act_at(now):
        raise Refused("grantee_not_active", "The person's account is not active.")
    if not reason.strip():
        raise Refused("reason_missing", "Say why.")
    if purpose_of_use not in PURPOSES_OF_USE:
        raise Refused("unknown_purpose", "The purpose of use is not known.")
    if ends_at <= max(starts_at, now):
        raise Refused("ends_before_start", "The end must be in the future and after the start.")
    if ends_at - starts_at > LONGEST:
        raise Refused("too_long", "A grant lasts a year at most.")
    _refuse_unusable_scopes(scopes)
    grant = PatientAccessGrant.objects.create(
        grantee_user=grantee_user,
        grantee_care_team=grantee_care_team,
        patient=patient,
        scopes=" ".join(scopes.split()),
        purpose_of_use=purpose_of_use,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=reason,
        requested_by=by,
        requested_at=now,
    )
    _record(EventType.ACCESS_GRANT_REQUESTED, grant, by=by, now=now, before="", reason=reason, action=0)
    return grant


@transaction.atomic
def approve(
    *, grant: PatientAccessGrant, by: User, now: datetime.datetime, reason: str = ""
) -> PatientAccessGrant:
    """Approve a request; it counts from its start. Locks the row until commit. Raises Refused."""
    require(by, "accounts.approve_access_grant")
    grant = _locked(grant, State.REQUESTED)
    if grant.requested_by_id == by.pk:
        raise Refused("own_request", "Nobody approves a request of their own.")
    _refuse_own_interest(by, grant.grantee_user, grant.grantee_care_team, now)
    if grant.ends_at <= now:
        raise Refused("ended", "The time asked for has passed.")
    grant.approved_by, grant.approved_at, grant.state = by, now, State.APPROVED
    if grant.starts_at <= now:
        grant.activated_at, grant.state = now, State.ACTIVE
    grant.save(update_fields=["approved_by", "approved_at", "activated_at", "state"])
    _record(EventType.ACCESS_GRANT_APPROVED, grant, by=by, now=now, before=State.REQUESTED, reason=reason)
    return grant


@transaction.atomic
def reject(*, grant: PatientAccessGrant, reason: str, by: User, now: datetime.datetime) -> PatientAccessGrant:
    """Turn a request down. Raises Refused."""
    require(by, "accounts.approve_access_grant")
    grant = _locked(grant, State.REQUESTED)
    if not reason.strip():
        raise Refused("reason_missing", "Say why.")
    grant.rejected_by, grant.rejected_at, grant.rejection_reason = by, now, reason
    grant.state = State.REJECTED
    grant.save(update_fields=["rejected_by", "rejected_at", "rejection_reason", "state"])
    _record(EventType.ACCESS_GRANT_REJECTED, grant, by=by, now=now, before=State.REQUESTED, reason=reason)
    return grant


@transaction.atomic
def revoke(*, grant: PatientAccessGrant, reason: str, by: User, now: datetime.datetime) -> PatientAccessGrant:
    """End access at once: tokens that rest on it fail at their next verification. Raises Refused."""
    require(by, "accounts.revoke_access_grant")
    grant = _locked(grant, *PatientAccessGrant.COUNTS)
    if not reason.strip():
        raise Refused("reason_missing", "Say why.")
    before, grant.state = grant.state, State.REVOKED
    grant.revoked_by, grant.revoked_at, grant.revocation_reason = by, now, reason
    grant.save(update_fields=["revoked_by", "revoked_at", "revocation_reason", "state"])
    _record(EventType.ACCESS_GRANT_REVOKED, grant, by=by, now=now, before=before, reason=reason)
    return grant


def settle(now: datetime.datetime) -> int:
    """Move states along with the clock: approved to active at the start, anything open to expired at the end.

    Returns how many moved. Each row is a transaction of its own; access itself never waits for this.
    """
    due = Q(state=State.APPROVED, starts_at__lte=now)
    due |= Q(state__in=[State.REQUESTED, *PatientAccessGrant.COUNTS], ends_at__lte=now)
    keys = list(PatientAccessGrant.objects.filter(due).values_list("pk", flat=True)[:5000])
    return sum(_settle_one(key, now) for key in keys)


@transaction.atomic
def _settle_one(key: Any, now: datetime.datetime) -> bool:
    grant = PatientAccessGrant.objects.select_for_update().get(pk=key)
    before = grant.state
    if before in (State.REQUESTED, *PatientAccessGrant.COUNTS) and grant.ends_at <= now:
        event, grant.state, grant.expired_at = EventType.ACCESS_GRANT_EXPIRED, State.EXPIRED, now
    elif before == State.APPROVED and grant.starts_at <= now:
        event, grant.state, grant.activated_at = EventType.ACCESS_GRANT_ACTIVATED, State.ACTIVE, now
    else:
        return False
    grant.save(update_fields=["state", "expired_at", "activated_at"])
    _record(event, grant, by=None, now=now, before=before)
    return True


def _locked(grant: PatientAccessGrant, *states: str) -> PatientAccessGrant:
    grant = PatientAccessGrant.objects.select_for_update().get(pk=grant.pk)
    if grant.state not in states:
        raise Refused("wrong_state", "The request has been decided or has ended already.")
    return grant


def _refuse_own_interest(
    by: User, grantee_user: User | None, care_team: CareTeam | None, now: datetime.datetime
) -> None:
    if grantee_user is not None and grantee_user.pk == by.pk:
        raise Refused("own_access", "Nobody grants access to themselves.")
    # Also a team that they will join: the grant would wait for them there.
    if care_team is not None and care_team.members.filter(user=by).exclude(ends_at__lte=now).exists():
        raise Refused("own_access", "Nobody grants access to a care team of their own.")


def _refuse_unusable_scopes(text: str) -> None:
    try:
        scopes = smart.parse(text)
    except smart.InvalidScope as error:
        raise Refused("invalid_scope", "Each scope looks like patient/Observation.rs.") from error
    if not scopes or any(scope.context != "patient" for scope in scopes):
        raise Refused("invalid_scope", "A grant needs scopes that begin with patient/.")


def _record(
    event: EventType,
    grant: PatientAccessGrant,
    *,
    by: User | None,
    now: datetime.datetime,
    before: str,
    reason: str = "",
    action: int = 1,
) -> None:
    ledger.record(
        event,
        by=by,
        obj=grant,
        object_label=str(grant),
        action=action,
        patient=str(grant.patient_id),
        purpose_of_use=grant.purpose_of_use,
        basis=f"access_grant:{grant.pk}",
        reason=reason,
        changes={"state": [str(before), str(grant.state)]},
        details={
            "grantee_user": str(grant.grantee_user_id or ""),
            "grantee_care_team": str(grant.grantee_care_team_id or ""),
            "scopes": grant.scopes,
            "starts_at": grant.starts_at.isoformat(),
            "ends_at": grant.ends_at.isoformat(),
        },
        now=now,
    )
