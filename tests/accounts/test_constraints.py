"""States that must not exist: the database refuses them whoever writes, a superuser with a shell included."""

import datetime
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import (
    CareTeam,
    CareTeamMember,
    CareTeamPatient,
    PatientAccessGrant,
    RoleAssignment,
    User,
)
from audit.models import Job
from tests.people import DAY, People, make_user
from tokens.models import SigningKey

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def violates(name: str, act: Any) -> None:
    """Assert that the database refuses this, by the constraint of this name."""
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        act()


def grant(people: People, **differently: Any) -> PatientAccessGrant:
    fields = {
        "patient": people.amir, "grantee_user": people.lind, "scopes": "patient/Patient.rs", "starts_at": NOW,
        "ends_at": NOW + DAY, "reason": "x", "requested_by": people.sam,
    }  # fmt: skip
    return PatientAccessGrant.objects.create(**{**fields, **differently})


def test_access_grants(people: People) -> None:
    team = CareTeam.objects.create(name="Night")
    approved: dict[str, Any] = {"state": "active", "approved_by": people.vera, "approved_at": NOW}
    assert grant(people, **approved).pk
    for name, wrong in {
        "access_grant_one_grantee": {"grantee_user": None},
        "access_grant_ends_after_start": {"ends_at": NOW},
        "access_grant_not_to_oneself": {"grantee_user": people.sam},
        "access_grant_counts_only_when_approved": {"state": "active"},
        "access_grant_revoked_has_time": {**approved, "state": "revoked"},
    }.items():
        violates(name, lambda wrong=wrong: grant(people, **wrong))
    violates("access_grant_one_grantee", lambda: grant(people, grantee_care_team=team))
    violates(
        "access_grant_counts_only_when_approved",
        lambda: grant(people, state="approved", approved_by=people.vera),
    )
    violates(
        "access_grant_approved_by_another", lambda: grant(people, **{**approved, "approved_by": people.sam})
    )
    violates(
        "access_grant_approved_by_another", lambda: grant(people, **{**approved, "approved_by": people.lind})
    )


def test_a_superuser_with_a_shell_neither_approves_their_own_request_nor_serves_themselves(
    people: People,
) -> None:
    root = make_user("root", is_superuser=True)
    asked = grant(people, requested_by=root)
    mine = grant(people, grantee_user=root)
    for row in (asked, mine):
        rows = PatientAccessGrant.objects.filter(pk=row.pk)
        violates("approved_by_another", lambda rows=rows: rows.update(
            approved_by=root, approved_at=NOW, state="active"
        ))  # fmt: skip
    violates("not_to_oneself", lambda: grant(people, grantee_user=root, requested_by=root))


def test_role_assignments(people: People) -> None:
    held = RoleAssignment.objects.get(user=people.lind)

    def assign(**differently: Any) -> RoleAssignment:
        fields = {
            "user": people.ines,
            "role": held.role,
            "starts_at": NOW,
            "reason": "x",
            "assigned_by": people.sam,
        }
        return RoleAssignment.objects.create(**{**fields, **differently})

    assert assign().pk
    violates("role_assignment_once|UNIQUE", lambda: assign(user=people.lind))
    violates("role_assignment_not_to_oneself", lambda: assign(user=people.sam))
    violates("role_assignment_ends_after_start", lambda: assign(user=people.vera, ends_at=NOW))
    RoleAssignment.objects.filter(pk=held.pk).update(ended_at=NOW)
    assert assign(user=people.lind).pk
    approved: dict[str, Any] = {"user": people.vera, "approved_at": NOW}
    for nobody in (people.sam, people.vera):
        violates("role_assignment_approved_by_another", lambda by=nobody: assign(**approved, approved_by=by))
    violates("role_assignment_approval_has_time", lambda: assign(**approved))
    violates("role_assignment_approval_has_time", lambda: assign(user=people.vera, approved_by=people.ines))
    assert assign(**approved, approved_by=people.ines).pk


def test_users(people: People) -> None:
    violates("user_username_any_case|UNIQUE", lambda: User.objects.create(username="SAM", password="x"))
    for kind in User.MUST_END:
        for wrong in ({}, {"ends_at": NOW}, {"sponsor": people.sam}):
            violates("user_temporary_has_end_and_sponsor", lambda kind=kind, wrong=wrong: User.objects.create(
                username="t", password="x", employment_type=kind, **wrong
            ))  # fmt: skip
    violates(
        "user_not_own_sponsor", lambda: User.objects.filter(pk=people.lind.pk).update(sponsor=people.lind)
    )
    for state in User.State:
        User.objects.filter(pk=people.lind.pk).update(state=state)
        assert User.objects.get(pk=people.lind.pk).is_active is (state == "active")


@pytest.mark.parametrize("model", [CareTeamMember, CareTeamPatient])
def test_care_teams(people: People, model: Any) -> None:
    who = {"user": people.lind} if model is CareTeamMember else {"patient": people.rosa}
    team = CareTeam.objects.create(name="Night")
    model.objects.create(care_team=team, starts_at=NOW, **who)
    violates("_once|UNIQUE", lambda: model.objects.create(care_team=team, starts_at=NOW, **who))
    violates("ends_after_start", lambda: model.objects.create(
        care_team=team, starts_at=NOW + DAY, ends_at=NOW + DAY - datetime.timedelta(microseconds=1), **who
    ))  # fmt: skip
    violates("name|UNIQUE", lambda: CareTeam.objects.create(name="Night"))


def test_one_key_of_an_algorithm_signs_and_one_waits(signing_keys: None) -> None:
    violates("signing_key|UNIQUE", lambda: SigningKey.objects.create(
        kid="second", algorithm="ES256", state="active", public_jwk={}, private_key={}
    ))  # fmt: skip


def test_a_job_has_one_row() -> None:
    Job.objects.create(kind="a", slot="1")
    violates("job_once_per_slot|UNIQUE", lambda: Job.objects.create(kind="a", slot="1"))
