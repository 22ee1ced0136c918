"""create_user, assign_role, set_password, grant_access: the operations' doors in a shell, one line for each fault."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import PatientAccessGrant, RoleAssignment, User
from accounts.shell import operator
from audit.events import EventType
from audit.models import Event
from tests.people import DAY, PASSWORD, People

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
UNTIL = (timezone.now() + 9 * DAY).strftime("%Y-%m-%d")
ASKED = [
    "--to",
    "lind",
    "--patient",
    "MRN-000002",
    "--scope",
    "patient/Patient.rs",
    "--until",
    UNTIL,
    "--reason",
    "C",
]


def run(*arguments: str, typed: str = "", monkeypatch: Any = None) -> str:
    out = io.StringIO()
    if monkeypatch:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    call_command(*arguments, stdout=out)
    return out.getvalue().strip()


def create(monkeypatch: Any, *arguments: str, password: str = PASSWORD) -> str:
    return run("create_user", *arguments, "--password-stdin", typed=f"{password}\n", monkeypatch=monkeypatch)


def test_the_first_user_becomes_administrator(db: None, monkeypatch: Any) -> None:
    assert create(monkeypatch, "ada") == "Created ada as Access administrator."
    ada = User.objects.get()
    assert ada.check_password(PASSWORD)
    assert ada.has_perm("accounts.assign_role")
    entry = Event.objects.get(event=EventType.USER_CREATED)
    assert entry.actor_label == "ada"
    assert entry.user_agent.startswith("manage.py create_user (")


@pytest.mark.parametrize(
    ("arguments", "password", "sentence"),
    [
        (["new"], PASSWORD, "--by"),
        (["new", "--by", "nobody"], PASSWORD, "no user with that username"),
        (["new", "--by", "lind"], PASSWORD, "do not have the permission"),
        (["new", "--by", "sam", "--role", "wizard"], PASSWORD, "no such role; there are"),
        (["new", "--by", "sam"], "short", "too short"),
        (["new", "--by", "sam"], "", "too short"),
        (["sam", "--by", "sam"], PASSWORD, "already exists"),
        (["a b", "--by", "sam"], PASSWORD, "Letters, digits"),
        (["new", "--by", "sam", "--employment-type", "vendor"], PASSWORD, "end date and a sponsor"),
        (["new", "--by", "sam", "--sponsor", "nobody"], PASSWORD, "no user with that username"),
        (["new", "--by", "sam", "--ends", "tomorrow"], PASSWORD, "--ends"),
        (["new", "--by", "sam", "--ends", "2026-02-30"], PASSWORD, "--ends"),
    ],
)
def test_a_user_is_refused_with_one_sentence(
    people: People, monkeypatch: Any, arguments: list[str], password: str, sentence: str
) -> None:
    users = User.objects.count()
    with pytest.raises(CommandError) as refused:
        create(monkeypatch, *arguments, password=password)
    assert sentence in str(refused.value)
    assert User.objects.count() == users


def test_a_user_and_the_roles_come_together_or_not_at_all(people: People, monkeypatch: Any) -> None:
    both = ["new", "--by", "sam", "--role", "administrator", "--role", "compliance-officer"]
    with pytest.raises(CommandError, match="may not be combined"):
        create(monkeypatch, *both)
    assert not User.objects.filter(username="new").exists()
    assert create(monkeypatch, *both[:-2]) == "Created new as Access administrator."
    assert RoleAssignment.objects.get(user__username="new").assigned_by == people.sam


def test_whoever_the_operator_makes_administrator_counts_at_once_and_the_operator_is_recorded(
    people: People, monkeypatch: Any
) -> None:
    create(monkeypatch, "new", "--by", "sam", "--role", "administrator")
    done = run("assign_role", "okafor", "administrator", "--by", "sam", "--reason", "Vera has left")
    assert done == "okafor holds the role Access administrator."
    for username in ("new", "okafor"):
        assert User.objects.get(username=username).has_perm("accounts.assign_role")
    for entry in Event.objects.filter(event=EventType.ROLE_ASSIGNED):
        assert (entry.actor_label, (entry.additional_data or {})["operator"]) == ("sam", operator())


@pytest.mark.parametrize(
    ("arguments", "sentence", "recorded"),
    [
        (["sam", "clinician", "--by", "sam", "--reason", "x"], "to themselves", True),
        (["lind", "clinician", "--by", "ines", "--reason", "x"], "do not have the permission", True),
        (["ines", "administrator", "--by", "sam", "--reason", "x"], "may not be combined", True),
        (["lind", "administrator", "--by", "sam", "--reason", " "], "Say why", True),
        (["lind", "wizard", "--by", "sam", "--reason", "x"], "no such role; there are", False),
        (["nobody", "clinician", "--by", "sam", "--reason", "x"], "no user with that username", False),
        (["lind", "clinician", "--reason", "x"], "--by", False),
    ],
)
def test_a_role_is_refused_with_one_sentence(
    people: People, arguments: list[str], sentence: str, recorded: bool
) -> None:
    with pytest.raises(CommandError, match=sentence):
        run("assign_role", *arguments)
    assert RoleAssignment.objects.count() == 5
    assert Event.objects.filter(event=EventType.OPERATION_REFUSED).count() == recorded


def test_the_operator_sets_the_password_of_an_administrator_and_is_recorded(
    people: People, monkeypatch: Any
) -> None:
    arguments = ("set_password", "VERA", "--reason", "Forgotten", "--password-stdin")
    typed = "another horse battery\n"
    assert run(*arguments, typed=typed, monkeypatch=monkeypatch) == "The password of vera is set."
    assert User.objects.get(username="vera").check_password(typed.strip())
    entry = Event.objects.get(event=EventType.PASSWORD_CHANGED)
    assert (entry.actor_label, entry.object_repr, entry.reason) == ("", "vera", "Forgotten")
    assert entry.additional_data == {"method": "operator", "operator": operator()}
    assert entry.user_agent == f"manage.py set_password ({operator()})"


@pytest.mark.parametrize(
    ("username", "password", "reason", "sentence"),
    [
        ("nobody", "another horse battery", "x", "no user with that username"),
        ("vera", "short", "x", "too short"),
        ("vera", "", "x", "too short"),
        ("vera", "another horse battery", " ", "Say why"),
    ],
)
def test_a_password_is_refused_with_one_sentence(
    people: People, monkeypatch: Any, username: str, password: str, reason: str, sentence: str
) -> None:
    arguments = ("set_password", username, "--reason", reason, "--password-stdin")
    with pytest.raises(CommandError, match=sentence):
        run(*arguments, typed=f"{password}\n", monkeypatch=monkeypatch)
    assert User.objects.get(username="vera").check_password(PASSWORD)
    assert not Event.objects.filter(event=EventType.PASSWORD_CHANGED).exists()


def test_nobody_is_asked_for_a_password_where_nobody_is(people: People, monkeypatch: Any) -> None:
    with pytest.raises(CommandError, match="--password-stdin"):
        run("set_password", "vera", "--reason", "x", typed="", monkeypatch=monkeypatch)


def test_access_is_asked_for_approved_and_revoked(people: People) -> None:
    key, state = run("grant_access", "--by", "sam", *ASKED).split()
    assert state == "requested"
    assert run("grant_access", "--by", "vera", "--approve", key) == f"{key} active"
    assert run("grant_access", "--by", "vera", "--revoke", key, "--reason", "Over") == f"{key} revoked"
    assert PatientAccessGrant.objects.get(pk=key).revocation_reason == "Over"


@pytest.mark.parametrize(
    ("arguments", "sentence", "recorded"),
    [
        (["--by", "lind", *ASKED], "do not have the permission", True),
        (["--by", "sam", *ASKED, "--to", "sam"], "to themselves", True),
        (["--by", "sam", *ASKED, "--scope", "everything"], "patient/Observation.rs", True),
        (["--by", "sam", *ASKED, "--until", "2020-01-01"], "in the future", True),
        (["--by", "sam", *ASKED, "--until", "soon"], "--until", False),
        (["--by", "sam", *ASKED, "--patient", "MRN-9"], "No patient", False),
        (["--by", "sam", *ASKED, "--care-team", "None such"], "no care team", False),
        (["--by", "sam", "--to", "lind"], "--patient and --until", False),
        (["--by", "nobody", *ASKED], "no user with that username", False),
        (["--by", "sam", "--approve", "7"], "--approve", False),
        (["--by", "sam", "--approve", "00000000-0000-4000-8000-000000000000"], "no such access grant", False),
        (["--by", "sam", "--approve", "OWN"], "request of their own", True),
        (["--by", "vera", "--revoke", "OWN"], "has been decided", True),
    ],
)
def test_access_is_refused_with_one_sentence_and_the_refusal_recorded(
    people: People, arguments: list[str], sentence: str, recorded: bool
) -> None:
    own = run("grant_access", "--by", "sam", *ASKED).split()[0]
    arguments = [own if each == "OWN" else each for each in arguments]
    grants = list(PatientAccessGrant.objects.order_by("pk").values())
    with pytest.raises(CommandError) as refused:
        run("grant_access", *arguments)
    assert sentence in str(refused.value)
    assert list(PatientAccessGrant.objects.order_by("pk").values()) == grants
    assert Event.objects.filter(event=EventType.OPERATION_REFUSED).count() == recorded


@pytest.mark.parametrize(
    "arguments", [["--by", "x", "--until", "soon"], ["--by"], ["--by", "x", "--approve", "7"]]
)
def test_a_bad_argument_is_no_traceback(arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "manage.py", "grant_access", *arguments],
        cwd=ROOT, env={**os.environ}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode not in (0, 1)
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("manage.py grant_access: error:")
