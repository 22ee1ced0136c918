"""Signing keys, clients and refresh families. Access tokens have no row: the ledger's entry is their record."""

import uuid
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models.roles import validate_purposes, validate_scopes
from audit.models import RegisteredModel


class SigningKey(models.Model):
    """A key pair of the key ring. Guarded: changes only through tokens.keys.

    The private part is sealed and is there only while the key may sign or verify; the public part stays as long as
    the ledger, so that old signatures can be checked.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Published, not yet signing"
        ACTIVE = "active", "Signing"
        RETIRING = "retiring", "Verifying only"
        RETIRED = "retired", "Retired"
        REVOKED = "revoked", "Revoked"

    kid = models.CharField("key id", primary_key=True, max_length=43)
    algorithm = models.CharField(max_length=10)
    state = models.CharField(max_length=10, choices=State)
    public_jwk = models.JSONField()
    private_key = models.JSONField("sealed private key", null=True)
    created_at = models.DateTimeField(db_default=Now())
    activated_at = models.DateTimeField(null=True)
    retiring_at = models.DateTimeField(null=True)
    retired_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revocation_reason = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        default_permissions = ("view",)
        permissions: ClassVar = [
            ("rotate_signing_keys", "Can rotate the signing keys"),
            ("revoke_signing_key", "Can revoke a signing key"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["algorithm"], condition=Q(state="active"), name="signing_key_one_active"
            ),
            models.UniqueConstraint(
                fields=["algorithm"], condition=Q(state="pending"), name="signing_key_one_pending"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["retired", "revoked"], private_key__isnull=True)
                | Q(state__in=["pending", "active", "retiring"], private_key__isnull=False),
                name="signing_key_private_part_destroyed",
            ),
            models.CheckConstraint(
                condition=Q(algorithm__in=["ES256", "RS256"]), name="signing_key_algorithm"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.algorithm} {self.kid[:8]}"


class KeyRingEpoch(models.Model):
    """One row whose number moves with every change of the signing keys: processes poll it, rotations lock it."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    epoch = models.BigIntegerField(default=0)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [models.CheckConstraint(condition=Q(id=1), name="key_ring_epoch_single_row")]

    def __str__(self) -> str:
        return str(self.epoch)


class Client(RegisteredModel):
    """An application that asks for tokens on somebody's behalf. The API's own sign-in uses the client "direct"."""

    class ClientType(models.TextChoices):
        PUBLIC = "public", "Public"
        CONFIDENTIAL = "confidential", "Confidential"
        BACKEND = "backend", "Backend service"

    DIRECT = "direct"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    client_id = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=120)
    client_type = models.CharField(max_length=12, choices=ClientType, default=ClientType.PUBLIC)
    owner = models.CharField(max_length=120, blank=True, help_text="Who answers for this application.")
    scope = models.TextField(
        blank=True,
        validators=[validate_scopes],
        help_text="The most it may get; empty for what its users may get.",
    )
    purposes_of_use = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_purposes],
        help_text="Empty for any that its users may name.",
    )
    is_active = models.BooleanField(default=True)
    ends_at = models.DateTimeField("ends", null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def ledger_label(self) -> str:
        """What the ledger calls this client."""
        return self.client_id

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        if self.client_id == self.DIRECT:
            raise ValidationError("The API's own client can be switched off but not removed.")
        return super().delete(*args, **kwargs)


class RefreshFamily(models.Model):
    """All refresh tokens that descend from one sign-in. Guarded: changes only through tokens.refresh_families.

    Only the SHA-256 digest of the current token is stored: the one before it is known by what it leads to.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="refresh_families")
    client = models.ForeignKey(Client, models.PROTECT, related_name="refresh_families")
    generation = models.BigIntegerField(default=0)
    current_digest = models.BinaryField(max_length=32)
    scope = models.TextField(blank=True)
    acr = models.CharField(max_length=64)
    amr = models.CharField(max_length=64)
    auth_time = models.DateTimeField()
    rotated_at = models.DateTimeField()
    idle_expires_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    revocation_reason = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "refresh families"
        ordering: ClassVar = ["-created_at"]
        default_permissions = ("view",)
        permissions: ClassVar = [("revoke_refresh_family", "Can revoke refresh families")]
        indexes: ClassVar = [
            models.Index(fields=["expires_at"], name="refresh_family_expiry"),
            models.Index(fields=["-created_at", "id"], name="refresh_family_newest"),
        ]

    def __str__(self) -> str:
        return f"Refresh family {str(self.pk)[:8]}"
