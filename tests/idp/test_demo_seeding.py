"""The demonstration's cast: made once, mended as often as need be, and never where other people are."""

import datetime
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Patient, PatientAccessGrant, User
from accounts.operations import access_grants, users
from audit.events import EventType
from audit.models import Event
from examples.fhir_server.patients_file import PatientsFile
from idp import demo
from tests.people import make_user

pytestmark = pytest.mark.django_db

DAY = datetime.timedelta(days=1)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def rows() -> dict[str, int]:
    return {model.__name__: model.objects.count() for model in (User, Patient, PatientAccessGrant, Event)}


def test_a_database_with_users_of_its_own_is_refused_and_nothing_is_written(folder: Path) -> None:
    make_user("somebody", role="administrator")
    before = rows()
    with pytest.raises(CommandError, match="has users of its own"):
        call_command("seed_demo")
    assert rows() == before
    assert list(folder.iterdir()) == []


def test_users_who_merely_bear_the_casts_names_are_users_of_their_own() -> None:
    make_user("sam", role="administrator")
    with pytest.raises(demo.NotADemo):
        demo.seed(timezone.now())


def test_the_file_has_the_agreed_form_and_its_passwords_work(folder: Path) -> None:
    demo.seed(timezone.now())
    path = folder / "demo-credentials.json"
    assert (
        stat.S_IMODE(path.stat().st_mode)
        == stat.S_IMODE((folder / demo.PATIENTS_FILE).stat().st_mode)
        == 0o600
    )
    known = json.loads(path.read_text())
    assert set(known) == {"issuer", "accounts", "patients", "clients"}
    assert known["issuer"] == "http://testserver"
    assert {"okafor", "lind", "ines", "sam"} <= known["accounts"].keys()
    for username, account in known["accounts"].items():
        assert set(account) == {"username", "password", "roles"}
        user = User.objects.get(username=username)
        assert len(account["password"]) >= 20
        assert user.check_password(account["password"])
        assert [each.role.code for each in user.role_assignments.all()] == account["roles"]
    assert Patient.objects.get(pk=known["patients"]["rosa"]).given_name == "Rosa"
    assert len(known["patients"]) == Patient.objects.count() == 24
    assert known["clients"]["direct"]["client_id"] == "direct"
    assert sorted(each.name for each in folder.iterdir()) == ["demo-credentials.json", "demo-patients.json"]


def test_a_second_time_changes_nothing(folder: Path) -> None:
    first = demo.seed(timezone.now())
    written = (folder / demo.CREDENTIALS).stat()
    before = rows()
    assert demo.seed(timezone.now()) == first
    assert rows() == before
    assert (folder / demo.CREDENTIALS).stat().st_ino == written.st_ino


def test_no_two_demonstrations_have_a_password_or_a_patients_id_in_common(folder: Path) -> None:
    first = demo._credentials(folder / "first.json")
    second = demo._credentials(folder / "second.json")
    assert not set(first["patients"].values()) & set(second["patients"].values())
    passwords = [{each["password"] for each in known["accounts"].values()} for known in (first, second)]
    assert len(passwords[0] | passwords[1]) == 10


def test_another_port_is_written_down(folder: Path, settings: Any) -> None:
    first = demo.seed(timezone.now())
    settings.WARDKEY_ISSUER = "http://127.0.0.1:9999"
    assert demo.seed(timezone.now()) == {**first, "issuer": "http://127.0.0.1:9999"}
    assert "9999" in (folder / demo.CREDENTIALS).read_text()


@pytest.mark.parametrize("damage", [None, "", "[]", "{}", '{"accounts": {"sam": 1}, "patients": {}}', "\x00"])
def test_a_lost_or_damaged_file_is_made_anew_with_passwords_that_work(
    folder: Path, damage: str | None
) -> None:
    first = demo.seed(timezone.now())
    path = folder / demo.CREDENTIALS
    path.unlink() if damage is None else path.write_text(damage)
    second = demo.seed(timezone.now())
    assert second["patients"] == first["patients"]
    for username, account in second["accounts"].items():
        user = User.objects.get(username=username)
        assert user.check_password(account["password"])
        assert not user.check_password(first["accounts"][username]["password"])
    assert json.loads(path.read_text()) == second


