"""Care teams in the portal: dated rows of people and patients, and nobody puts themselves there."""

import datetime
from typing import Any

import pytest
from django.utils import timezone

from accounts.admin.care_teams import SHOWN
from accounts.models import CareTeam, CareTeamMember, CareTeamPatient, User
from audit.events import EventType
from tests.accounts.portal import address, recorded, refusals, signed_in
from tests.people import DAY, PHI, People, make_patient, make_user

START = datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=datetime.UTC)


@pytest.fixture
def ward(people: People) -> CareTeam:
    """A ward with Dr Okafor and Amir on it."""
    team = CareTeam.objects.create(name="Ward 4 West")
    CareTeamMember.objects.create(care_team=team, user=people.okafor, starts_at=START)
    CareTeamPatient.objects.create(care_team=team, patient=people.amir, starts_at=START)
    return team


def form(
    team: CareTeam | None = None, *, members: Any = (), patients: Any = (), **changed: Any
) -> dict[str, Any]:
    """Return what the form of a team posts: its rows as they are shown, and these new ones."""
    posted: dict[str, Any] = {"name": team.name if team else "Ward 5"}
    for prefix, field, new in (("members", "user", members), ("patients", "patient", patients)):
        rows = list(getattr(team, prefix).order_by("pk")) if team else []
        for number, row in enumerate(rows):
            key = f"{prefix}-{number}"
            posted |= {f"{key}-id": row.pk, f"{key}-care_team": team.pk if team else ""}
            posted |= {f"{key}-starts_at": row.starts_at.strftime("%Y-%m-%dT%H:%M:%S"), f"{key}-ends_at": ""}
            if field == "user":
                posted[f"{key}-user"] = row.user_id
        for number, value in enumerate(new, start=len(rows)):
            key = f"{prefix}-{number}"
            posted |= {f"{key}-{field}": value, f"{key}-starts_at": "2026-11-01T08:00", f"{key}-ends_at": ""}
        posted |= {f"{prefix}-TOTAL_FORMS": len(rows) + len(new), f"{prefix}-INITIAL_FORMS": len(rows)}
    return posted | changed


def test_a_team_is_made_with_people_and_patients(people: People) -> None:
    posted = form(members=[people.lind.pk], patients=["mrn-000001", str(people.amir.pk)])
    assert signed_in(people.sam).post(address("careteam_add"), posted).status_code == 302
    team = CareTeam.objects.get(name="Ward 5")
    assert [member.user for member in team.members.all()] == [people.lind]
    assert {row.patient for row in team.patients.all()} == {people.rosa, people.amir}
    (put, _) = recorded(EventType.CARE_TEAM_PATIENT_CREATED)
    assert (put.actor_label, put.patient_ref) == ("sam", str(people.rosa.pk))
    assert recorded(EventType.CARE_TEAM_MEMBER_CREATED)[-1].actor_label == "sam"


def test_saving_a_team_touches_only_the_rows_that_changed(people: People, ward: CareTeam) -> None:
    posted = form(ward, patients=["MRN-000001"])
    assert signed_in(people.sam).post(address("careteam_change", ward.pk), posted).status_code == 302
    assert ward.patients.count() == 2
    assert ward.members.get().starts_at == START
    assert not recorded(EventType.CARE_TEAM_MEMBER_UPDATED)
    assert not recorded(EventType.CARE_TEAM_PATIENT_UPDATED)


def test_a_row_is_ended_by_its_date(people: People, ward: CareTeam) -> None:
    posted = form(ward, **{"patients-0-ends_at": "2026-11-20T10:00"})
    assert signed_in(people.sam).post(address("careteam_change", ward.pk), posted).status_code == 302
    assert ward.patients.get().ends_at == datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
    assert "ends_at" in recorded(EventType.CARE_TEAM_PATIENT_UPDATED)[-1].changes


