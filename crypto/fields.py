"""Model fields whose values are encrypted in the database (AES-256-GCM).

Stored form: version byte 1, length of the key id, key id, 12-byte nonce, ciphertext with tag. The additional data
is the field's own label ("accounts.Patient.family_name"), so a value cannot be moved to another column. The value
cannot be searched or ordered by; put a blind index (crypto.keyed_hash) beside it for exact matches.
"""

import datetime
import os
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django import forms
from django.core import checks
from django.core.exceptions import FieldError, ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from crypto import keyring
from crypto.envelope import NONCE_BYTES, CannotOpen


def encrypt(label: str, text: str) -> bytes:
    """Return the stored form of a text for the column of this label."""
    key_id = keyring.current_key_id()
    nonce = os.urandom(NONCE_BYTES)
    ciphertext = _cipher(key_id).encrypt(nonce, text.encode(), label.encode())
    return b"\x01" + bytes([len(key_id)]) + key_id.encode() + nonce + ciphertext


def decrypt(label: str, stored: bytes) -> str:
    """Return the text of a stored value. Raises CannotOpen when it was altered, moved or its key is unknown."""
    start = 2 + stored[1] if len(stored) > 2 and stored[0] == 1 else 0
    try:
        cipher = _cipher(stored[2:start].decode())
        nonce, ciphertext = stored[start : start + NONCE_BYTES], stored[start + NONCE_BYTES :]
        return cipher.decrypt(nonce, ciphertext, label.encode()).decode()
    except (KeyError, InvalidTag, ValueError) as error:
        raise CannotOpen(f"a value of {label} does not open") from error


def key_id_of(stored: bytes) -> str:
    """Return the id of the root key that a stored value needs. Raises CannotOpen for what we have not written."""
    if len(stored) < 2 or stored[0] != 1:
        raise CannotOpen("this value was not encrypted by this field")
    return stored[2 : 2 + stored[1]].decode(errors="replace")


def _cipher(key_id: str) -> AESGCM:
    return AESGCM(keyring.encryption_subkey(key_id, "column"))


class EncryptedTextField(models.Field):  # type: ignore[type-arg]
    """A text that is encrypted in its column."""

    description = "Text, encrypted"

    @property
    def label(self) -> str:
        """The additional data that ties a ciphertext to this column."""
        return f"{self.model._meta.label}.{self.attname}"

    def get_internal_type(self) -> str:
        return "BinaryField"

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        errors = super().check(**kwargs)
        if self.db_index or self.unique:  # type: ignore[attr-defined]
            errors.append(checks.Error("An encrypted column cannot be indexed.", obj=self, id="crypto.E001"))
        return errors

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is encrypted and cannot be searched; use its blind index.")
        return super().get_lookup(lookup_name)

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        if value is None:
            return None
        return connection.Database.Binary(encrypt(self.label, self.to_text(value)))  # type: ignore[attr-defined]

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        return None if value is None else self.to_python(decrypt(self.label, bytes(value)))

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return "" if value is None else self.to_text(value)

    def to_text(self, value: Any) -> str:
        """Return the text that is encrypted for a Python value."""
        return str(value)

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": forms.CharField, **kwargs})


class EncryptedDateField(EncryptedTextField):
    """A calendar date that is encrypted in its column (ISO 8601 inside)."""

    description = "Date, encrypted"

    def to_python(self, value: Any) -> datetime.date | None:
        if value is None or isinstance(value, datetime.date):
            return value
        try:
            return datetime.date.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise ValidationError("Enter a date as YYYY-MM-DD.", code="invalid") from error

    def to_text(self, value: Any) -> str:
        return value.isoformat() if isinstance(value, datetime.date) else str(self.to_python(value))

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": forms.DateField, **kwargs})
