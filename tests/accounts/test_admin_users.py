"""Users in the portal: created, moved and given passwords by verbs; nobody changes themselves."""

import datetime
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import authenticate
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts.admin.username_search import username_begins
from accounts.models import Role, User
from accounts.operations import users
from audit.events import EventType
from tests.accounts.portal import address, recorded, refusals, signed_in
from tests.people import DAY, PASSWORD, People, make_user

NEW_PASSWORD = "a rather long new passphrase"
CREATE = "user_create"
VERBS = {"suspend": "active", "activate": "suspended", "end": "active", "set_password": "active"}


def form(**changed: Any) -> dict[str, Any]:
    """Return what the form for a new user posts."""
    return {
        "username": "Weber",
        "given_name": "Ida",
        "family_name": "Weber",
        "email": "",
        "job_function": "registered_nurse",
        "employment_type": "employee",
        "sponsor": "",
        "ends_at": "",
        "password": NEW_PASSWORD,
        "password_again": NEW_PASSWORD,
    } | changed


def plain(user: User, **changed: Any) -> dict[str, Any]:
    """Return what the change form posts for a user."""
    names = ("username", "given_name", "family_name", "email", "job_function", "employment_type")
    return {name: getattr(user, name) for name in names} | {"sponsor": "", "ends_at": ""} | changed


def verb_form(verb: str) -> dict[str, str]:
    """Return what a verb's page posts."""
    passwords = {"password": NEW_PASSWORD, "password_again": NEW_PASSWORD} if verb == "set_password" else {}
    return {"reason": "Badge lost", **passwords}


def test_a_user_is_created_active_and_signs_in_with_the_initial_password(people: People) -> None:
    answer = signed_in(people.sam).post(address(CREATE), form())
    user = User.objects.get(username="weber")
    assert answer.url == address("user_change", user.pk)
    assert (user.state, user.job_function, user.is_superuser) == ("active", "registered_nurse", False)
    assert authenticate(username="weber", password=NEW_PASSWORD) == user
    entry = recorded(EventType.USER_CREATED)[-1]
    assert (entry.actor_label, entry.object_pk) == ("sam", str(user.pk))
    assert NEW_PASSWORD not in str(entry.changes)
    assert user.password not in str(entry.changes)


def test_a_contractor_needs_a_sponsor_and_an_end(people: People) -> None:
    client = signed_in(people.sam)
    refused = client.post(address(CREATE), form(employment_type="contractor"))
    assert b"need an end date and a sponsor" in refused.content
    ends_at = (timezone.now() + 90 * DAY).strftime("%Y-%m-%dT%H:%M")
    wanted = form(employment_type="contractor", sponsor=people.vera.pk, ends_at=ends_at)
    assert client.post(address(CREATE), wanted).status_code == 302
    assert User.objects.get(username="weber").sponsor == people.vera


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"username": "OKAFOR"}, "username"),
        ({"username": "ida weber"}, "username"),
        ({"username": ""}, "username"),
        ({"username": "x\x00"}, "username"),
        ({"job_function": "wizard"}, "job_function"),
        ({"sponsor": "nobody"}, "sponsor"),
        ({"password": "short", "password_again": "short"}, "password"),
        ({"password": "password12345678", "password_again": "password12345678"}, ""),
        ({"password": "ida weber ida weber", "password_again": "different from it"}, "password_again"),
    ],
)
def test_what_cannot_be_a_user_is_shown_at_its_field(
    people: People, changed: dict[str, str], field: str
) -> None:
    answer = signed_in(people.sam).post(address(CREATE), form(**changed))
    if field:
        assert answer.status_code == 200
        assert field in answer.context["form"].errors
        assert "Constraint" not in answer.content.decode()
        assert not User.objects.filter(username__in=["weber", "x"]).exists()


