"""Seal again what is sealed under an older encryption key, so that the older key can be taken away.

WARDKEY_ENCRYPTION_KEYS names the current key first; everything stays readable while its key is in the list. Signing
keys are wrapped again (crypto.envelope.rewrap: the ciphertext stays); encrypted columns are encrypted again.

Invariants: a batch is one transaction with its entry in the ledger; rows that are current already are not written, so
an interrupted run is taken up by the next; `remaining()` says zero before any key may go.
"""

import datetime
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models import BinaryField, ExpressionWrapper, F

from audit import ledger
from audit.events import EventType
from crypto import envelope, keyring
from crypto.fields import EncryptedTextField, key_id_of
from tokens.key_ring import additional_data
from tokens.models import SigningKey

BATCH = 500
Model = type[models.Model]


def reseal_signing_keys(*, now: datetime.datetime) -> int:
    """Wrap every private key under the current key; locks those rows. Return how many were wrapped."""
    with transaction.atomic():
        stale = [key for key in SigningKey.objects.select_for_update() if _is_stale(key)]
        for key in stale:
            assert key.private_key is not None  # noqa: S101 (what is stale is there)
            key.private_key = envelope.rewrap(key.private_key, additional_data(key.kid, key.algorithm))
            key.save(update_fields=["private_key"])
        if stale:
            _record(SigningKey, len(stale), now=now)
    return len(stale)


def reseal_columns(model: Model, *, now: datetime.datetime) -> Iterator[int]:
    """Encrypt the model's columns again, batch by batch in the order of its keys; yield how many after each."""
    fields = encrypted_fields(model)
    after: Any = None
    while True:
        with transaction.atomic():
            rows = model._default_manager.order_by("pk").select_for_update()
            batch = list(
                (rows if after is None else rows.filter(pk__gt=after))[:BATCH].annotate(**_stored(fields))
            )
            stale = [row for row in batch if any(_has_older_key(row, field) for field in fields)]
            for row in stale:
                # An UPDATE of these columns alone: nothing about the row changes, so auditlog has nothing to say.
                model._default_manager.filter(pk=row.pk).update(
                    **{field.attname: field.value_from_object(row) for field in fields}
                )
            if stale:
                _record(model, len(stale), now=now)
        if not batch:
            return
        after = batch[-1].pk
        yield len(stale)


def remaining() -> int:
    """Return how many rows still need an older key. Reads every sealed row."""
    count = sum(map(_is_stale, SigningKey.objects.all()))
    for model in encrypted_models():
        fields = encrypted_fields(model)
        rows = model._default_manager.annotate(**_stored(fields)).only("pk").iterator()
        count += sum(any(_has_older_key(row, field) for field in fields) for row in rows)
    return count


def encrypted_models() -> list[Model]:
    """Return every model with an encrypted column."""
    return [model for model in apps.get_models() if encrypted_fields(model)]


def encrypted_fields(model: Model) -> list[EncryptedTextField]:
    """Return the model's encrypted columns."""
    return [field for field in model._meta.concrete_fields if isinstance(field, EncryptedTextField)]


def _stored(fields: list[EncryptedTextField]) -> dict[str, Any]:
    """Ask for the columns as they are stored, beside their decrypted values."""
    return {
        f"stored_{field.attname}": ExpressionWrapper(F(field.attname), output_field=BinaryField())
        for field in fields
    }


def _has_older_key(row: models.Model, field: EncryptedTextField) -> bool:
    stored = getattr(row, f"stored_{field.attname}")
    return stored is not None and key_id_of(bytes(stored)) != keyring.current_key_id()


def _is_stale(key: SigningKey) -> bool:
    sealed = key.private_key
    kek = envelope.provider()
    return sealed is not None and (sealed["p"], sealed["k"]) != (kek.name, kek.current())


def _record(model: Model, count: int, *, now: datetime.datetime) -> None:
    ledger.record(
        EventType.ENCRYPTION_RESEALED,
        object_label=model._meta.label,
        details={"rows": count, "key": keyring.current_key_id()},
        now=now,
    )
