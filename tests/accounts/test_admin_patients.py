"""Patients in the portal: found by posted text only, opened one at a time, both recorded; no PHI in any address."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Patient
from audit.events import EventType
from audit.models import Event
from tests.accounts.portal import address, recorded, refusals, signed_in
from tests.people import PHI, People, make_patient, make_user

LIST = "patient_changelist"
CHLOE = {
    "record_number": "MRN-000777",
    "family_name": "Núñez-O'Hara",
    "given_name": "Chloë",
    "birth_date": "1990-02-28",
}


@pytest.mark.parametrize("text", ["MRN-000001", " mrn-000001 ", "ALVAREZ", "alvarez"])
def test_a_patient_is_found_by_exact_text_and_opened_at_an_opaque_address(people: People, text: str) -> None:
    answer = signed_in(people.sam).post(address(LIST), {"text": text})
    assert answer.status_code == 302
    assert answer.url == address("patient_change", people.rosa.pk)
    assert not [word for word in PHI if word in answer.url]


def test_a_patient_is_found_by_fhir_id(people: People) -> None:
    answer = signed_in(people.sam).post(address(LIST), {"text": str(people.rosa.pk)})
    assert answer.url == address("patient_change", people.rosa.pk)


def test_people_of_one_family_name_are_shown_to_choose_from(people: People) -> None:
    other = make_patient("MRN-000003", "Alvarez", "Luis", "1980-01-01")
    answer = signed_in(people.sam).post(address(LIST), {"text": "Alvarez"})
    assert answer.status_code == 200
    assert {patient.pk for patient in answer.context["patients"]} == {people.rosa.pk, other.pk}


@pytest.mark.parametrize("text", ["Alv", "MRN-00000", "%", "nobody", "0" * 32])
def test_a_part_of_a_text_finds_nobody(people: People, text: str) -> None:
    assert b"No patient fits" in signed_in(people.sam).post(address(LIST), {"text": text}).content


@pytest.mark.parametrize("text", ["", "\x00", "x" * 201])
def test_a_text_that_cannot_be_searched_is_a_form_error(people: People, text: str) -> None:
    answer = signed_in(people.sam).post(address(LIST), {"text": text})
    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert not recorded(EventType.PATIENT_SEARCHED)


def test_no_patient_is_shown_or_read_before_a_search_and_no_address_is_searched(people: People) -> None:
    client = signed_in(people.sam)
    for query in ({}, {"q": "MRN-000001"}, {"text": "MRN-000001"}, {"p": "1"}):
        with CaptureQueriesContext(connection) as statements:
            shown = client.get(address(LIST), query)
        assert shown.status_code == 200
        assert not [word for word in PHI if word in shown.content.decode()]
        assert not [each for each in statements.captured_queries if "accounts_patient" in each["sql"]]
    assert not recorded(EventType.PATIENT_SEARCHED)


def test_the_search_is_recorded_without_its_text(people: People) -> None:
    signed_in(people.sam).post(address(LIST), {"text": "MRN-000001"})
    (entry,) = recorded(EventType.PATIENT_SEARCHED)
    assert (entry.actor_label, entry.additional_data) == ("sam", {"found": 1})
    assert "MRN" not in str(Event.objects.filter(pk=entry.pk).values().get())


def test_opening_a_patient_is_recorded(people: People) -> None:
    shown = signed_in(people.ines).get(address("patient_change", people.rosa.pk))
    assert b"MRN-000001" in shown.content
    (entry,) = recorded(EventType.PATIENT_VIEWED)
    assert (entry.actor_label, entry.patient_ref) == ("ines", str(people.rosa.pk))


def test_a_patient_is_not_shown_when_it_cannot_be_recorded(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the ledger cannot be written")

    client = signed_in(people.ines)
    client.raise_request_exception = False
    monkeypatch.setattr("audit.ledger.record", fail)
    shown = client.get(address("patient_change", people.rosa.pk))
    assert shown.status_code == 500
    assert b"MRN-000001" not in shown.content


def test_titles_messages_and_cookies_name_no_patient(people: People) -> None:
    client = signed_in(people.sam)
    page = client.get(address("patient_change", people.rosa.pk)).content.decode()
    assert not [word for word in PHI if word in page.partition("</title>")[0]]
    posted = {
        "record_number": "MRN-000001",
        "family_name": "Alvarez",
        "given_name": "Rosalia",
        "birth_date": "1958-03-14",
    }
    saved = client.post(address("patient_change", people.rosa.pk), posted)
    assert saved.status_code == 302
    cookies = client.cookies.output()
    assert "messages" in cookies
    assert not [word for word in (*PHI, "Rosalia") if word in cookies]


def test_a_patient_is_registered_encrypted_and_found_again(people: People) -> None:
    client = signed_in(people.sam)
    assert client.post(address("patient_add"), CHLOE).status_code == 302
    patient = Patient.objects.with_record_number("mrn-000777").get()
    assert (patient.family_name, patient.given_name) == ("Núñez-O'Hara", "Chloë")
    with connection.cursor() as cursor:
        cursor.execute("SELECT family_name FROM accounts_patient")
        assert not [row for row in cursor.fetchall() if "Núñez".encode() in bytes(row[0])]
    entry = recorded(EventType.PATIENT_CREATED)[-1]
    assert (entry.actor_label, entry.patient_ref) == ("sam", str(patient.pk))
    assert not [word for word in CHLOE.values() if word in str(entry.changes)]


def test_an_edited_patient_is_found_by_the_new_number_only(people: People) -> None:
    posted = CHLOE | {"record_number": "MRN-000009"}
    client = signed_in(people.sam)
    assert client.post(address("patient_change", people.rosa.pk), posted).status_code == 302
    assert Patient.objects.with_record_number("MRN-000009").get().pk == people.rosa.pk
    assert Patient.objects.search("núñez-o'hara").get().pk == people.rosa.pk
    assert not Patient.objects.search("MRN-000001")
    assert not Patient.objects.search("Alvarez")


def test_a_record_number_that_another_patient_has_is_a_form_error(people: People) -> None:
    client = signed_in(people.sam)
    for url in (address("patient_add"), address("patient_change", people.rosa.pk)):
        answer = client.post(url, CHLOE | {"record_number": "mrn-000002"})
        assert answer.status_code == 200
        assert b"Another patient has this record number already." in answer.content


@pytest.mark.parametrize("birth_date", [CHLOE["birth_date"], ""])
@pytest.mark.parametrize(("number", "found"), [("mrn-000002", 1), ("MRN-000777", 0)])
def test_trying_out_record_numbers_by_registering_is_recorded(
    people: People, number: str, found: int, birth_date: str
) -> None:
    signed_in(people.sam).post(
        address("patient_add"), CHLOE | {"record_number": number, "birth_date": birth_date}
    )
    (entry,) = recorded(EventType.PATIENT_SEARCHED)
    assert (entry.actor_label, entry.additional_data) == ("sam", {"found": found})
    assert entry.patient_ref == (str(people.amir.pk) if found else "")


def test_a_record_number_that_stays_is_not_looked_up(people: People) -> None:
    posted = CHLOE | {"record_number": "MRN-000001"}
    assert signed_in(people.sam).post(address("patient_change", people.rosa.pk), posted).status_code == 302
    assert not recorded(EventType.PATIENT_SEARCHED)


def test_no_record_number_is_the_fhir_id_of_another_patient(people: People) -> None:
    posted = CHLOE | {"record_number": str(people.rosa.pk)}
    assert signed_in(people.sam).post(address("patient_add"), posted).status_code == 200


def test_the_second_of_two_registrations_at_once_gets_a_sentence(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "accounts.forms.PatientForm.clean_record_number", lambda form: form.data["record_number"]
    )
    answer = signed_in(people.sam).post(
        address("patient_add"), CHLOE | {"record_number": "MRN-000002"}, follow=True
    )
    assert answer.status_code == 200
    assert b"Another patient has this record number already." in answer.content
    assert Patient.objects.count() == 2


@pytest.mark.parametrize("date", ["14.03.1958", "2999-01-01", "0001-01-01", "1958-02-30", ""])
def test_an_impossible_birth_date_is_a_form_error(people: People, date: str) -> None:
    answer = signed_in(people.sam).post(address("patient_add"), CHLOE | {"birth_date": date})
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors["birth_date"]


def test_the_autocomplete_knows_no_patients(people: People) -> None:
    query = {
        "app_label": "accounts",
        "model_name": "patientaccessgrant",
        "field_name": "patient",
        "term": "MRN-000001",
    }
    answer = signed_in(people.sam).get("/admin/autocomplete/", query)
    assert answer.status_code == 404
    assert b"Rosa" not in answer.content


def test_no_patient_is_deleted_and_ines_changes_none(people: People) -> None:
    root = signed_in(make_user("root", is_superuser=True))
    assert root.post(address("patient_delete", people.rosa.pk), {"post": "yes"}).status_code == 403
    ines = signed_in(people.ines)
    assert ines.post(address("patient_change", people.rosa.pk), CHLOE).status_code == 403
    assert ines.post(address("patient_add"), CHLOE).status_code == 403
    assert refusals("admin:accounts_patient_change") == [("ines", "not_permitted")]
    people.rosa.refresh_from_db()
    assert people.rosa.given_name == "Rosa"


def test_a_clinician_finds_nobody_here(people: People) -> None:
    client = signed_in(people.okafor)
    for answer in (
        client.post(address(LIST), {"text": "MRN-000001"}, follow=True),
        client.get(address("patient_change", people.rosa.pk), follow=True),
    ):
        assert answer.status_code == 403
        assert not [word for word in PHI if word in answer.content.decode()]


def test_the_search_wants_its_csrf_token(people: People) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.sam)
    assert client.post(address(LIST), {"text": "MRN-000001"}).status_code == 403


def test_djangos_second_log_stays_empty(people: People) -> None:
    signed_in(people.sam).post(address("patient_add"), CHLOE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM django_admin_log")
        assert cursor.fetchone() == (0,)
    history = f"/admin/accounts/patient/{people.rosa.pk}/history/"
    assert signed_in(people.sam).get(history).status_code == 404


@pytest.mark.postgresql
def test_a_search_among_many_patients_uses_the_indexes(people: People) -> None:
    crowd = [
        Patient(
            record_number=f"MRN-1{n:05}", family_name=f"Family{n}", given_name="A", birth_date="1960-01-01"
        )
        for n in range(3000)
    ]
    for patient in crowd:
        patient.set_blind_indexes()
    Patient.objects.bulk_create(crowd)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE accounts_patient")
    plan = Patient.objects.search(str(crowd[7].pk))[:51].explain()
    assert "Seq Scan" not in plan
    assert plan.count("Bitmap Index Scan") == 3
