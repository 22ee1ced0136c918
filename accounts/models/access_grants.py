"""PatientAccessGrant: one clinician or care team may see one patient, for a purpose, until an end. Guarded.

requested -> approved -> active -> expired, with rejected and revoked on the way. Whether it counts is decided by
its times, not only by its state: an approved grant works from `starts_at` and stops at `ends_at` even when the task
that moves the state is late.
"""

import datetime
import uuid
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models.roles import validate_scopes
from accounts.purposes import PURPOSES_OF_USE


class PatientAccessGrantQuerySet(models.QuerySet["PatientAccessGrant"]):
    """Access grants by state and time."""

    def in_force(self, now: datetime.datetime) -> "PatientAccessGrantQuerySet":
        """Return those that count now."""
        return self.filter(state__in=PatientAccessGrant.COUNTS, starts_at__lte=now, ends_at__gt=now)

    def waiting(self) -> "PatientAccessGrantQuerySet":
        """Return those that wait for approval."""
        return self.filter(state=PatientAccessGrant.State.REQUESTED)

    def ending_before(
        self, then: datetime.datetime, *, now: datetime.datetime
    ) -> "PatientAccessGrantQuerySet":
        """Return those in force whose end is near."""
        return self.in_force(now).filter(ends_at__lte=then)


class PatientAccessGrant(models.Model):
    """An explicit grant. Changes only through accounts.operations.access_grants."""

    class State(models.TextChoices):
        REQUESTED = "requested", "Requested"
        APPROVED = "approved", "Approved"
        ACTIVE = "active", "Active"
        REJECTED = "rejected", "Rejected"
        REVOKED = "revoked", "Revoked"
        EXPIRED = "expired", "Expired"

    COUNTS = (State.APPROVED, State.ACTIVE)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    grantee_user = models.ForeignKey(
        "accounts.User", models.PROTECT, null=True, blank=True, related_name="access_grants"
    )
    grantee_care_team = models.ForeignKey(
        "accounts.CareTeam", models.PROTECT, null=True, blank=True, related_name="access_grants"
    )
    patient = models.ForeignKey("accounts.Patient", models.PROTECT, related_name="access_grants")
    scopes = models.TextField(validators=[validate_scopes])
    purpose_of_use = models.CharField(max_length=32, choices=list(PURPOSES_OF_USE.items()), default="TREAT")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED)
    reason = models.TextField()
    requested_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(db_default=Now())
    approved_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    approved_at = models.DateTimeField(null=True)
    activated_at = models.DateTimeField(null=True)
    rejected_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    rejected_at = models.DateTimeField(null=True)
    rejection_reason = models.TextField(blank=True)
    revoked_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, related_name="+")
    revoked_at = models.DateTimeField(null=True)
    revocation_reason = models.TextField(blank=True)
    expired_at = models.DateTimeField(null=True)

    objects = PatientAccessGrantQuerySet.as_manager()

    class Meta:
        verbose_name = "access grant"
        ordering: ClassVar = ["-requested_at", "pk"]
        default_permissions = ("view",)
        permissions: ClassVar = [
            ("request_access_grant", "Can request access for others"),
            ("approve_access_grant", "Can approve or reject access requests"),
            ("revoke_access_grant", "Can revoke access"),
            ("explain_access", "Can ask why somebody may see a patient"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(grantee_user__isnull=False, grantee_care_team__isnull=True)
                | Q(grantee_user__isnull=True, grantee_care_team__isnull=False),
                name="access_grant_one_grantee",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="access_grant_ends_after_start"
            ),
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True)
                | (
                    ~Q(approved_by=F("requested_by"))
                    & (Q(grantee_user__isnull=True) | ~Q(approved_by=F("grantee_user")))
                ),
                name="access_grant_approved_by_another",
            ),
            models.CheckConstraint(
                condition=Q(grantee_user__isnull=True) | ~Q(requested_by=F("grantee_user")),
                name="access_grant_not_to_oneself",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "active"])
                | Q(approved_by__isnull=False, approved_at__isnull=False),
                name="access_grant_counts_only_when_approved",
            ),
            models.CheckConstraint(
                condition=~Q(state="revoked") | Q(revoked_at__isnull=False),
                name="access_grant_revoked_has_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["grantee_user", "patient"],
                name="access_grant_user_patient",
                condition=Q(state__in=["approved", "active"]),
            ),
            models.Index(
                fields=["patient", "grantee_care_team"],
                name="access_grant_patient_team",
                condition=Q(state__in=["approved", "active"]),
            ),
            models.Index(fields=["state", "ends_at"], name="access_grant_state_end"),
            models.Index(fields=["-requested_at", "id"], name="access_grant_newest"),
        ]

    def __str__(self) -> str:
        return f"Access grant {str(self.pk)[:8]}"

    @property
    def grantee_label(self) -> str:
        """The person's or the care team's name."""
        return str(self.grantee_user or self.grantee_care_team)
