"""Access grants in the portal, over HTTP: who may ask, decide and end, and what the ledger says when they may not."""

import datetime
from typing import Any

import pytest
from django.contrib.admin import site
from django.db import connection
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts.admin.access_grants import PatientAccessGrantAdmin
from accounts.models import CareTeam, CareTeamMember, PatientAccessGrant, User
from accounts.operations import access_grants
from audit import paginator
from audit.events import EventType
from audit.models import Event
from tests.accounts.portal import address, recorded, refusals, signed_in
from tests.people import DAY, PHI, SCOPES, People, make_user

State = PatientAccessGrant.State
REQUEST = "access_grants.request"


def form(people: People, **changed: Any) -> dict[str, Any]:
    """Return what the request form posts for Dr Lind and Rosa."""
    return {
        "grantee_user": people.lind.pk,
        "patient": "mrn-000001",
        "purpose_of_use": "TREAT",
        "scopes": SCOPES.split(),
        "ends_at": (timezone.now() + 5 * DAY).strftime("%Y-%m-%dT%H:%M"),
        "reason": "Second opinion",
    } | changed


def ask(people: People, *, by: User | None = None, to: User | None = None) -> PatientAccessGrant:
    """Ask for Dr Lind's access to Rosa."""
    now = timezone.now()
    return access_grants.request(
        patient=people.rosa, grantee_user=to or people.lind, scopes=SCOPES, ends_at=now + 5 * DAY,
        reason="Second opinion", by=by or people.sam, now=now,
    )  # fmt: skip


@pytest.fixture
def waiting(people: People) -> PatientAccessGrant:
    """A request of Sam's that nobody has decided."""
    return ask(people)


def test_an_administrator_asks_by_record_number_and_another_approves(people: People) -> None:
    answer = signed_in(people.sam).post(address("patientaccessgrant_request"), form(people))
    grant = PatientAccessGrant.objects.get(grantee_user=people.lind)
    assert answer.status_code == 302
    assert answer.url == address("patientaccessgrant_change", grant.pk)
    assert (grant.state, grant.patient, grant.requested_by) == (State.REQUESTED, people.rosa, people.sam)
    answer = signed_in(people.vera).post(address("patientaccessgrant_approve", grant.pk), {"reason": ""})
    grant.refresh_from_db()
    assert answer.status_code == 302
    assert (grant.state, grant.approved_by) == (State.ACTIVE, people.vera)
    assert recorded(EventType.ACCESS_GRANT_APPROVED)[-1].actor_label == "vera"


def test_an_administrator_asks_by_fhir_id_for_a_care_team(people: People) -> None:
    team = CareTeam.objects.create(name="Ward 4 West")
    wanted = form(people, grantee_user="", grantee_care_team=team.pk, patient=str(people.amir.pk))
    assert signed_in(people.sam).post(address("patientaccessgrant_request"), wanted).status_code == 302
    assert PatientAccessGrant.objects.get(grantee_care_team=team).patient == people.amir


def test_the_request_form_begins_with_the_whole_ceiling_and_thirty_days(people: People) -> None:
    url = address("patientaccessgrant_request")
    shown = signed_in(people.sam).get(url, {"patient": people.rosa.pk, "grantee_user": people.lind.pk})
    form = shown.context["form"]
    days = form["ends_at"].initial - timezone.now()
    assert datetime.timedelta(days=29, hours=23) < days < datetime.timedelta(days=30)
    assert "patient/Observation.rs" in form["scopes"].initial
    assert b"Read problems and diagnoses" in shown.content
    assert str(people.rosa.pk).encode() in shown.content
    assert b"Jon Lind" in shown.content


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"patient": "MRN-999999"}, "No patient has exactly this record number or FHIR id."),
        ({"patient": "Alvarez"}, "No patient has exactly this record number or FHIR id."),
        ({"patient": "MRN-000001\x00"}, "Null characters are not allowed."),
        ({"grantee_user": ""}, "Name either a person or a care team."),
        ({"grantee_user": "x"}, "Select a valid choice."),
        ({"scopes": ["user/Patient.rs"]}, "Select a valid choice."),
        ({"scopes": []}, "This field is required."),
        ({"purpose_of_use": "FUN"}, "Select a valid choice."),
        ({"ends_at": "tomorrow"}, "Enter a valid date/time."),
        ({"reason": "  "}, "This field is required."),
        ({"reason": "x" * 1001}, "at most 1000 characters"),
    ],
)
def test_what_the_request_form_cannot_read_is_a_form_error(
    people: People, changed: dict[str, Any], sentence: str
) -> None:
    answer = signed_in(people.sam).post(address("patientaccessgrant_request"), form(people, **changed))
    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert not PatientAccessGrant.objects.filter(grantee_user=people.lind).exists()


