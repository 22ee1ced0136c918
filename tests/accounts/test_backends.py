"""Permissions: only from roles in force, only for an account that may act, and never the ledger for a superuser."""

import datetime
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.utils import timezone

from accounts.backends import RoleBackend
from accounts.models import RoleAssignment, User
from accounts.models.users import NEVER_BY_SUPERUSER
from tests.people import DAY, PASSWORD, People, make_user

pytestmark = pytest.mark.django_db
NOW = timezone.now()
ASSIGN = "accounts.assign_role"


def again(user: User) -> User:
    return User.objects.get(pk=user.pk)


def test_a_role_in_force_gives_its_permissions_and_no_others(people: People) -> None:
    assert people.sam.has_perm(ASSIGN)
    assert people.sam.is_staff
    assert not people.sam.has_perm("audit.view_event")
    assert people.ines.has_perms(["audit.view_event", "audit.export_event"])
    assert not people.ines.has_perm(ASSIGN)
    assert not people.okafor.has_module_perms("accounts")


@pytest.mark.parametrize(
    "change",
    [
        {"starts_at": NOW + DAY},
        {"ended_at": NOW},
        {"starts_at": NOW - 2 * DAY, "ends_at": NOW - DAY},
    ],
)
def test_a_role_that_is_not_in_force_gives_nothing(people: People, change: dict[str, Any]) -> None:
    RoleAssignment.objects.filter(user=people.sam).update(**change)
    sam = again(people.sam)
    assert not sam.has_perm(ASSIGN)
    assert not sam.is_staff
    assert not sam.has_module_perms("accounts")


@pytest.mark.parametrize("superuser", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"state": "suspended"},
        {"state": "ended"},
        {"state": "pending"},
        {"ends_at": NOW - datetime.timedelta(seconds=1)},
    ],
)
def test_an_account_that_may_not_act_has_no_permission_and_no_session(
    people: People, change: dict[str, Any], superuser: bool
) -> None:
    User.objects.filter(pk=people.sam.pk).update(is_superuser=superuser, **change)
    sam = again(people.sam)
    assert not sam.has_perm(ASSIGN)
    assert not sam.is_staff
    assert not sam.has_module_perms("accounts")
    assert RoleBackend().get_user(sam.pk) is None
    assert RoleBackend().get_all_permissions(sam) == set()
    assert authenticate(username="sam", password=PASSWORD) is None


def test_a_superuser_holds_everything_but_reading_the_ledger(people: People) -> None:
    root = make_user("root", is_superuser=True)
    assert {"audit.view_event", "audit.export_event"} == NEVER_BY_SUPERUSER
    assert root.has_perm(ASSIGN)
    assert not any(root.has_perm(permission) for permission in NEVER_BY_SUPERUSER)
    assert root.has_module_perms("accounts")
    assert not root.has_module_perms("audit")


def test_a_superuser_who_is_compliance_officer_reads_the_ledger_by_that_role(people: People) -> None:
    User.objects.filter(pk=people.ines.pk).update(is_superuser=True)
    assert again(people.ines).has_perm("audit.view_event")


def test_permissions_are_not_asked_for_one_object(people: People) -> None:
    assert RoleBackend().get_all_permissions(people.sam, obj=people.rosa) == set()


@pytest.mark.parametrize("typed", ["okafor", "OKAFOR", " okafor ", "\uff4fkafor"])
def test_a_username_has_many_spellings(people: People, typed: str) -> None:
    assert authenticate(username=typed, password=PASSWORD) == people.okafor


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("okafor", "wrong"),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("okafor", ""),
        ("okafor\x00", PASSWORD),
        ("okafor\ud800", PASSWORD),
    ],
)
def test_wrong_credentials_are_nobody(people: People, username: str, password: str) -> None:
    assert authenticate(username=username, password=password) is None
