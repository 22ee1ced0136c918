"""Roles in the portal: nobody edits a role that they hold, and no role joins the ledger with changing access."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission

from accounts.access import segregation
from accounts.models import Role
from accounts.operations import role_assignments
from accounts.starter_roles import STARTER_ROLES
from audit.events import EventType
from tests.accounts.portal import address, recorded, refusals, signed_in
from tests.people import DAY, People, make_user


def keys(*names: str) -> list[int]:
    """Return the permissions of these code names."""
    return [Permission.objects.get(codename=name).pk for name in names]


def form(**changed: Any) -> dict[str, Any]:
    """Return what the form for a role posts."""
    return {
        "name": "Auditor",
        "code": "auditor",
        "description": "Reads.",
        "justification": "",
        "scope_ceiling": "",
        "purposes_of_use": ["HCOMPL"],
        "permissions": [],
        "incompatible_roles": [],
    } | changed


def test_a_role_is_made_and_changed_and_its_version_counts(people: People) -> None:
    client = signed_in(people.sam)
    assert client.post(address("role_add"), form(permissions=keys("view_event"))).status_code == 302
    role = Role.objects.get(code="auditor")
    assert (role.version, role.purposes_of_use) == (1, ["HCOMPL"])
    posted = form(description="Reads the ledger.", permissions=keys("view_event", "enter_portal"))
    assert client.post(address("role_change", role.pk), posted).status_code == 302
    role.refresh_from_db()
    assert (role.version, role.description) == (2, "Reads the ledger.")
    changes = [entry.changes for entry in recorded(EventType.ROLE_UPDATED) if entry.object_pk == str(role.pk)]
    assert any(change.get("description") == ["Reads.", "Reads the ledger."] for change in changes)
    assert any("permissions" in change for change in changes)


@pytest.mark.parametrize(
    "names",
    [
        ("view_event", "approve_access_grant"),
        ("export_event", "change_user"),
        ("view_event", "assign_role"),
        ("view_event", "add_role"),
        ("export_event", "revoke_signing_key"),
        ("view_event", "change_careteam"),
    ],
)
def test_a_role_may_not_join_the_ledger_with_changing_access(people: People, names: tuple[str, ...]) -> None:
    client = signed_in(people.sam)
    compliance = Role.objects.get(code="compliance-officer")
    for url in (address("role_add"), address("role_change", compliance.pk)):
        answer = client.post(url, form(permissions=keys(*names)))
        assert answer.status_code == 200
        assert b"may not change anybody" in answer.content
    assert not Role.objects.filter(code="auditor").exists()
    assert not compliance.permissions.filter(codename=names[1]).exists() or names[1].startswith("view")
    assert refusals("role.add") == refusals("role.change") == [("sam", "incompatible_permissions")]


def test_a_role_that_somebody_holds_gets_no_further_privilege(people: People) -> None:
    client, clinician = signed_in(people.sam), Role.objects.get(code="clinician")
    posted = form(name="Clinician", permissions=keys("assign_role"))
    answer = client.post(address("role_change", clinician.pk), posted)
    assert answer.status_code == 200
    assert b"that no second person approved" in answer.content
    assert not clinician.permissions.exists()
    assert refusals("role.change") == [("sam", "role_is_held")]
    harmless = form(name="Clinician", permissions=keys("view_careteam"))
    assert client.post(address("role_change", clinician.pk), harmless).status_code == 302
    assert [each.codename for each in clinician.permissions.all()] == ["view_careteam"]


def test_the_starter_roles_themselves_are_no_conflict() -> None:
    for role in STARTER_ROLES:
        assert not segregation.is_conflict(role["permissions"].split())


def test_every_permission_of_ours_that_is_not_plainly_harmless_changes_access(people: People) -> None:
    ours = Permission.objects.filter(content_type__app_label__in=("accounts", "tokens"))
    harmless = {each.codename for each in ours if not segregation.changes_access(f"accounts.{each.codename}")}
    assert {name for name in harmless if not name.startswith("view_")} == {"enter_portal", "explain_access"}


def test_nobody_edits_or_deletes_a_role_that_they_hold_a_superuser_included(people: People) -> None:
    root = make_user(
        "root",
        is_superuser=True,
    )
    role = Role.objects.get(code="administrator")
    from django.utils import timezone

    role_assignments.assign(
        user=root,
        role=role,
        reason="Drill",
        by=people.sam,
        now=timezone.now(),
        starts_at=timezone.now() + DAY,
    )
    for person in (people.sam, root):
        client = signed_in(person)
        posted = form(name="Mine", permissions=keys("view_event"))
        assert client.post(address("role_change", role.pk), posted).status_code == 403
        assert client.post(address("role_delete", role.pk), {"post": "yes"}).status_code == 403
        assert b"another administrator changes it" in client.get(address("role_change", role.pk)).content
    role.refresh_from_db()
    assert role.name == "Access administrator"
    assert refusals("admin:accounts_role_change") == [("sam", "not_permitted"), ("root", "not_permitted")]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"scope_ceiling": "patient/everything"}, "scope_ceiling"),
        ({"scope_ceiling": "patient/*.rs\x00"}, "scope_ceiling"),
        ({"purposes_of_use": ["FUN"]}, "purposes_of_use"),
        ({"code": "clinician"}, "code"),
        ({"code": "two words"}, "code"),
        ({"permissions": ["x"]}, "permissions"),
        ({"incompatible_roles": ["99999"]}, "incompatible_roles"),
    ],
)
def test_what_cannot_be_a_role_is_a_form_error(people: People, changed: dict[str, Any], field: str) -> None:
    answer = signed_in(people.sam).post(address("role_add"), form(**changed))
    assert answer.status_code == 200
    assert list(answer.context["adminform"].form.errors) == [field]


def test_the_code_of_a_role_stays(people: People) -> None:
    role = Role.objects.get(code="clinician")
    signed_in(people.sam).post(address("role_change", role.pk), form(code="other", name="Clinician"))
    role.refresh_from_db()
    assert role.code == "clinician"


@pytest.mark.parametrize("name", ["okafor", "ines"])
def test_who_lacks_the_permission_changes_nothing(people: People, name: str) -> None:
    role = Role.objects.get(code="clinician")
    client = signed_in(getattr(people, name))
    assert client.post(address("role_change", role.pk), form(), follow=True).status_code == 403
    assert client.post(address("role_add"), form(), follow=True).status_code == 403
    role.refresh_from_db()
    assert (role.name, role.version) == ("Clinician", 1)


def test_the_list_takes_few_statements(people: People, django_assert_max_num_queries: Any) -> None:
    client = signed_in(people.sam)
    with django_assert_max_num_queries(8):
        client.get(address("role_changelist"))
