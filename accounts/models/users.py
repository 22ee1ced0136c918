"""User: one person's one identity. Never a patient."""

import datetime
import unicodedata
import uuid
from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import auth
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django.utils import timezone

from accounts.access.decision import Account, Reason, standing
from audit.models import RegisteredModel

# Reading what happened to patients is the compliance officers' work alone: a superuser has no way around it.
NEVER_BY_SUPERUSER = frozenset({"audit.view_event", "audit.export_event"})


class UserManager(BaseUserManager["User"]):
    """Makes users; the operations in accounts.operations.users are what views and commands call."""

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(username=self.model.normalize_username(username or ""))

    def create_superuser(self, username: str, password: str, **fields: Any) -> "User":
        """Make the emergency account that Django's own `createsuperuser` asks for."""
        user = self.model(username=self.model.normalize_username(username), is_superuser=True, **fields)
        user.state = User.State.ACTIVE
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(RegisteredModel, AbstractBaseUser):
    """A member of the workforce, or another person the hospital lets in."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"
        ENDED = "ended", "Ended"

    class EmploymentType(models.TextChoices):
        EMPLOYEE = "employee", "Employee"
        MEDICAL_STAFF = "medical_staff", "Medical staff"
        CONTRACTOR = "contractor", "Contractor"
        STUDENT = "student", "Student"
        VENDOR = "vendor", "Vendor"

    class JobFunction(models.TextChoices):
        ATTENDING = "attending_physician", "Attending physician"
        RESIDENT = "resident", "Resident"
        MEDICAL_STUDENT = "medical_student", "Medical student"
        NURSE_PRACTITIONER = "nurse_practitioner", "Nurse practitioner or physician assistant"
        REGISTERED_NURSE = "registered_nurse", "Registered nurse"
        PRACTICAL_NURSE = "practical_nurse", "Licensed practical nurse"
        NURSE_MANAGER = "nurse_manager", "Nurse manager"
        MIDWIFE = "midwife", "Midwife"
        PHARMACIST = "pharmacist", "Pharmacist"
        PHARMACY_TECHNICIAN = "pharmacy_technician", "Pharmacy technician"
        LABORATORY_TECHNICIAN = "laboratory_technician", "Laboratory technician"
        RADIOLOGY_TECHNICIAN = "radiology_technician", "Radiology technician"
        RADIOLOGIST = "radiologist", "Radiologist"
        THERAPIST = "therapist", "Therapist"
        DIETITIAN = "dietitian", "Dietitian"
        SOCIAL_WORKER = "social_worker", "Social worker"
        CASE_MANAGER = "case_manager", "Case manager"
        REGISTRAR = "registrar", "Registrar or scheduler"
        CODER = "health_information_coder", "Health information or coding"
        BILLER = "biller", "Biller"
        RESEARCHER = "researcher", "Researcher"
        COMPLIANCE_OFFICER = "compliance_officer", "Privacy or compliance officer"
        SECURITY_ADMINISTRATOR = "security_administrator", "Security or IT administrator"
        NON_CLINICAL = "non_clinical", "Non-clinical, no chart access"

    MUST_END = (EmploymentType.CONTRACTOR, EmploymentType.STUDENT, EmploymentType.VENDOR)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(
        max_length=150,
        unique=True,
        validators=[RegexValidator(r"^[\w.@+-]+\Z", "Letters, digits and . @ + - _ only.")],
    )
    given_name = models.CharField(max_length=100, blank=True)
    family_name = models.CharField(max_length=100, blank=True)
    email = models.EmailField(blank=True)
    job_function = models.CharField(max_length=40, choices=JobFunction, default=JobFunction.NON_CLINICAL)
    employment_type = models.CharField(max_length=20, choices=EmploymentType, default=EmploymentType.EMPLOYEE)
    sponsor = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="sponsored")
    ends_at = models.DateTimeField("ends", null=True, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    is_superuser = models.BooleanField(
        "emergency administrator", default=False, help_text="Holds every permission but reading the ledger."
    )
    is_active = models.GeneratedField(
        expression=Q(state="active"),  # type: ignore[arg-type]  # Django takes conditions, too
        output_field=models.BooleanField(),
        db_persist=True,
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()

    class Meta:
        ordering: ClassVar = ["username"]
        permissions: ClassVar = [("enter_portal", "Can enter the portal")]
        constraints: ClassVar = [
            models.UniqueConstraint(Lower("username"), name="user_username_any_case"),
            models.CheckConstraint(
                condition=~Q(employment_type__in=["contractor", "student", "vendor"])
                | Q(ends_at__isnull=False, sponsor__isnull=False),
                name="user_temporary_has_end_and_sponsor",
                violation_error_message="Contractors, students and vendors need an end date and a sponsor.",
            ),
            models.CheckConstraint(
                condition=~Q(sponsor=models.F("id")),
                name="user_not_own_sponsor",
                violation_error_message="Nobody sponsors their own account.",
            ),
        ]

    def __str__(self) -> str:
        return self.display_name

    @classmethod
    def normalize_username(cls, username: str) -> str:
        """Return the one spelling of a username: NFKC, lower case, and nothing that a database cannot be asked for."""
        askable = username.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        return unicodedata.normalize("NFKC", askable).strip().lower()

    def clean(self) -> None:
        self.username = self.normalize_username(self.username)

    @property
    def display_name(self) -> str:
        """The person's name as colleagues know it."""
        return f"{self.given_name} {self.family_name}".strip() or self.username

    @property
    def identification(self) -> str:
        """What tells people of one name apart, in the portal."""
        return f"{self.display_name} ({self.username})"

    def get_full_name(self) -> str:
        return self.display_name

    def get_short_name(self) -> str:
        return self.given_name or self.username

    @property
    def ledger_label(self) -> str:
        """What the ledger calls this person."""
        return self.username

    @property
    def is_staff(self) -> bool:
        """Whether this person may enter the portal; a permission that roles carry, not a flag."""
        return self.has_perm("accounts.enter_portal")

    def roles_in_force_at(self, now: datetime.datetime) -> "models.QuerySet[Any]":
        """Return the role assignments that count now."""
        return self.role_assignments.in_force(now).select_related("role")

    # Permissions come from roles (accounts.backends). What follows is what django.contrib.auth expects of a user.
    def may_act_at(self, now: datetime.datetime) -> bool:
        """Return whether the account is active and has not ended. `is_active` knows nothing of the end."""
        return standing(Account(self.state, self.ends_at), now) is Reason.ACCOUNT_ACTIVE

    def has_perm(self, perm: str, obj: models.Model | None = None) -> bool:
        if not self.may_act_at(timezone.now()):
            return False
        if self.is_superuser and perm not in NEVER_BY_SUPERUSER:
            return True
        return any(
            backend.has_perm(self, perm, obj)
            for backend in auth.get_backends()
            if hasattr(backend, "has_perm")
        )

    def has_perms(self, perm_list: Iterable[str], obj: models.Model | None = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        if not self.may_act_at(timezone.now()):
            return False
        return (self.is_superuser and app_label != "audit") or any(
            backend.has_module_perms(self, app_label)
            for backend in auth.get_backends()
            if hasattr(backend, "has_module_perms")
        )
