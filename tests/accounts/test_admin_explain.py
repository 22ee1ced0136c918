"""Why can this person see this patient? The page gives decide()'s own answer and records that it was asked."""

import re
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.access.decision import LAYERS, Reason
from accounts.admin import explain
from accounts.models import CareTeam, CareTeamMember, CareTeamPatient
from accounts.operations import access_grants
from audit.events import EventType
from tests.accounts.portal import recorded, refusals, signed_in
from tests.people import DAY, PHI, People


def ask(people: People, **changed: Any) -> Any:
    """Have Sam ask about Dr Okafor and Rosa."""
    posted = {
        "user": people.okafor.pk,
        "patient": "MRN-000001",
        "purpose_of_use": "TREAT",
        "scopes": "patient/*.rs",
    }
    return signed_in(people.sam).post(reverse("explain_access"), posted | changed)


def reasons(answer: Any) -> list[tuple[str, str]]:
    """Return layer and outcome, in order."""
    return [(layer["name"], layer["outcome"]) for layer in answer.context["layers"]]


def test_access_by_a_grant_is_explained_layer_by_layer(people: People) -> None:
    answer = ask(people)
    text = answer.content.decode()
    assert "Yes, may see this patient" in text
    assert f"access grant {str(people.grant.pk)[:8]}, approved by Vera Nowak" in text
    assert "Read observations (vital signs, laboratory)" in text
    assert "Read prescriptions" not in text
    assert reasons(answer)[-1] == ("Access grants", "allowed")
    assert answer.context["decision"]["until"] == people.grant.ends_at


def test_who_has_no_access_is_told_why_not(people: People) -> None:
    answer = ask(people, user=people.lind.pk)
    assert b"No, may not see this patient" in answer.content
    assert reasons(answer)[-2:] == [("Access grants", "passed"), ("Anything else", "denied")]


def test_access_by_a_care_team_is_explained_and_later_layers_were_not_asked(people: People) -> None:
    team = CareTeam.objects.create(name="Ward 4 West")
    start = timezone.now() - DAY
    CareTeamMember.objects.create(care_team=team, user=people.lind, starts_at=start)
    CareTeamPatient.objects.create(care_team=team, patient=people.amir, starts_at=start)
    answer = ask(people, user=people.lind.pk, patient=str(people.amir.pk))
    assert b"care team Ward 4 West" in answer.content
    assert reasons(answer)[-2:] == [("Care teams", "allowed"), ("Access grants", "")]


def test_an_account_that_is_not_active_ends_the_answer_at_once(people: People) -> None:
    type(people.okafor).objects.filter(pk=people.okafor.pk).update(state="suspended")
    answer = ask(people)
    assert reasons(answer)[0] == ("The account", "denied")
    assert {outcome for _, outcome in reasons(answer)[1:]} == {""}


def test_several_grants_are_all_named(people: People) -> None:
    now = timezone.now()
    asked = access_grants.request(
        patient=people.rosa, grantee_user=people.okafor, scopes="patient/Condition.rs", ends_at=now + DAY,
        reason="More", by=people.sam, now=now,
    )  # fmt: skip
    access_grants.approve(grant=asked, by=people.vera, now=now)
    answer = ask(people)
    named = set(re.findall(r"access grant (\w{8})", answer.context["layers"][-1]["reason"]))
    assert named == {str(asked.pk)[:8], str(people.grant.pk)[:8]}


def test_the_question_is_recorded_with_opaque_ids(people: People) -> None:
    ask(people)
    (entry,) = recorded(EventType.ACCESS_EXPLAINED)
    assert (entry.actor_label, entry.object_pk) == ("sam", str(people.okafor.pk))
    assert (entry.patient_ref, entry.basis) == (str(people.rosa.pk), f"access_grant:{people.grant.pk}")
    assert (entry.purpose_of_use, entry.additional_data["allowed"]) == ("TREAT", True)


def test_asking_by_get_only_fills_in_the_form(people: People) -> None:
    query = {"user": people.okafor.pk, "patient": people.rosa.pk}
    shown = signed_in(people.sam).get(reverse("explain_access"), query)
    assert str(people.rosa.pk) in shown.content.decode()
    assert "decision" not in shown.context
    assert not [word for word in PHI if word in shown.content.decode()]
    assert not recorded(EventType.ACCESS_EXPLAINED)
    for nonsense, status in (({"user": "x"}, 200), ({"patient": "MRN-000001"}, 200), ({"user": "\x00"}, 400)):
        shown = signed_in(people.sam).get(reverse("explain_access"), nonsense)
        assert shown.status_code == status
        assert "MRN-000001" not in shown.content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user", "x"),
        ("patient", "nobody"),
        ("purpose_of_use", "FUN"),
        ("scopes", "all"),
        ("scopes", "user/*.rs"),
    ],
)
def test_what_cannot_be_asked_is_a_form_error(people: People, field: str, value: str) -> None:
    answer = ask(people, **{field: value})
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [field]
    assert not recorded(EventType.ACCESS_EXPLAINED)


def test_a_clinician_may_not_ask_and_that_is_recorded(people: People) -> None:
    client = signed_in(people.okafor)
    assert client.post(reverse("explain_access"), {}, follow=True).status_code == 403
    role = people.ines.role_assignments.get().role
    role.permissions.remove(role.permissions.get(codename="explain_access"))
    ines = signed_in(people.ines)
    assert ines.get(reverse("explain_access")).status_code == 403
    assert refusals("explain_access") == [("okafor", "not_permitted"), ("ines", "not_permitted")]
    assert b"Why can this person" not in ines.get(reverse("admin:index")).content


def test_the_home_page_leads_here(people: People) -> None:
    assert reverse("explain_access").encode() in signed_in(people.sam).get(reverse("admin:index")).content


def test_every_reason_and_every_layer_has_its_words() -> None:
    assert set(explain.WORDS) == set(Reason)
    assert len(explain.LAYERS) == len(LAYERS) + 1
