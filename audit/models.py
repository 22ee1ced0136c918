"""The ledger's table and the jobs' outbox.

`Event` is django-auditlog's log entry, swapped: changes of models and acts of security are rows of one table. A row
is text as it was at the time: no foreign key, so that nothing that happens later can rewrite it. Database triggers
refuse UPDATE, DELETE and TRUNCATE. `ledger.record()` is the only writer.
"""

import uuid
from typing import Any, ClassVar

from auditlog.models import AbstractLogEntry
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone

from audit.events import Outcome, event_choices


class RegisteredModel(models.Model):
    """A model whose every change the ledger keeps (audit.model_changes): no entry, no change, in a transaction or not.

    Django sends post_save after the row's own transaction; deletes and many-to-many changes it wraps already.
    """

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)


class CurrentTransactionId(models.Func):
    """PostgreSQL's 64-bit transaction id; 0 on SQLite, where the order of ids is the order of commits."""

    template = "0"
    output_field = models.BigIntegerField()

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        return "(pg_current_xact_id()::text::bigint)", []


class EventManager(models.Manager["Event"]):
    """What django-auditlog calls; it hands on to the one writer."""

    def log_create(self, instance: models.Model, force_log: bool = False, **kwargs: Any) -> "Event | None":
        """Record a change of a registered model."""
        from audit import model_changes

        model_changes.record_change(instance, action=kwargs["action"], changes=kwargs.get("changes") or {})
        return None

    def log_m2m_changes(
        self, changed_queryset: Any, instance: models.Model, operation: str, field_name: str, **kwargs: Any
    ) -> None:
        """Record a change of a registered model's many-to-many field."""
        from audit import model_changes

        if labels := sorted(model_changes.label(related) for related in changed_queryset):
            before, after = ([], labels) if operation == "add" else (labels, [])
            changes = {field_name: [", ".join(before), ", ".join(after)]}
            model_changes.record_change(instance, action=Event.Action.UPDATE, changes=changes)


class Event(AbstractLogEntry):  # type: ignore[misc]
    """One entry of the ledger."""

    # What the upstream model has and a ledger must not (foreign keys) or need not have.
    content_type = None
    object_id = None
    serialized_data = None
    changes_text = None
    actor = None
    actor_email = None
    remote_port = None
    timestamp = None
    cid = None

    event_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.PositiveSmallIntegerField("version of the field list", default=1)
    recorded_at = models.DateTimeField(default=timezone.now)
    event = models.CharField(max_length=64, choices=event_choices)
    outcome = models.PositiveSmallIntegerField(choices=Outcome, default=Outcome.SUCCESS)
    action = models.PositiveSmallIntegerField(choices=AbstractLogEntry.Action.choices, default=3)
    actor_ref = models.CharField("actor", max_length=64, blank=True)
    actor_label = models.CharField("actor's name then", max_length=150, blank=True)
    client_ref = models.CharField("client", max_length=64, blank=True)
    session_ref = models.CharField("session or refresh family", max_length=64, blank=True)
    patient_ref = models.CharField("patient", max_length=64, blank=True)
    object_type = models.CharField(max_length=64, blank=True)
    object_pk = models.CharField("object", max_length=64, blank=True)
    object_repr = models.CharField("object's label then", max_length=200, blank=True)
    jti = models.CharField("token", max_length=64, blank=True)
    purpose_of_use = models.CharField(max_length=32, blank=True)
    basis = models.CharField("basis of the decision", max_length=100, blank=True)
    reason_code = models.CharField(max_length=64, blank=True)
    reason = models.TextField(blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    remote_addr = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    changes = models.JSONField(null=True, blank=True)
    additional_data = models.JSONField("details", null=True, blank=True)
    leaf = models.BinaryField("leaf hash", max_length=32, editable=False)
    xid = models.BigIntegerField("transaction", db_default=CurrentTransactionId(), editable=False)

    objects: ClassVar[EventManager] = EventManager()

    class Meta:
        ordering: ClassVar = ["-id"]
        get_latest_by = "id"
        verbose_name = "event"
        default_permissions = ("view",)
        permissions: ClassVar = [("export_event", "Can export the ledger")]
        indexes: ClassVar = [
            models.Index(fields=["recorded_at"], name="event_recorded_at"),
            models.Index(fields=["actor_ref", "-id"], name="event_actor"),
            models.Index(
                fields=["patient_ref", "-id"], name="event_patient", condition=~models.Q(patient_ref="")
            ),
            models.Index(fields=["event", "-id"], name="event_event"),
            models.Index(fields=["object_pk", "-id"], name="event_object", condition=~models.Q(object_pk="")),
            models.Index(fields=["jti"], name="event_jti", condition=~models.Q(jti="")),
        ]

    def __str__(self) -> str:
        return f"{self.get_event_display()} ({self.event_id})"


class Job(models.Model):
    """A piece of background work: its outbox row, its claim and its outcome.

    The row is written in the transaction that wants the work done; a message to the queue only makes it start
    sooner. A lost message, a killed worker or a doubled beat therefore lose and repeat nothing: (kind, slot) is
    unique, a worker claims by a conditional UPDATE, and rows that are pending or past their lease are sent again.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=80)
    slot = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["kind", "slot"], name="job_once_per_slot")]
        indexes: ClassVar = [models.Index(fields=["state", "lease_until"], name="job_due")]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.kind} {self.slot}"
