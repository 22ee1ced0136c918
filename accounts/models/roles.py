"""Role: what a kind of work may do, as data. RoleAssignment: who holds it, from when to when, and why. Guarded."""

import datetime
import uuid
from collections.abc import Iterable
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.access import scopes, segregation
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

    @property
    def permission_names(self) -> set[str]:
        """The permissions that the role carries, as "app.codename"."""
        pairs = self.permissions.values_list("content_type__app_label", "codename")
        return {f"{app}.{codename}" for app, codename in pairs}

    @property
    def is_privileged(self) -> bool:
        """Whether giving somebody this role takes two people."""
        return segregation.is_privileged(self.permission_names)

    @transaction.atomic
    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """Save, as one version more than the row has by then. Locks the row until commit."""
        if not self._state.adding:
            versions = Role.objects.select_for_update().values_list("version", flat=True)
            self.version = versions.get(pk=self.pk) + 1
        if update_fields is not None:
            update_fields = {*update_fields, "version"}
        super().save(*args, update_fields=update_fields, **kwargs)


class RoleAssignmentQuerySet(models.QuerySet["RoleAssignment"]):
    """Role assignments by time."""

    def in_force(self, now: datetime.datetime) -> "RoleAssignmentQuerySet":
        """Return those that count now. The same rule in SQL: accounts.access.lookup."""
        return self.held(now).filter(
            Q(needs_approval=False) | Q(approved_at__isnull=False), starts_at__lte=now
        )

    def waiting(self, now: datetime.datetime) -> "RoleAssignmentQuerySet":
        """Return those that wait for approval."""
        return self.held(now).filter(needs_approval=True, approved_at__isnull=True)

    def held(self, now: datetime.datetime) -> "RoleAssignmentQuerySet":
        """Return those that are not over: in force, waiting, or yet to begin."""
        return self.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now), ended_at__isnull=True)

    def permission_names(self) -> set[str]:
        """Return the permissions of all their roles together, as "app.codename". One query."""
        pairs = self.filter(role__permissions__isnull=False).values_list(
            "role__permissions__content_type__app_label", "role__permissions__codename"
        )
        return {f"{app}.{codename}" for app, codename in pairs}


class RoleAssignment(models.Model):
    """Who holds a role. Changes only through accounts.operations.role_assignments.

    `needs_approval` is whether the role was privileged when it was assigned by one person alone; until somebody else
    approves, such an assignment counts for nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="role_assignments")
    role = models.ForeignKey(Role, models.PROTECT, related_name="assignments")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField()
    assigned_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    assigned_at = models.DateTimeField(db_default=Now())
    needs_approval = models.BooleanField(default=False)
    approved_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    approved_at = models.DateTimeField(null=True)
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
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True)
                | (
                    ~Q(approved_by=F("user"))
                    & (Q(assigned_by__isnull=True) | ~Q(approved_by=F("assigned_by")))
                ),
                name="role_assignment_approved_by_another",
            ),
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True, approved_at__isnull=True)
                | Q(approved_by__isnull=False, approved_at__isnull=False),
                name="role_assignment_approval_has_time",
            ),
            models.UniqueConstraint(
                fields=["user", "role"], condition=Q(ended_at__isnull=True), name="role_assignment_once"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["assigned_at"],
                name="role_assignment_waiting",
                condition=Q(needs_approval=True, approved_at__isnull=True, ended_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"Role assignment {str(self.pk)[:8]}"

    @property
    def is_waiting(self) -> bool:
        """Whether it counts for nothing until somebody else approves."""
        return self.needs_approval and self.approved_at is None and self.ended_at is None