@pytest.mark.parametrize(
    ("ends_in_days", "code"), [(-1, "ends_before_start"), (0, "ends_before_start"), (400, "too_long")]
)
def test_an_impossible_end_is_refused_and_recorded(people: People, ends_in_days: int, code: str) -> None:
    ends_at = (timezone.now() + ends_in_days * DAY).strftime("%Y-%m-%dT%H:%M")
    answer = signed_in(people.sam).post(address("patientaccessgrant_request"), form(people, ends_at=ends_at))
    assert answer.status_code == 409
    assert refusals(REQUEST) == [("sam", code)]
    assert not PatientAccessGrant.objects.filter(grantee_user=people.lind).exists()


def test_nobody_asks_for_themselves_a_superuser_included(people: People) -> None:
    root = make_user("root", is_superuser=True)
    for person in (people.sam, root):
        answer = signed_in(person).post(
            address("patientaccessgrant_request"), form(people, grantee_user=person.pk)
        )
        assert answer.status_code == 409
        assert b"Nobody grants access to themselves." in answer.content
    assert refusals(REQUEST) == [("sam", "own_access"), ("root", "own_access")]


def test_nobody_asks_for_a_care_team_of_their_own(people: People) -> None:
    team = CareTeam.objects.create(name="Ward 4 West")
    CareTeamMember.objects.create(care_team=team, user=people.sam, starts_at=timezone.now() - DAY)
    wanted = form(people, grantee_user="", grantee_care_team=team.pk)
    answer = signed_in(people.sam).post(address("patientaccessgrant_request"), wanted)
    assert b"Nobody grants access to a care team of their own." in answer.content
    assert refusals(REQUEST) == [("sam", "own_access")]


def test_nobody_approves_a_request_of_their_own_a_superuser_included(people: People) -> None:
    root = make_user("root", is_superuser=True)
    for person in (people.sam, root):
        grant = ask(people, by=person)
        answer = signed_in(person).post(address("patientaccessgrant_approve", grant.pk))
        grant.refresh_from_db()
        assert answer.status_code == 409
        assert b"Nobody approves a request of their own." in answer.content
        assert grant.state == State.REQUESTED
    assert refusals("access_grants.approve") == [("sam", "own_request"), ("root", "own_request")]
    entry = recorded(EventType.OPERATION_REFUSED)[-1]
    assert (entry.object_pk, entry.patient_ref) == (str(grant.pk), str(people.rosa.pk))


def test_a_request_is_rejected_with_its_reason(people: People, waiting: PatientAccessGrant) -> None:
    url = address("patientaccessgrant_reject", waiting.pk)
    client = signed_in(people.vera)
    assert b"This field is required." in client.post(url, {"reason": ""}).content
    assert client.post(url, {"reason": "No consult"}).status_code == 302
    waiting.refresh_from_db()
    assert (waiting.state, waiting.rejection_reason) == (State.REJECTED, "No consult")
    assert b"No consult" in client.get(address("patientaccessgrant_change", waiting.pk)).content


def test_access_is_revoked_with_its_reason(people: People) -> None:
    url = address("patientaccessgrant_revoke", people.grant.pk)
    assert signed_in(people.sam).post(url, {"reason": "Consult is over"}).status_code == 302
    people.grant.refresh_from_db()
    assert (people.grant.state, people.grant.revoked_by) == (State.REVOKED, people.sam)
    assert recorded(EventType.ACCESS_GRANT_REVOKED)[-1].reason == "Consult is over"


