"""Encrypted columns: nothing readable in the database, nothing that can be moved, searched or lost with a new key."""

import base64
import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import FieldError, ValidationError
from django.db import IntegrityError, connection, transaction

from accounts.models import Patient
from audit.raw_sql import uuid_parameter
from crypto import fields, keyring
from crypto.envelope import CannotOpen
from tests.people import PHI, People, make_patient

pytestmark = pytest.mark.django_db
LABEL = "accounts.Patient.family_name"


def stored(patient: Patient, column: str) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM accounts_patient WHERE id = %s", [uuid_parameter(patient.pk)])  # noqa: S608
        return bytes(cursor.fetchone()[0])


@pytest.fixture
def more_keys(settings: Any) -> Iterator[Any]:
    """Put a new root key in front of those there are; or leave only that one."""

    def forget() -> None:
        keyring.encryption_keys.cache_clear()
        keyring.encryption_subkey.cache_clear()

    def put(*, keep: bool) -> None:
        entry = f"newer:{base64.urlsafe_b64encode(bytes(range(32))).decode()}"
        settings.WARDKEY_ENCRYPTION_KEYS = f"{entry},{before}" if keep else entry
        forget()

    before = settings.WARDKEY_ENCRYPTION_KEYS
    yield put
    forget()


def test_the_database_holds_no_readable_value(people: People) -> None:
    columns = (
        "family_name",
        "given_name",
        "birth_date",
        "record_number",
        "record_number_index",
        "family_name_index",
    )
    everything = b"".join(stored(people.rosa, column) for column in columns)
    assert not [text for text in PHI if text.encode() in everything]


def test_values_come_back(people: People) -> None:
    rosa = Patient.objects.get(pk=people.rosa.pk)
    assert (rosa.family_name, rosa.birth_date) == ("Alvarez", datetime.date(1958, 3, 14))
    assert Patient.objects.values_list("family_name", flat=True).get(pk=rosa.pk) == "Alvarez"


def test_two_equal_values_look_different(people: People) -> None:
    other = make_patient("MRN-9", "Alvarez", "Rosa", "1958-03-14")
    assert stored(other, "family_name") != stored(people.rosa, "family_name")
    assert stored(other, "family_name_index") == stored(people.rosa, "family_name_index")


def test_a_value_that_was_moved_to_another_column_does_not_open(people: People) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_patient SET given_name = family_name")
    with pytest.raises(CannotOpen, match="given_name"):
        Patient.objects.get(pk=people.rosa.pk)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x01",
        b"\x01\xff",
        b"\x02" + b"x" * 60,
        b"\x01\x01k" + b"x" * 40,
        b"\x01\x02\xff\xff" + b"x" * 40,
    ],
)
def test_a_value_that_is_none_of_ours_does_not_open(value: bytes) -> None:
    with pytest.raises(CannotOpen):
        fields.decrypt(LABEL, value)


def test_every_altered_byte_is_noticed() -> None:
    good = fields.encrypt(LABEL, "Alvarez")
    assert fields.decrypt(LABEL, good) == "Alvarez"
    for position in range(len(good)):
        altered = bytearray(good)
        altered[position] ^= 1
        with pytest.raises(CannotOpen):
            fields.decrypt(LABEL, bytes(altered))


@pytest.mark.parametrize(
    "look_up",
    [
        {"family_name": "Alvarez"}, {"family_name__in": ["Alvarez"]}, {"family_name__startswith": "A"},
        {"family_name__icontains": "a"}, {"birth_date__gt": datetime.date(1950, 1, 1)}, {"birth_date__year": 1958},
    ],
)  # fmt: skip
def test_an_encrypted_column_cannot_be_searched(look_up: dict[str, Any]) -> None:
    with pytest.raises(FieldError):
        Patient.objects.filter(**look_up).first()
    assert not Patient.objects.filter(family_name__isnull=True).exists()


def test_the_blind_index_finds_the_exact_value_only(people: People) -> None:
    assert Patient.objects.search(" mrn-000001 ").get() == people.rosa
    assert Patient.objects.search("ALVAREZ").get() == people.rosa
    assert Patient.objects.search(str(people.rosa.pk)).get() == people.rosa
    for text in ("MRN-00000", "Alv", "", "%", "' OR 1=1 --", "\x00"):
        assert not Patient.objects.search(text).exists(), text


def test_an_old_value_is_read_after_a_new_key_came_and_is_sealed_with_it_when_saved(
    people: People, more_keys: Any
) -> None:
    old = stored(people.rosa, "family_name")
    more_keys(keep=True)
    rosa = Patient.objects.get(pk=people.rosa.pk)
    assert rosa.family_name == "Alvarez"
    rosa.save()
    new = stored(rosa, "family_name")
    assert new[2:7] == b"newer"
    assert old[2:7] != b"newer"
    more_keys(keep=False)
    assert Patient.objects.get(pk=rosa.pk).family_name == "Alvarez"
    with pytest.raises(CannotOpen):
        fields.decrypt(LABEL, old)


@pytest.mark.parametrize("value", ["14.3.1958", "1958-13-01", "", 19580314])
def test_what_is_no_date_is_no_birth_date(value: object) -> None:
    with pytest.raises(ValidationError):
        Patient._meta.get_field("birth_date").to_python(value)


def test_a_record_number_is_used_once_whatever_its_spelling(people: People) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make_patient("mrn-000001 ", "Other", "Person", "2000-01-01")
