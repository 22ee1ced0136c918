"""Patient: the opaque FHIR id and the little we must know to find the right person. CareTeam: who treats whom, when."""

import contextlib
import datetime
import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from audit.models import RegisteredModel
from crypto.fields import EncryptedDateField, EncryptedTextField
from crypto.keyed_hash import blind_index


class PatientQuerySet(models.QuerySet["Patient"]):
    """Patients by what an administrator may type."""

    def with_record_number(self, record_number: str) -> "PatientQuerySet":
        """Return the patient with exactly this record number."""
        return self.filter(record_number_index=blind_index("record-number", record_number))

    def search(self, text: str) -> "PatientQuerySet":
        """Return patients whose record number, family name or FHIR id is exactly this text. Three index look-ups."""
        found = Q(record_number_index=blind_index("record-number", text))
        found |= Q(family_name_index=blind_index("family-name", text))
        with contextlib.suppress(ValueError):
            found |= Q(pk=uuid.UUID(text.strip()))
        return self.filter(found)


class Patient(RegisteredModel):
    """A patient. The id is random and is the FHIR logical id; everything about the person is encrypted."""

    id = models.UUIDField("FHIR id", primary_key=True, default=uuid.uuid4, editable=False)
    family_name = EncryptedTextField()
    given_name = EncryptedTextField()
    birth_date = EncryptedDateField()
    record_number = EncryptedTextField()
    record_number_index = models.BinaryField(max_length=32, unique=True, editable=False)
    family_name_index = models.BinaryField(max_length=32, db_index=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = PatientQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"Patient {str(self.pk)[:8]}"  # ends up in titles, messages and tracebacks: no PHI

    @property
    def identification(self) -> str:
        """What tells a person on a page which patient it is."""
        return f"{self.family_name}, {self.given_name} ({self.record_number})"

    @property
    def name(self) -> str:
        """Given and family name."""
        return f"{self.given_name} {self.family_name}".strip()

    @property
    def patient_ref(self) -> str:
        """The opaque id that ledger and tokens use."""
        return str(self.pk)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.set_blind_indexes()
        super().save(*args, **kwargs)

    def set_blind_indexes(self) -> None:
        """Bring the blind indexes in line with the values; bulk_create needs it called."""
        self.record_number_index = blind_index("record-number", self.record_number)
        self.family_name_index = blind_index("family-name", self.family_name)

    def validate_constraints(self, exclude: Any = None) -> None:
        self.set_blind_indexes()
        super().validate_constraints(exclude=exclude)


class CareTeam(RegisteredModel):
    """People who treat patients together, such as a ward's staff."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120, unique=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class DatedQuerySet(models.QuerySet[Any]):
    """Memberships by time."""

    def in_force(self, now: datetime.datetime) -> "DatedQuerySet":
        """Return those that count now."""
        return self.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now), starts_at__lte=now)


class CareTeamMember(RegisteredModel):
    """A user's time in a care team."""

    care_team = models.ForeignKey(CareTeam, models.CASCADE, related_name="members")
    user = models.ForeignKey("accounts.User", models.PROTECT, related_name="care_team_memberships")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    objects = DatedQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "care_team", "starts_at"], name="care_team_member_once"),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="care_team_member_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.care_team_id}"


class CareTeamPatient(RegisteredModel):
    """A patient's time under a care team."""

    care_team = models.ForeignKey(CareTeam, models.CASCADE, related_name="patients")
    patient = models.ForeignKey(Patient, models.PROTECT, related_name="care_teams")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    objects = DatedQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["patient", "care_team", "starts_at"], name="care_team_patient_once"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="care_team_patient_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.patient_id} under {self.care_team_id}"

    @property
    def patient_ref(self) -> str:
        """The opaque id that the ledger files this row under."""
        return str(self.patient_id)
