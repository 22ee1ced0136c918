"""The field that names a patient, on its three forms: each look-up is recorded, whatever else is wrong."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import CareTeam, PatientAccessGrant
from audit.events import EventType
from audit.models import Event
from tests.accounts.portal import address, recorded, signed_in
from tests.people import DAY, SCOPES, People, make_patient

UNKNOWN = "No patient has exactly this record number or FHIR id."


def request_access(sam: Client, people: People, text: str, *, broken: bool) -> Any:
    """Ask for Dr Lind's access to whom the text names."""
    ends_at = (timezone.now() + DAY).strftime("%Y-%m-%dT%H:%M")
    posted = {
        "grantee_user": people.lind.pk,
        "patient": text,
        "purpose_of_use": "TREAT",
        "scopes": SCOPES.split(),
    }
    posted |= {"ends_at": ends_at, "reason": "" if broken else "Consult"}
    return sam.post(address("patientaccessgrant_request"), posted)


def put_on_a_care_team(sam: Client, people: People, text: str, *, broken: bool) -> Any:
    """Make a care team with whom the text names."""
    posted = {"name": "" if broken else "Ward 5", "members-TOTAL_FORMS": 0, "members-INITIAL_FORMS": 0}
    posted |= {"patients-TOTAL_FORMS": 1, "patients-INITIAL_FORMS": 0}
    posted |= {
        "patients-0-patient": text,
        "patients-0-starts_at": "2026-11-01T08:00",
        "patients-0-ends_at": "",
    }
    return sam.post(address("careteam_add"), posted)


def explain(sam: Client, people: People, text: str, *, broken: bool) -> Any:
    """Ask why Dr Okafor may see whom the text names."""
    posted = {"user": people.okafor.pk, "patient": text, "purpose_of_use": "TREAT"}
    return sam.post(reverse("explain_access"), posted | {"scopes": "" if broken else "patient/*.rs"})


each_form = pytest.mark.parametrize("post", [request_access, put_on_a_care_team, explain])


@each_form
@pytest.mark.parametrize("broken", [False, True])
def test_a_miss_is_recorded_without_its_text(people: People, post: Callable[..., Any], broken: bool) -> None:
    assert UNKNOWN in post(signed_in(people.sam), people, "MRN-999999", broken=broken).content.decode()
    [entry] = recorded(EventType.PATIENT_SEARCHED)
    assert (entry.actor_label, entry.patient_ref, entry.additional_data) == ("sam", "", {"found": 0})
    assert "MRN-" not in str(list(Event.objects.values()))


@each_form
@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("by_record_number", [False, True])
def test_a_hit_is_recorded_with_the_opaque_id_also_when_the_form_has_another_error(
    people: People, post: Callable[..., Any], broken: bool, by_record_number: bool
) -> None:
    answer = post(
        signed_in(people.sam),
        people,
        "mrn-000001" if by_record_number else str(people.rosa.pk),
        broken=broken,
    )
    assert answer.status_code == (200 if broken or post is explain else 302)
    [entry] = recorded(EventType.PATIENT_SEARCHED)
    assert (entry.actor_label, entry.patient_ref) == ("sam", str(people.rosa.pk))
    assert entry.additional_data == {"found": 1}
    assert "MRN-" not in str(Event.objects.filter(pk=entry.pk).values().get()).upper()


@each_form
@pytest.mark.parametrize("text", ["", "   ", "MRN-000001\x00", "1" * 201])
def test_what_cannot_be_looked_up_is_no_look_up(people: People, post: Callable[..., Any], text: str) -> None:
    assert post(signed_in(people.sam), people, text, broken=False).status_code == 200
    assert not recorded(EventType.PATIENT_SEARCHED)


@each_form
@pytest.mark.parametrize("text", ["MRN-000001", "MRN-999999"])
def test_nothing_is_answered_when_it_cannot_be_recorded(
    people: People, post: Callable[..., Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the ledger cannot be written")

    sam = signed_in(people.sam)
    monkeypatch.setattr("audit.ledger.record", fail)
    with pytest.raises(RuntimeError, match="the ledger cannot be written"):
        post(sam, people, text, broken=True)


def test_each_row_of_a_care_team_is_a_look_up_of_its_own(people: People) -> None:
    team = CareTeam.objects.create(name="Ward 4")
    posted = {
        "name": "Ward 4",
        "members-TOTAL_FORMS": 0,
        "members-INITIAL_FORMS": 0,
        "patients-INITIAL_FORMS": 0,
    }
    texts = ("MRN-000001", "MRN-999999", "MRN-000002")
    for number, text in enumerate(texts):
        posted |= {f"patients-{number}-patient": text, f"patients-{number}-starts_at": "2026-11-01T08:00"}
    posted["patients-TOTAL_FORMS"] = len(texts)
    assert signed_in(people.sam).post(address("careteam_change", team.pk), posted).status_code == 200
    found = [entry.patient_ref for entry in recorded(EventType.PATIENT_SEARCHED)]
    assert found == [str(people.rosa.pk), "", str(people.amir.pk)]


def test_a_text_that_fits_two_patients_names_neither(people: People) -> None:
    make_patient(str(people.rosa.pk), "Berg", "Nils", "1950-01-01")
    assert (
        UNKNOWN
        in request_access(signed_in(people.sam), people, str(people.rosa.pk), broken=False).content.decode()
    )
    [entry] = recorded(EventType.PATIENT_SEARCHED)
    assert (entry.patient_ref, entry.additional_data) == ("", {"found": 2})
    assert PatientAccessGrant.objects.get() == people.grant


def test_showing_a_form_for_a_patient_by_opaque_id_looks_nobody_up(people: People) -> None:
    for url in (address("patientaccessgrant_request"), reverse("explain_access")):
        assert signed_in(people.sam).get(url, {"patient": people.rosa.pk}).status_code == 200
    assert not recorded(EventType.PATIENT_SEARCHED)