def test_people_whom_somebody_added_in_the_portal_stay_and_do_not_stop_it() -> None:
    demo.seed(timezone.now())
    sam = User.objects.get(username="sam")
    users.create(
        username="newcomer", password="a long enough password", given_name="New", family_name="Comer",
        job_function=User.JobFunction.RESIDENT, by=sam, now=timezone.now(),
    )  # fmt: skip
    demo.seed(timezone.now())
    assert User.objects.filter(username="newcomer").exists()


def test_dr_okafor_gets_her_access_to_rosa_again_when_it_was_revoked_or_has_ended() -> None:
    credentials = demo.seed(timezone.now())
    grant = PatientAccessGrant.objects.get(patient=credentials["patients"]["rosa"])
    vera = User.objects.get(username="vera")
    access_grants.revoke(grant=grant, reason="over", by=vera, now=timezone.now())
    demo.seed(timezone.now())
    renewed = PatientAccessGrant.objects.in_force(timezone.now()).get(patient=credentials["patients"]["rosa"])
    assert renewed.requested_by != renewed.approved_by
    later = renewed.ends_at + DAY
    demo.seed(later)
    assert (
        PatientAccessGrant.objects.in_force(later).filter(patient=credentials["patients"]["rosa"]).count()
        == 1
    )


def test_a_cast_that_was_changed_in_the_portal_is_a_sentence_and_the_rest_is_ready(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    credentials = demo.seed(timezone.now())
    grant = PatientAccessGrant.objects.get(patient=credentials["patients"]["rosa"])
    vera, okafor = User.objects.get(username="vera"), User.objects.get(username="okafor")
    access_grants.revoke(grant=grant, reason="over", by=vera, now=timezone.now())
    users.suspend(user=okafor, reason="trying it out", by=vera, now=timezone.now())
    (folder / demo.PATIENTS_FILE).unlink()
    call_command("seed_demo", verbosity=0)
    assert capsys.readouterr().err == (
        "Dr Okafor's access to Rosa could not be renewed: The person's account is not active.\n"
    )
    assert (folder / demo.PATIENTS_FILE).exists()


def test_everything_came_about_by_recorded_operations() -> None:
    before = Event.objects.count()
    demo.seed(timezone.now())
    events = Event.objects.filter(user_agent="manage.py seed_demo")
    assert events.filter(event=EventType.USER_CREATED).count() == 5
    assert events.filter(event=EventType.ROLE_ASSIGNED).count() == 5
    assert events.filter(event=EventType.ACCESS_GRANT_APPROVED).count() == 2
    assert Event.objects.count() == before + events.count()


def test_the_ledger_has_no_password_and_no_patients_name() -> None:
    credentials = demo.seed(timezone.now())
    told = " ".join(str(each) for each in Event.objects.values_list())
    for account in credentials["accounts"].values():
        assert account["password"] not in told
    for phi in ("Alvarez", "MRN-000001", "1958-03-14"):
        assert phi not in told


def test_the_fhir_server_can_read_the_patients_file(folder: Path) -> None:
    credentials = demo.seed(timezone.now())
    people = PatientsFile(folder / demo.PATIENTS_FILE)
    for id_ in credentials["patients"].values():
        assert people.compartment(id_)["Patient"][id_]["id"] == id_


def test_a_power_cut_after_the_file_loses_no_password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_ward", cut)
    with pytest.raises(KeyboardInterrupt):
        demo.seed(timezone.now())
    assert User.objects.count() == Patient.objects.count() == 0
    monkeypatch.undo()
    written = json.loads((folder / demo.CREDENTIALS).read_text())
    assert demo.seed(timezone.now()) == written