def test_two_creations_of_one_name_at_once_give_one_user(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.forms.UserForm.clean_username", lambda form: form.cleaned_data["username"])
    monkeypatch.setattr(User, "validate_unique", lambda user, exclude=None: None)
    monkeypatch.setattr(User, "validate_constraints", lambda user, exclude=None: None)
    answer = signed_in(people.sam).post(address(CREATE), form(username="okafor"))
    assert answer.status_code == 409
    assert b"Somebody has taken this username" in answer.content
    assert refusals("users.create") == [("sam", "username_taken")]


def test_add_leads_to_the_verb_and_a_posted_superuser_is_ignored(people: People) -> None:
    client = signed_in(people.sam)
    assert client.get(address("user_add")).url == address(CREATE)
    client.post(address(CREATE), form(is_superuser="on", state="ended"))
    client.post(address("user_change", people.lind.pk), plain(people.lind, is_superuser="on", state="ended"))
    people.lind.refresh_from_db()
    assert not User.objects.filter(is_superuser=True).exists()
    assert people.lind.state == "active"


def test_plain_fields_are_edited_with_before_and_after(people: People) -> None:
    posted = plain(people.lind, family_name="Lindqvist", job_function="attending_physician")
    assert signed_in(people.sam).post(address("user_change", people.lind.pk), posted).status_code == 302
    entry = recorded(EventType.USER_UPDATED)[-1]
    assert entry.actor_label == "sam"
    assert entry.changes == {
        "family_name": ["Lind", "Lindqvist"],
        "job_function": ["non_clinical", "attending_physician"],
    }


def test_saving_the_form_keeps_a_state_that_moved_meanwhile(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form is made from a row that was read before; it must write its own fields only."""
    from accounts.forms import UserForm

    clean = UserForm.clean

    def suspended_meanwhile(form: Any) -> Any:
        User.objects.filter(pk=people.lind.pk).update(state="suspended", password="replaced")
        return clean(form)

    monkeypatch.setattr(UserForm, "clean", suspended_meanwhile)
    signed_in(people.sam).post(
        address("user_change", people.lind.pk), plain(people.lind, email="l@example.org")
    )
    people.lind.refresh_from_db()
    assert (people.lind.email, people.lind.state, people.lind.password) == (
        "l@example.org",
        "suspended",
        "replaced",
    )


@pytest.mark.parametrize(
    ("verb", "before", "after", "event"),
    [
        ("suspend", "active", "suspended", EventType.USER_SUSPENDED),
        ("activate", "suspended", "active", EventType.USER_ACTIVATED),
        ("end", "active", "ended", EventType.USER_ENDED),
    ],
)
def test_a_verb_moves_the_state_with_its_reason(
    people: People, verb: str, before: str, after: str, event: EventType
) -> None:
    User.objects.filter(pk=people.lind.pk).update(state=before)
    client, url = signed_in(people.sam), address(f"user_{verb}", people.lind.pk)
    assert b"This field is required." in client.post(url, {"reason": " "}).content
    assert client.post(url, {"reason": "Badge lost"}).status_code == 302
    people.lind.refresh_from_db()
    assert people.lind.state == after
    entry = recorded(event)[-1]
    assert (entry.actor_label, entry.reason, entry.changes) == (
        "sam",
        "Badge lost",
        {"state": [before, after]},
    )
    assert client.post(url, {"reason": "Badge lost"}).status_code == 409
    assert refusals(f"users.{verb}") == [("sam", "wrong_state")]


def test_a_new_password_is_set_and_the_old_one_is_dead(people: People) -> None:
    url = address("user_set_password", people.lind.pk)
    assert signed_in(people.sam).post(url, verb_form("set_password")).status_code == 302
    assert authenticate(username="lind", password=NEW_PASSWORD) == people.lind
    assert authenticate(username="lind", password=PASSWORD) is None
    entry = recorded(EventType.PASSWORD_CHANGED)[-1]
    assert (entry.actor_label, entry.object_pk, entry.reason) == ("sam", str(people.lind.pk), "Badge lost")
    assert NEW_PASSWORD not in str(entry.additional_data)


@pytest.mark.parametrize(
    ("typed", "again"), [("too-little", "too-little"), ("lind lind lind lind", "different")]
)
def test_a_password_against_the_rules_is_a_form_error(people: People, typed: str, again: str) -> None:
    posted = {"reason": "Badge lost", "password": typed, "password_again": again}
    answer = signed_in(people.sam).post(address("user_set_password", people.lind.pk), posted)
    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert typed not in answer.content.decode().replace("Jon Lind", "")
    assert authenticate(username="lind", password=PASSWORD) == people.lind


def test_when_the_ledger_fails_no_password_changes(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the ledger cannot be written")

    monkeypatch.setattr("audit.ledger.record", fail)
    with pytest.raises(RuntimeError):
        users.set_password(
            user=people.lind, password=NEW_PASSWORD, by=people.sam, reason="Badge lost", now=timezone.now()
        )
    assert authenticate(username="lind", password=PASSWORD) == people.lind


@pytest.mark.parametrize("verb", VERBS)
def test_nobody_changes_their_own_account_a_superuser_included(people: People, verb: str) -> None:
    root = make_user("root", is_superuser=True)
    for person in (people.sam, root):
        User.objects.filter(pk=person.pk).update(state="active")
        client = signed_in(person)
        answer = client.post(address(f"user_{verb}", person.pk), verb_form(verb))
        assert answer.status_code == 409
        assert b"Nobody changes their own account here." in answer.content
        assert client.get(address("user_change", person.pk)).context["verbs"] == []
        person.refresh_from_db()
        assert person.state == "active"
        assert authenticate(username=person.username, password=PASSWORD) == person
    assert refusals(f"users.{verb}") == [("sam", "own_account"), ("root", "own_account")]


def test_nobody_edits_their_own_fields(people: People) -> None:
    ends_at = (timezone.now() + 900 * DAY).strftime("%Y-%m-%dT%H:%M")
    for person in (people.sam, make_user("root", is_superuser=True)):
        posted = plain(person, ends_at=ends_at, job_function="attending_physician")
        client = signed_in(person)
        assert client.post(address("user_change", person.pk), posted).status_code == 403
        assert b"another administrator changes it" in client.get(address("user_change", person.pk)).content
        person.refresh_from_db()
        assert (person.ends_at, person.job_function) == (None, "non_clinical")
    assert refusals("admin:accounts_user_change") == [("sam", "not_permitted"), ("root", "not_permitted")]


@pytest.mark.parametrize("verb", VERBS)
def test_an_administrator_does_not_touch_an_emergency_administrator(people: People, verb: str) -> None:
    root = make_user("root", is_superuser=True)
    client = signed_in(people.sam)
    assert client.post(address(f"user_{verb}", root.pk), verb_form(verb)).status_code == 409
    assert client.post(address("user_change", root.pk), plain(root, email="x@example.org")).status_code == 403
    assert refusals(f"users.{verb}") == [("sam", "not_permitted")]
    assert authenticate(username="root", password=PASSWORD) == root


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", ["okafor", "ines"])
def test_who_lacks_the_permission_changes_nothing(people: People, verb: str, name: str) -> None:
    state = VERBS[verb]
    User.objects.filter(pk=people.lind.pk).update(state=state)
    client = signed_in(getattr(people, name))
    assert (
        client.post(address(f"user_{verb}", people.lind.pk), verb_form(verb), follow=True).status_code == 403
    )
    assert client.post(address(CREATE), form(), follow=True).status_code == 403
    people.lind.refresh_from_db()
    assert people.lind.state == state
    denied = recorded(EventType.OPERATION_REFUSED)
    assert [(entry.actor_label, entry.reason_code) for entry in denied] == [(name, "not_permitted")] * 2


def test_a_user_is_never_deleted(people: People) -> None:
    root = signed_in(make_user("root", is_superuser=True))
    assert root.post(address("user_delete", people.lind.pk), {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [str(people.lind.pk)], "post": "yes"}
    root.post(address("user_changelist"), action)
    assert User.objects.filter(pk=people.lind.pk).exists()


def test_the_page_shows_roles_and_no_password(people: People) -> None:
    shown = signed_in(people.sam).get(address("user_change", people.lind.pk)).content.decode()
    assert "Clinician" in shown
    assert people.lind.password not in shown
    assert "argon2" not in shown


def suggested(client: Any, term: str) -> list[str]:
    """Return what the autocomplete offers."""
    query = {
        "app_label": "accounts",
        "model_name": "patientaccessgrant",
        "field_name": "grantee_user",
        "term": term,
    }
    return [each["text"] for each in client.get("/admin/autocomplete/", query).json()["results"]]


def test_autocomplete_finds_people_by_the_beginning_of_their_username(people: People) -> None:
    client = signed_in(people.sam)
    assert suggested(client, "OKA") == ["Ada Okafor (okafor)"]
    for term in ("kafor", "%", "_", "o'--"):
        assert suggested(client, term) == []
    assert client.get("/admin/autocomplete/", {"term": "\x00"}).status_code in (400, 403)


def test_autocomplete_is_closed_to_clinicians(people: People) -> None:
    query = {
        "app_label": "accounts",
        "model_name": "patientaccessgrant",
        "field_name": "grantee_user",
        "term": "o",
    }
    answer = signed_in(people.okafor).get("/admin/autocomplete/", query, follow=True)
    assert answer.status_code == 403


def test_the_list_is_searched_and_filtered(people: People) -> None:
    client = signed_in(people.sam)
    found = client.get(address("user_changelist"), {"q": "lin", "state__exact": "active"})
    assert list(found.context["cl"].result_list) == [people.lind]
    for query in ({"q": "\x00"}, {"state__exact": "x"}, {"password__startswith": "a"}, {"p": "9"}):
        assert client.get(address("user_changelist"), query).status_code in (200, 302, 400)


@pytest.mark.parametrize(
    "address_of_list",
    [
        "accounts_user", "accounts_role", "accounts_careteam", "accounts_patientaccessgrant",
        "accounts_roleassignment", "tokens_client", "tokens_refreshfamily", "tokens_signingkey",
    ],
)  # fmt: skip
def test_no_list_is_filtered_by_a_column_that_it_does_not_offer(people: People, address_of_list: str) -> None:
    """A hash is read letter by letter with __startswith, and a server is held up with __regex."""
    model = apps.get_model(*address_of_list.split("_"))
    client, url = signed_in(people.sam), reverse(f"admin:{address_of_list}_changelist")
    assert client.get(url).status_code == 200
    for field in model._meta.concrete_fields:
        for lookup in ("", "__startswith", "__regex", "__gt"):
            assert client.get(url, {f"{field.name}{lookup}": "a"}).status_code == 400, field.name + lookup


def test_a_longer_list_takes_no_more_statements(people: People, django_assert_num_queries: Any) -> None:
    client, url = signed_in(people.sam), address("user_changelist")
    with django_assert_num_queries(5):
        client.get(url)
    for number in range(20):
        make_user(f"nurse-{number}")
    with django_assert_num_queries(5):
        client.get(url)


@pytest.mark.postgresql
def test_the_search_among_many_people_uses_the_index(people: People) -> None:
    User.objects.bulk_create(User(username=f"nurse-{number:05}", password="!") for number in range(5000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE accounts_user")
    plan = username_begins(User.objects.all(), "username", "NURSE-0420").explain()
    assert "Index Cond" in plan
    assert "Seq Scan" not in plan


def test_the_end_that_is_there_keeps_its_seconds(people: People) -> None:
    ends_at = datetime.datetime(2031, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    User.objects.filter(pk=people.lind.pk).update(ends_at=ends_at)
    client, url = signed_in(people.sam), address("user_change", people.lind.pk)
    assert b'value="2031-01-02T03:04:05"' in client.get(url).content
    client.post(url, plain(people.lind, email="l@example.org", ends_at="2031-01-02T03:04:05"))
    people.lind.refresh_from_db()
    assert people.lind.ends_at == ends_at
    assert recorded(EventType.USER_UPDATED)[-1].changes == {"email": ["", "l@example.org"]}


def test_the_buttons_lead_on_to_role_access_and_explanation(people: People) -> None:
    client = signed_in(people.sam)
    for verb in client.get(address("user_change", people.lind.pk)).context["verbs"]:
        assert client.get(verb["url"]).status_code == 200
    assert Role.objects.count() == 3
