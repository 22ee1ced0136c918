"""Changes of registered models, as django-auditlog sees them, brought into the ledger: its registry's only importer.

An entry names the model and the primary key, never str(instance): a patient's is her name.
"""

from collections.abc import Mapping
from typing import Any

from auditlog.registry import auditlog
from django.db import models

from audit import ledger
from audit.events import EventType
from audit.models import Event, RegisteredModel

VERBS = {Event.Action.CREATE: "create", Event.Action.UPDATE: "update", Event.Action.DELETE: "delete"}


def register(
    model: type[models.Model],
    *,
    masked: tuple[str, ...] = (),
    excluded: tuple[str, ...] = (),
    m2m: tuple[str, ...] = (),
) -> None:
    """Have every create, update and delete of a model recorded with before and after.

    Raises ValueError at start-up when the vocabulary has no events for the model, TypeError when it would save a change
    whose entry fails.
    """
    if not issubclass(model, RegisteredModel):
        raise TypeError(f"{model.__name__} must be a RegisteredModel")
    for verb in VERBS.values():
        EventType(f"{model._meta.app_label}:{snake_case(model)}:{verb}")
    auditlog.register(
        model, mask_fields=list(masked), exclude_fields=list(excluded), m2m_fields=set(m2m) or None
    )


def record_change(instance: models.Model, *, action: int, changes: Mapping[str, Any]) -> None:
    """Record one change. `changes` is {field: [before, after]}."""
    patient = getattr(instance, "patient_ref", "")
    ledger.record(
        EventType(f"{instance._meta.app_label}:{snake_case(type(instance))}:{VERBS[action]}"),
        obj=instance,
        object_label=label(instance),
        patient=str(patient or ""),
        action=action,
        changes=changes,
    )


def label(instance: models.Model) -> str:
    """Return what the ledger calls an object: its own ledger_label if it has one that is free of PHI, else model:pk."""
    return getattr(instance, "ledger_label", None) or f"{instance._meta.label_lower}:{instance.pk}"


def mask(value: str) -> str:
    """Stand in for a value the ledger must not hold: that it changed is recorded, what it was is not."""
    return "" if value in ("", "None") else "(masked)"


def snake_case(model: type[models.Model]) -> str:
    """Return CareTeamMember as care_team_member."""
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(model.__name__))