@pytest.mark.parametrize("verb", ["approve", "reject", "revoke"])
def test_the_second_of_two_posts_hears_that_it_was_decided(people: People, verb: str) -> None:
    grant = people.grant if verb == "revoke" else ask(people)
    client, url = signed_in(people.vera), address(f"patientaccessgrant_{verb}", grant.pk)
    assert client.post(url, {"reason": "Decided"}).status_code == 302
    again = client.post(url, {"reason": "Decided"})
    assert again.status_code == 409
    assert b"has been decided or has ended already" in again.content
    assert refusals(f"access_grants.{verb}") == [("vera", "wrong_state")]
    shown = client.get(url, follow=True)
    assert shown.redirect_chain == [(address("patientaccessgrant_change", grant.pk), 302)]
    assert b"decided already" in shown.content


@pytest.mark.parametrize("verb", ["approve", "reject", "revoke"])
@pytest.mark.parametrize("name", ["okafor", "ines"])
def test_who_lacks_the_permission_gets_a_403_that_is_recorded(people: People, verb: str, name: str) -> None:
    grant = people.grant if verb == "revoke" else ask(people)
    before = grant.state
    url = address(f"patientaccessgrant_{verb}", grant.pk)
    client = signed_in(getattr(people, name))
    for answer in (client.get(url, follow=True), client.post(url, {"reason": "Why not"}, follow=True)):
        assert answer.status_code == 403
    grant.refresh_from_db()
    assert grant.state == before
    denied = recorded(EventType.OPERATION_REFUSED)
    assert {(entry.actor_label, entry.reason_code) for entry in denied} == {(name, "not_permitted")}
    assert len(denied) == 2


def test_who_may_not_ask_gets_a_403_that_is_recorded(people: People) -> None:
    answer = signed_in(people.ines).post(address("patientaccessgrant_request"), form(people))
    assert answer.status_code == 403
    assert refusals("admin:accounts_patientaccessgrant_request") == [("ines", "not_permitted")]


def test_a_verb_wants_its_csrf_token(people: People, waiting: PatientAccessGrant) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.vera)
    assert client.post(address("patientaccessgrant_approve", waiting.pk)).status_code == 403
    waiting.refresh_from_db()
    assert waiting.state == State.REQUESTED


def test_showing_a_verb_changes_nothing(people: People, waiting: PatientAccessGrant) -> None:
    client = signed_in(people.vera)
    acts = Event.objects.exclude(event=EventType.PATIENT_VIEWED)
    before = acts.count()
    shown = client.get(address("patientaccessgrant_approve", waiting.pk))
    waiting.refresh_from_db()
    assert shown.status_code == 200
    assert (waiting.state, acts.count()) == (State.REQUESTED, before)


@pytest.mark.parametrize("key", ["nonsense", "00000000-0000-4000-8000-000000000000", "%00"])
def test_a_verb_of_nothing_is_not_found(people: People, key: str) -> None:
    url = f"{address('patientaccessgrant_changelist')}{key}/approve/"
    assert signed_in(people.vera).post(url).status_code == 404


def test_buttons_follow_the_permission_and_the_state(people: People, waiting: PatientAccessGrant) -> None:
    page = address("patientaccessgrant_change", waiting.pk)

    def labels(person: User, url: str = page) -> list[str]:
        return [verb["label"] for verb in signed_in(person).get(url).context["verbs"]]

    assert labels(people.vera) == ["Approve", "Reject", "Explain access"]
    assert labels(people.ines) == ["Explain access"]
    in_force = address("patientaccessgrant_change", people.grant.pk)
    assert labels(people.vera, in_force) == ["Revoke", "Explain access"]


def test_a_grant_is_not_edited_deleted_or_added_by_form(people: People) -> None:
    client = signed_in(make_user("root", is_superuser=True))
    page = address("patientaccessgrant_change", people.grant.pk)
    assert client.post(page, {"state": "expired"}).status_code == 403
    assert (
        client.post(address("patientaccessgrant_delete", people.grant.pk), {"post": "yes"}).status_code == 403
    )
    assert client.post(address("patientaccessgrant_add")).status_code == 403
    people.grant.refresh_from_db()
    assert people.grant.state == State.ACTIVE