def test_a_patient_that_is_there_is_not_exchanged_for_another(people: People, ward: CareTeam) -> None:
    posted = form(ward, **{"patients-0-patient": "MRN-000001", "patients-0-ends_at": "2027-01-01T00:00"})
    signed_in(people.sam).post(address("careteam_change", ward.pk), posted)
    assert ward.patients.get().patient == people.amir


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ({"patients": ["MRN-999999"]}, "No patient has exactly this record number or FHIR id."),
        ({"patients": ["Alvarez"]}, "No patient has exactly this record number or FHIR id."),
        ({"patients": ["x\x00"]}, "Null characters are not allowed."),
        ({"members": ["x"]}, "Select a valid choice."),
        ({"members": [""]}, "This field is required."),
    ],
)
def test_a_row_that_names_nobody_is_a_form_error(
    people: People, ward: CareTeam, rows: dict[str, Any], sentence: str
) -> None:
    answer = signed_in(people.sam).post(address("careteam_change", ward.pk), form(ward, **rows))
    assert answer.status_code == 200
    assert sentence in answer.content.decode()


def test_rows_that_the_constraints_forbid_are_form_errors(people: People, ward: CareTeam) -> None:
    twice = form(ward, patients=["MRN-000001", "MRN-000001"])
    backwards = form(ward, **{"members-0-ends_at": "2020-01-01T00:00"})
    for posted in (twice, backwards):
        answer = signed_in(people.sam).post(address("careteam_change", ward.pk), posted)
        assert answer.status_code == 200
        assert b"errornote" in answer.content
    assert ward.patients.count() == 1


def test_nobody_puts_themselves_on_a_team_a_superuser_included(people: People, ward: CareTeam) -> None:
    for person in (people.sam, make_user("root", is_superuser=True)):
        client = signed_in(person)
        for url, team in ((address("careteam_change", ward.pk), ward), (address("careteam_add"), None)):
            answer = client.post(url, form(team, members=[person.pk]))
            assert answer.status_code == 200
            assert b"Nobody puts themselves on a care team." in answer.content
    assert not CareTeamMember.objects.exclude(user=people.okafor).exists()
    assert (
        refusals("careteam.change")
        == refusals("careteam.add")
        == [("sam", "own_access"), ("root", "own_access")]
    )


def test_nobody_exchanges_a_member_for_themselves_or_prolongs_their_own_time(
    people: People, ward: CareTeam
) -> None:
    client, url = signed_in(people.sam), address("careteam_change", ward.pk)
    client.post(url, form(ward, **{"members-0-user": people.sam.pk}))
    assert ward.members.get().user == people.okafor
    CareTeamMember.objects.create(
        care_team=ward, user=people.sam, starts_at=START, ends_at=timezone.now() + DAY
    )
    client.post(url, form(ward))
    assert ward.members.get(user=people.sam).ends_at is not None
    assert refusals("careteam.change") == [("sam", "own_access")]


def test_nobody_puts_patients_under_a_team_of_their_own(people: People, ward: CareTeam) -> None:
    CareTeamMember.objects.create(care_team=ward, user=people.sam, starts_at=timezone.now() + DAY)
    posted = form(ward, patients=["MRN-000001"])
    number = list(ward.members.order_by("pk").values_list("user_id", flat=True)).index(people.sam.pk)
    posted[f"members-{number}-starts_at"] = ward.members.get(user=people.sam).starts_at.strftime(
        "%Y-%m-%dT%H:%M:%S"
    )
    answer = signed_in(people.sam).post(address("careteam_change", ward.pk), posted)
    assert b"Nobody puts patients under a care team of their own." in answer.content
    assert ward.patients.get().patient == people.amir
    assert refusals("careteam.change") == [("sam", "own_access")]


def test_a_row_that_ended_meanwhile_gets_a_sentence_and_nothing_is_saved(
    people: People, ward: CareTeam
) -> None:
    posted = form(ward, name="Renamed")
    ward.patients.update(ends_at=timezone.now() - DAY)
    answer = signed_in(people.sam).post(address("careteam_change", ward.pk), posted, follow=True)
    assert answer.status_code == 200
    assert b"Somebody changed this care team meanwhile" in answer.content
    ward.refresh_from_db()
    assert ward.name == "Ward 4 West"


@pytest.mark.parametrize(
    "broken",
    [
        {"members-TOTAL_FORMS": "x"},
        {"members-0-id": "x"},
        {"members-0-id": ""},
        {"patients-0-id": "999"},
        {"members-INITIAL_FORMS": "9"},
    ],
)
def test_a_broken_form_is_never_a_fault(people: People, ward: CareTeam, broken: dict[str, str]) -> None:
    answer = signed_in(people.sam).post(address("careteam_change", ward.pk), form(ward, **broken))
    assert answer.status_code in (200, 302, 400)
    assert ward.members.count() == ward.patients.count() == 1


