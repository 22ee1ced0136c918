"""Registered models: every change with before and after, nothing about a patient's person."""

from typing import Any

import pytest
from auditlog.registry import auditlog
from django.apps import apps
from django.contrib.auth.models import Permission
from django.db import models
from django.utils import timezone

from accounts.models import CareTeam, CareTeamMember, CareTeamPatient, Patient, Role
from audit import context, model_changes
from audit.events import EventType
from audit.models import Event, RegisteredModel
from tests.people import DAY, PHI, People, make_patient

pytestmark = pytest.mark.django_db


def last(event: EventType) -> Event:
    return Event.objects.filter(event=event).order_by("pk").last()  # type: ignore[return-value]


def test_a_change_of_a_user_has_before_and_after_and_who(people: People) -> None:
    people.lind.given_name = "Johan"
    with context.acting(people.sam):
        people.lind.save()
    entry = last(EventType.USER_UPDATED)
    assert entry.changes == {"given_name": ["Jon", "Johan"]}
    assert (entry.actor_label, entry.object_repr, entry.object_pk) == ("sam", "lind", str(people.lind.pk))


def test_a_save_that_changes_nothing_says_nothing(people: People) -> None:
    before = Event.objects.count()
    people.lind.save()
    assert Event.objects.count() == before


def test_nothing_about_a_patients_person_gets_into_the_ledger(people: People) -> None:
    people.rosa.given_name, people.rosa.record_number = "Rosalia", "MRN-77"
    people.rosa.save()
    gone = make_patient("MRN-88", "Zyx", "Wvu", "1999-09-09")
    gone.delete()
    entry = last(EventType.PATIENT_UPDATED)
    assert entry.changes == {
        "given_name": ["(masked)", "(masked)"],
        "record_number": ["(masked)", "(masked)"],
    }
    assert entry.patient_ref == str(people.rosa.pk)
    said = repr(list(Event.objects.values()))
    assert not [
        text for text in (*PHI, "Rosalia", "MRN-77", "MRN-88", "Zyx", "Wvu", "1999-09-09") if text in said
    ]


def test_a_password_and_its_hash_stay_out(people: People) -> None:
    people.lind.set_password("another horse battery")
    people.lind.save()
    said = repr(list(Event.objects.values()))
    assert people.lind.password not in said
    assert "argon2" not in said


def test_permissions_of_a_role_are_recorded_by_name(people: People) -> None:
    role = Role.objects.get(code="clinician")
    role.permissions.set(Permission.objects.filter(codename="enter_portal"))
    assert "permission" in str(last(EventType.ROLE_UPDATED).changes)
    role.permissions.clear()
    before, after = last(EventType.ROLE_UPDATED).changes["permissions"]
    assert (bool(before), after) == (True, "")


def test_care_teams_are_recorded_from_beginning_to_end(people: People) -> None:
    now = timezone.now()
    team = CareTeam.objects.create(name="Night")
    member = CareTeamMember.objects.create(care_team=team, user=people.lind, starts_at=now)
    under = CareTeamPatient.objects.create(care_team=team, patient=people.rosa, starts_at=now)
    under.ends_at = now + DAY
    under.save()
    assert last(EventType.CARE_TEAM_PATIENT_CREATED).patient_ref == str(people.rosa.pk)
    assert last(EventType.CARE_TEAM_PATIENT_UPDATED).changes["ends_at"][0] is None
    team.delete()
    for event, row in (
        (EventType.CARE_TEAM_DELETED, team), (EventType.CARE_TEAM_MEMBER_DELETED, member),
        (EventType.CARE_TEAM_PATIENT_DELETED, under),
    ):  # fmt: skip
        assert last(event).object_type == row._meta.label


def test_every_registered_model_is_registered_and_no_guarded_one(people: People) -> None:
    ours = {model for model in apps.get_models() if issubclass(model, RegisteredModel)}
    assert {model for model in auditlog.get_models() if not model._meta.auto_created} == ours
    assert "RoleAssignment" not in {model.__name__ for model in ours}


def test_a_model_that_could_change_without_its_entry_cannot_be_registered() -> None:
    with pytest.raises(TypeError):
        model_changes.register(Permission)


@pytest.mark.parametrize("model", [Patient, Role, CareTeam])
def test_a_label_is_never_the_name_of_a_person(model: type[models.Model], people: People) -> None:
    row: Any = model._base_manager.first() or model()
    assert not [text for text in PHI if text in model_changes.label(row) or text in str(row)]