def test_when_the_ledger_fails_nothing_is_approved(
    people: People, waiting: PatientAccessGrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the ledger cannot be written")

    client = signed_in(people.vera)
    client.raise_request_exception = False
    monkeypatch.setattr("audit.ledger.record", fail)
    assert client.post(address("patientaccessgrant_approve", waiting.pk)).status_code == 500
    waiting.refresh_from_db()
    assert waiting.state == State.REQUESTED


def test_patients_are_named_only_to_those_who_may_open_them(people: People) -> None:
    role = people.ines.role_assignments.get().role
    named = signed_in(people.ines).get(address("patientaccessgrant_changelist")).content.decode()
    assert "Alvarez, Rosa" in named
    role.permissions.remove(role.permissions.get(codename="view_patient"))
    pages = (address("patientaccessgrant_changelist"), address("patientaccessgrant_change", people.grant.pk))
    for url in pages:
        unnamed = signed_in(people.ines).get(url).content.decode()
        assert not [word for word in PHI if word in unnamed]
        assert str(people.rosa.pk) in unnamed


def test_the_list_is_filtered_by_state(people: People, waiting: PatientAccessGrant) -> None:
    answer = signed_in(people.sam).get(
        address("patientaccessgrant_changelist"), {"state__exact": "requested"}
    )
    assert list(answer.context["cl"].result_list) == [waiting]


@pytest.mark.parametrize(
    "query", ["patient__family_name=Alvarez", "patient__record_number__contains=1", "o=x", "p=y"]
)
def test_a_list_asked_for_nonsense_answers_without_a_fault(people: People, query: str) -> None:
    url = f"{address('patientaccessgrant_changelist')}?{query}"
    assert signed_in(people.sam).get(url).status_code in (200, 302, 400)


def found(people: People, text: str) -> set[PatientAccessGrant]:
    """Return what the list shows Sam for a search."""
    answer = signed_in(people.sam).get(address("patientaccessgrant_changelist"), {"q": text})
    assert answer.status_code == 200
    return set(answer.context["cl"].result_list)


def test_grants_are_found_by_the_beginning_of_a_username_and_by_opaque_ids(
    people: People, waiting: PatientAccessGrant
) -> None:
    now = timezone.now()
    team = CareTeam.objects.create(name="Ward 4 West")
    for_team = access_grants.request(
        patient=people.amir, grantee_care_team=team, scopes=SCOPES, ends_at=now + DAY, reason="Ward",
        by=people.sam, now=now,
    )  # fmt: skip
    for text in ("lind", "LI", " lin "):
        assert found(people, text) == {waiting}
    assert found(people, str(people.rosa.pk)) == {people.grant, waiting}
    assert found(people, str(people.amir.pk).upper()) == {for_team}
    assert found(people, people.grant.pk.hex) == {people.grant}
    assert found(people, "  ") == {people.grant, waiting, for_team}


@pytest.mark.parametrize(
    "text",
    [
        "MRN-000001", "Rosa", "Alvarez", "ind", "%", "l_nd", "l%", "'", "\\", "x" * 3000, "\U0001f600", "{}",
        "00000000-0000-4000-8000-000000000000", "urn:uuid:x",
    ],
)  # fmt: skip
def test_a_search_for_a_record_number_a_name_or_rubbish_finds_no_grant(
    people: People, waiting: PatientAccessGrant, text: str
) -> None:
    assert found(people, text) == set()


def test_a_search_that_no_database_takes_is_a_clear_refusal(people: People) -> None:
    url = address("patientaccessgrant_changelist")
    for query in ("q=%00", "q=l%00", "q=%ff%fe", "q=%ed%a0%80"):
        assert signed_in(people.sam).get(f"{url}?{query}").status_code in (200, 400)


def test_the_search_says_what_it_takes_and_that_a_record_number_is_not_for_addresses(people: People) -> None:
    page = signed_in(people.sam).get(address("patientaccessgrant_changelist")).content.decode()
    assert "Never a record number" in page


def test_a_grant_that_the_list_is_too_long_for_is_found(
    people: People, waiting: PatientAccessGrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(people, to=make_user("nurse"))
    monkeypatch.setattr(paginator, "MOST_ROWS", 2)
    monkeypatch.setattr(PatientAccessGrantAdmin, "list_per_page", 1)
    sam, url = signed_in(people.sam), address("patientaccessgrant_changelist")
    for number in (1, 2, 3):
        shown = sam.get(url, {"p": number}, follow=True).context["cl"].result_list
        assert people.grant not in shown
    assert found(people, "oka") == found(people, str(people.grant.pk)) == {people.grant}


def test_whoever_is_named_in_full_is_found_however_many_begin_so(
    people: People, waiting: PatientAccessGrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.admin.access_grants.PEOPLE_SEARCHED", 1)
    ask(people, to=make_user("lindberg"))
    assert found(people, "lin") == found(people, "lind") == {waiting}


@pytest.mark.postgresql
def test_a_search_among_many_grants_uses_the_indexes(people: People) -> None:
    nurses = User.objects.bulk_create(User(username=f"nurse{n:04}", password="!") for n in range(1000))
    User.objects.bulk_create(User(username=f"student{n:04}", password="!") for n in range(1000))
    now = timezone.now()
    PatientAccessGrant.objects.bulk_create(
        PatientAccessGrant(
            patient=people.amir, grantee_user=nurse, scopes=SCOPES, starts_at=now, ends_at=now + DAY, reason="Ward",
            requested_by=people.sam, requested_at=now - n * DAY,
        )
        for nurse in nurses
        for n in range(3)
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE accounts_user, accounts_patientaccessgrant")
        cursor.execute("SET LOCAL enable_seqscan = off")  # of so few rows, reading all is cheaper
    page = PatientAccessGrantAdmin(PatientAccessGrant, site)
    for text in ("nurse0007", "student", "nobody", str(people.rosa.pk), str(people.grant.pk)):
        listed = PatientAccessGrant.objects.select_related("grantee_user", "grantee_care_team", "patient")
        rows, _ = page.get_search_results(RequestFactory().get("/"), listed, text)
        for plan in (rows[:100].explain(), rows.values("pk")[:1000].explain()):
            assert "Seq Scan on accounts_patientaccessgrant" not in plan
            assert "access_grant_newest" not in plan


@pytest.mark.parametrize("page", ["change", "approve"])
def test_the_ledger_has_it_when_a_page_names_the_patient(
    people: People, waiting: PatientAccessGrant, page: str
) -> None:
    answer = signed_in(people.vera).get(address(f"patientaccessgrant_{page}", waiting.pk))
    assert people.rosa.identification in answer.content.decode()
    [entry] = recorded(EventType.PATIENT_VIEWED)
    assert (entry.actor_label, entry.patient_ref) == ("vera", str(people.rosa.pk))
    assert entry.additional_data == {"page": f"admin:accounts_patientaccessgrant_{page}"}


def test_the_ledger_has_it_when_the_list_names_patients(people: People, waiting: PatientAccessGrant) -> None:
    sam, url = signed_in(people.sam), address("patientaccessgrant_changelist")
    assert people.rosa.identification in sam.get(url, {"state__exact": State.REQUESTED}).content.decode()
    [entry] = recorded(EventType.PATIENT_SEARCHED)
    assert entry.additional_data == {"page": "admin:accounts_patientaccessgrant_changelist", "shown": 1}
    sam.get(url, {"state__exact": State.REJECTED})
    assert len(recorded(EventType.PATIENT_SEARCHED)) == 1


def test_a_longer_list_takes_no_more_statements(
    people: People, django_assert_max_num_queries: Any, django_assert_num_queries: Any
) -> None:
    client, url = signed_in(people.sam), address("patientaccessgrant_changelist")
    with django_assert_max_num_queries(12) as few:
        client.get(url)
    for number in range(8):
        ask(people, to=make_user(f"nurse-{number}"))
    with django_assert_num_queries(len(few)):
        client.get(url)


def test_a_long_list_is_counted_no_further_than_it_is_shown(
    people: People, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    for number in range(4):
        ask(people, to=make_user(f"nurse-{number}"))
    monkeypatch.setattr(paginator, "MOST_ROWS", 3)
    listed, sam = address("patientaccessgrant_changelist"), signed_in(people.sam)
    for url in (listed, f"{listed}?state__exact={State.REQUESTED}"):
        with django_assert_max_num_queries(12) as captured:
            assert sam.get(url).context["cl"].paginator.count == 3
        counts = [
            query["sql"] for query in captured if "COUNT(" in query["sql"] and "accessgrant" in query["sql"]
        ]
        assert counts
        assert all("LIMIT 3" in sql for sql in counts)