def test_a_large_team_is_shown_in_part_and_can_be_saved(people: People, ward: CareTeam) -> None:
    CareTeamMember.objects.bulk_create(
        CareTeamMember(care_team=ward, user=user, starts_at=START)
        for user in User.objects.bulk_create(
            User(username=f"nurse-{n}", password="!") for n in range(SHOWN + 20)
        )
    )
    for number in range(3):
        patient = make_patient(f"MRN-1{number:05}", "Berg", "Nils", "1950-01-01")
        CareTeamPatient.objects.create(care_team=ward, patient=patient, starts_at=START)
    client, url = signed_in(people.sam), address("careteam_change", ward.pk)
    shown = client.get(url)
    formset = shown.context["inline_admin_formsets"][0].formset
    assert formset.initial_form_count() == SHOWN
    rows = {f"{f.prefix}-{n}": f[n].value() for f in formset.forms for n in ("id", "user", "starts_at")}
    posted = form(ward) | rows
    posted |= {"members-TOTAL_FORMS": SHOWN, "members-INITIAL_FORMS": SHOWN, "name": "Ward 4"}
    for name in list(posted):
        if name.startswith("members-") and name.split("-")[1].isdigit() and int(name.split("-")[1]) >= SHOWN:
            del posted[name]
    for name, value in posted.items():
        posted[name] = value.strftime("%Y-%m-%dT%H:%M:%S") if isinstance(value, datetime.datetime) else value
    assert client.post(url, posted).status_code == 302
    ward.refresh_from_db()
    assert ward.name == "Ward 4"


@pytest.mark.parametrize("name", ["okafor", "ines"])
def test_who_lacks_the_permission_changes_nothing(people: People, ward: CareTeam, name: str) -> None:
    client = signed_in(getattr(people, name))
    url = address("careteam_change", ward.pk)
    assert client.post(url, form(ward, patients=["MRN-000001"]), follow=True).status_code == 403
    assert client.post(address("careteam_delete", ward.pk), {"post": "yes"}, follow=True).status_code == 403
    assert ward.patients.get().patient == people.amir


def test_patients_are_named_only_to_those_who_may_open_them(people: People, ward: CareTeam) -> None:
    url = address("careteam_change", ward.pk)
    assert b"Haddad, Amir" in signed_in(people.sam).get(url).content
    role = people.sam.role_assignments.get().role
    role.permissions.remove(role.permissions.get(codename="view_patient"))
    unnamed = signed_in(people.sam).get(url).content.decode()
    assert not [word for word in PHI if word in unnamed]
    assert str(people.amir.pk) in unnamed


def test_the_ledger_has_it_when_the_page_names_patients(people: People, ward: CareTeam) -> None:
    page = signed_in(people.sam).get(address("careteam_change", ward.pk)).content.decode()
    assert people.amir.identification in page
    [entry] = recorded(EventType.PATIENT_SEARCHED)
    assert entry.actor_label == "sam"
    assert entry.additional_data == {"page": "admin:accounts_careteam_change", "shown": 1}


def test_a_refused_form_names_the_patients_that_are_on_the_team_and_no_others(
    people: People, ward: CareTeam
) -> None:
    posted = form(ward, patients=["nobody has this"])
    assert signed_in(people.sam).post(address("careteam_change", ward.pk), posted).status_code == 200
    details = [entry.additional_data for entry in recorded(EventType.PATIENT_SEARCHED)]
    assert {"page": "admin:accounts_careteam_change", "shown": 1} in details


def test_more_rows_take_no_more_statements(
    people: People, ward: CareTeam, django_assert_num_queries: Any
) -> None:
    client, url = signed_in(people.sam), address("careteam_change", ward.pk)
    with django_assert_num_queries(11):
        client.get(url)
    for number in range(6):
        patient = make_patient(f"MRN-1{number:05}", "Berg", "Nils", "1950-01-01")
        CareTeamPatient.objects.create(care_team=ward, patient=patient, starts_at=START)
        CareTeamMember.objects.create(care_team=ward, user=make_user(f"nurse-{number}"), starts_at=START)
    with django_assert_num_queries(11):
        client.get(url)
