"""Rotation of the encryption keys: everything under the current one, in batches, resumable, in the ledger."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.utils import timezone

from accounts.models import Patient
from audit import ledger
from audit.events import EventType
from audit.models import Event
from crypto import keyring
from tests.people import PHI, People, make_patient
from tokens import key_ring, resealing
from tokens.models import SigningKey

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing_keys")]
NEW = f"2027-01-01:{base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip('=')}"


@pytest.fixture
def use_keys(settings: Any) -> Iterator[Callable[[str], None]]:
    """Change WARDKEY_ENCRYPTION_KEYS as a restart with another value would."""

    def use(keys: str) -> None:
        settings.WARDKEY_ENCRYPTION_KEYS = keys
        keyring.encryption_keys.cache_clear()
        keyring.encryption_subkey.cache_clear()
        key_ring.forget()

    yield use
    keyring.encryption_keys.cache_clear()
    keyring.encryption_subkey.cache_clear()


def resealings() -> list[dict[str, Any]]:
    events = Event.objects.filter(event=EventType.ENCRYPTION_RESEALED).order_by("pk")
    return [{"model": event.object_repr, **event.additional_data} for event in events]


# --- Refusals -----------------------------------------------------------------------------------------------------
def test_a_row_whose_key_is_gone_is_named_without_its_content_and_left_alone(
    people: People, use_keys: Callable[[str], None]
) -> None:
    use_keys(NEW)
    with pytest.raises(CommandError, match="does not open") as refusal:
        call_command("reseal", verbosity=0)
    assert not any(word in str(refusal.value) for word in PHI)
    assert resealings() == []


def test_without_its_ledger_entry_nothing_is_sealed_again(
    people: People, use_keys: Callable[[str], None], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_keys(f"{NEW},{settings.WARDKEY_ENCRYPTION_KEYS}")
    before = resealing.remaining()

    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("the ledger is full")

    monkeypatch.setattr(ledger, "record", fail)
    with pytest.raises(DatabaseError):
        resealing.reseal_signing_keys(now=timezone.now())
    with pytest.raises(DatabaseError):
        list(resealing.reseal_columns(Patient, now=timezone.now()))
    assert resealing.remaining() == before == 4


# --- What it does -------------------------------------------------------------------------------------------------
def test_afterwards_everything_opens_without_the_older_key(
    people: People, use_keys: Callable[[str], None], settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    old = settings.WARDKEY_ENCRYPTION_KEYS
    use_keys(f"{NEW},{old}")
    call_command("reseal")
    assert f"No longer needed by this database: {old.partition(':')[0]}" in capsys.readouterr().out
    use_keys(NEW)
    rosa = Patient.objects.get(pk=people.rosa.pk)
    assert (rosa.family_name, rosa.given_name, rosa.record_number) == ("Alvarez", "Rosa", "MRN-000001")
    assert rosa.birth_date.isoformat() == "1958-03-14"
    assert Patient.objects.with_record_number("MRN-000001").get() == rosa
    assert set(key_ring.current().signers) == {"ES256", "RS256"}


def test_a_second_run_finds_nothing_to_do(
    people: People, use_keys: Callable[[str], None], settings: Any
) -> None:
    use_keys(f"{NEW},{settings.WARDKEY_ENCRYPTION_KEYS}")
    call_command("reseal", verbosity=0)
    kept = list(SigningKey.objects.order_by("pk").values_list("private_key", flat=True))
    call_command("reseal", verbosity=0)
    assert resealings() == [
        {"model": "tokens.SigningKey", "rows": 2, "key": "2027-01-01"},
        {"model": "accounts.Patient", "rows": 2, "key": "2027-01-01"},
    ]
    assert list(SigningKey.objects.order_by("pk").values_list("private_key", flat=True)) == kept


def test_an_interrupted_run_is_taken_up_where_it_stopped(
    people: People, use_keys: Callable[[str], None], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3, 8):
        make_patient(f"MRN-00000{number}", "Synthetic", "Patient", "1990-01-01")
    use_keys(f"{NEW},{settings.WARDKEY_ENCRYPTION_KEYS}")
    monkeypatch.setattr(resealing, "BATCH", 3)
    batches = resealing.reseal_columns(Patient, now=timezone.now())
    assert next(batches) == 3
    batches.close()
    assert resealing.remaining() == 4 + 2  # patients, and the signing keys
    assert sum(resealing.reseal_columns(Patient, now=timezone.now())) == 4
    assert sum(each["rows"] for each in resealings()) == 7


def test_the_ciphertext_of_a_signing_key_stays_and_only_its_wrapping_changes(
    use_keys: Callable[[str], None], settings: Any
) -> None:
    before = {key.kid: key.private_key for key in SigningKey.objects.all()}
    use_keys(f"{NEW},{settings.WARDKEY_ENCRYPTION_KEYS}")
    assert resealing.reseal_signing_keys(now=timezone.now()) == 2
    for key in SigningKey.objects.all():
        assert key.private_key is not None
        assert key.private_key["c"] == before[key.kid]["c"]
        assert key.private_key["w"] != before[key.kid]["w"]
        assert key.private_key["k"] == "2027-01-01"


def test_every_encrypted_column_of_every_model_is_found() -> None:
    assert Patient in resealing.encrypted_models()
    names = {field.attname for field in resealing.encrypted_fields(Patient)}
    assert names == {"family_name", "given_name", "birth_date", "record_number"}
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, Patient._meta.db_table)
    assert names <= {column.name for column in columns}
