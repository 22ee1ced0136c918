"""Role: what a kind of work may do, as data. RoleAssignment: who holds it, from when to when, and why. Guarded."""

import datetime
import uuid
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.access import scopes
from accounts.purposes import PURPOSES_OF_USE
from audit.models import RegisteredModel


def validate_scopes(text: str) -> None:
    """Refuse text that is not space-separated SMART resource scopes."""
    try:
        scopes.parse(text)
    except scopes.InvalidScope as error:
        raise ValidationError(
            "Each scope looks like patient/Observation.rs.", code="invalid_scope"
        ) from error


def validate_purposes(codes: object) -> None:
    """Refuse anything but a list of known purpose-of-use codes."""
    if not isinstance(codes, list) or not all(code in PURPOSES_OF_USE for code in codes):
        raise ValidationError(f"Choose from {', '.join(PURPOSES_OF_USE)}.", code="invalid_purpose")


class Role(RegisteredModel):
    """A bundle of permissions with its scope ceiling. Every change counts the version up and is in the ledger."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80)
    description = models.TextField(help_text="In plain language: what people with this role do.")
    justification = models.TextField(
        blank=True, help_text="Why these categories of PHI (45 CFR 164.514(d)(2))."
    )
    scope_ceiling = models.TextField(
        blank=True, validators=[validate_scopes], help_text="The most a token of this role can carry."
    )
    purposes_of_use = models.JSONField(default=list, blank=True, validators=[validate_purposes])
    permissions = models.ManyToManyField("auth.Permission", blank=True, related_name="+")
    incompatible_roles = models.ManyToManyField(
        "self", blank=True, help_text="Roles that one person may not hold beside this one."
    )
    may_break_glass = models.BooleanField(default=False)
    needs_mfa = models.BooleanField("needs a second factor", default=False)
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def ledger_label(self) -> str:
        """What the ledger calls this role."""
        return f"{self.code} v{self.version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            self.version += 1
        super().save(*args, **kwargs)


class RoleAssignmentQuerySet(models.QuerySet["RoleAssignment"]):
    """Role assignments by time."""

    def in_force(self, now: datetime.datetime) -> "RoleAssignmentQuerySet":
        """Return those that count now."""
        return self.filter(
            Q(ends_at__isnull=True) | Q(ends_at__gt=now), starts_at__lte=now, ended_at__isnull=True
        )


class RoleAssignment(models.Model):
    """Who holds a role. Changes only through accounts.operations.role_assignments."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="role_assignments")
    role = models.ForeignKey(Role, models.PROTECT, related_name="assignments")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField()
    assigned_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    assigned_at = models.DateTimeField(db_default=Now())
    ended_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    ended_at = models.DateTimeField(null=True)
    end_reason = models.TextField(blank=True)

    objects = RoleAssignmentQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-assigned_at"]
        default_permissions = ("view",)
        permissions: ClassVar = [
            ("assign_role", "Can assign roles"),
            ("end_role_assignment", "Can end role assignments"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="role_assignment_ends_after_start",
            ),
            models.CheckConstraint(
                condition=Q(assigned_by__isnull=True) | ~Q(assigned_by=F("user")),
                name="role_assignment_not_to_oneself",
            ),
            models.UniqueConstraint(
                fields=["user", "role"], condition=Q(ended_at__isnull=True), name="role_assignment_once"
            ),
        ]

    def __str__(self) -> str:
        return f"Role assignment {str(self.pk)[:8]}"
