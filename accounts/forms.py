"""The portal's forms about people and access. They say what is missing; what may happen, operations decide.

A patient is named by typed text in a POST body, never by a search that leaves it in a URL, and that text is a record
number or a FHIR id (docs/decisions/0007-no-phi-in-portal-urls.md).
"""

import datetime
import uuid
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from accounts.access import scopes as smart
from accounts.models import CareTeam, Patient, PatientAccessGrant, Role, RoleAssignment, User
from accounts.operations import patients
from accounts.purposes import PURPOSES_OF_USE
from audit.guarded import ReasonForm
from audit.suggestions import identification

GRANT_DAYS = 30
PURPOSES = list(PURPOSES_OF_USE.items())


class MomentInput(forms.DateTimeInput):
    """One control for date and time, the browser's own."""

    input_type = "datetime-local"

    def format_value(self, value: Any) -> Any:
        """Leave no second out that is there: the row would count as changed, and lose it."""
        if not isinstance(value, datetime.datetime):
            return value
        return value.strftime("%Y-%m-%dT%H:%M:%S" if value.second else "%Y-%m-%dT%H:%M")


def this_minute() -> datetime.datetime:
    """Return now, without its seconds."""
    return timezone.now().replace(second=0, microsecond=0)


def moment(
    label: str, *, required: bool = True, help_text: str = "In UTC.", **options: Any
) -> forms.DateTimeField:
    """Return a field for a point in time, in UTC."""
    return forms.DateTimeField(
        label=label, required=required, help_text=help_text, widget=MomentInput(), **options
    )


class PatientReferenceField(forms.CharField):
    """A patient, named by exact record number or FHIR id; cleans to the Patient. Each cleaning is in the ledger."""

    def __init__(self, **options: Any) -> None:
        said: dict[str, Any] = {"label": "Patient", "help_text": "Exact record number or FHIR id."}
        super().__init__(max_length=200, **said | options)
        self.widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        patient = patients.look_up(text=text, now=timezone.now())
        if patient is None:
            raise ValidationError(
                "No patient has exactly this record number or FHIR id.", code="unknown_patient"
            )
        return patient


class FixedField(forms.CharField):
    """A record that is there to stay, by what tells it on the page; nothing is looked up for it."""

    def __init__(self, record: Any, shown: str) -> None:
        super().__init__(disabled=True, required=False)
        self.record, self.shown = record, shown

    def prepare_value(self, value: Any) -> str:
        return self.shown

    def clean(self, value: Any) -> Any:
        return self.record


def as_uuid(text: str) -> uuid.UUID | None:
    """Return the UUID that a text spells, or None."""
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        return None


class OneOfMany(AutocompleteSelect):
    """The admin's autocomplete, which would look up a posted key in the database before it knows that it is one."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        return super().optgroups(name, [key for key in value if as_uuid(str(key))], attr)


class RecordField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A choice of one record by its key; what is no key is an invalid choice, and is not echoed."""

    def label_from_instance(self, obj: Any) -> str:
        return identification(obj)

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values or as_uuid(str(value)) or isinstance(value, models.Model):
            return super().to_python(value)
        raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice")


def user_field(source: Any, **options: Any) -> RecordField:
    """Return a choice of one user by the beginning of the username; `source` is the model field it is for."""
    widget = OneOfMany(source, admin.site, attrs={"data-placeholder": "Beginning of the username"})
    return RecordField(User.objects.all(), widget=widget, **options)


class RequestAccessForm(ReasonForm):
    """Who is to see which patient, for what, how much, and until when."""

    grantee_user = user_field(
        PatientAccessGrant._meta.get_field("grantee_user"), label="Person who gets access", required=False
    )
    grantee_care_team = RecordField(
        CareTeam.objects.all(),
        label="Or care team that gets access",
        required=False,
        widget=OneOfMany(PatientAccessGrant._meta.get_field("grantee_care_team"), admin.site),
    )
    patient = PatientReferenceField()
    purpose_of_use = forms.ChoiceField(label="Purpose of use", choices=PURPOSES, initial="TREAT")
    scopes = forms.MultipleChoiceField(label="What it opens", widget=forms.CheckboxSelectMultiple)
    starts_at = moment("Starts", required=False, help_text="In UTC. Left empty: at once, when approved.")
    ends_at = moment("Ends", initial=lambda: this_minute() + datetime.timedelta(days=GRANT_DAYS))
    field_order = (
        "grantee_user", "grantee_care_team", "patient", "purpose_of_use", "scopes", "starts_at", "ends_at", "reason"
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = patient_scopes()
        self.fields["scopes"].choices = choices  # type: ignore[attr-defined]
        self.fields["scopes"].initial = [scope for scope, _ in choices if scope.endswith(".rs")]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if bool(cleaned.get("grantee_user")) == bool(cleaned.get("grantee_care_team")):
            raise ValidationError("Name either a person or a care team.", code="one_grantee")
        return cleaned


def patient_scopes() -> list[tuple[str, str]]:
    """Return the scopes for one patient that any role's ceiling allows, each with its plain words."""
    ceilings = Role.objects.values_list("scope_ceiling", flat=True)
    found = {str(scope): scope for ceiling in ceilings for scope in smart.parse(ceiling)}
    return [
        (text, smart.in_plain_language(scope).capitalize())
        for text, scope in found.items()
        if scope.context == "patient"
    ]


class AssignRoleForm(ReasonForm):
    """Who is to hold which role, and until when."""

    user = user_field(RoleAssignment._meta.get_field("user"), label="Person")
    role = forms.ModelChoiceField(Role.objects.all())
    starts_at = moment("Starts", required=False, help_text="In UTC. Left empty: at once.")
    ends_at = moment("Ends", required=False, help_text="In UTC. Left empty: until somebody ends it.")
    field_order = ("user", "role", "starts_at", "ends_at", "reason")


class NewPasswordMixin(forms.Form):
    """Two fields for a password that somebody else will be told."""

    password = forms.CharField(
        label="New password",
        strip=False,
        max_length=128,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 15 characters. Hand it over in person; the person changes it after signing in.",
    )
    password_again = forms.CharField(
        label="The same password again",
        strip=False,
        max_length=128,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean_password_again(self) -> str:
        again: str = self.cleaned_data["password_again"]
        if "password" in self.cleaned_data and again != self.cleaned_data["password"]:
            raise ValidationError("The two passwords differ.", code="password_mismatch")
        return again


class UserForm(forms.ModelForm):  # type: ignore[type-arg]
    """The plain fields of a user."""

    sponsor = user_field(
        User._meta.get_field("sponsor"),
        required=False,
        help_text="Who answers for this account; contractors, students and vendors need one, and an end.",
    )
    ends_at = moment("Ends", required=False)

    def clean_username(self) -> str:
        """Say in one sentence that a name is taken: the column and a constraint would say it twice."""
        username = User.normalize_username(self.cleaned_data["username"])
        if User.objects.filter(username=username).exclude(pk=self.instance.pk).exists():
            raise ValidationError("Somebody has this username already.", code="unique")
        return username


class CreateUserForm(NewPasswordMixin, UserForm):
    """A new person."""

    class Meta:
        model = User
        fields = (
            "username", "given_name", "family_name", "email", "job_function", "employment_type", "sponsor", "ends_at"
        )  # fmt: skip

    field_order = (*Meta.fields, "password", "password_again")

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        password = self.cleaned_data.get("password")
        if password:
            try:
                validate_password(password, self.instance)
            except ValidationError as error:
                self.add_error("password", error)


class SetPasswordForm(NewPasswordMixin, ReasonForm):
    """A new password for somebody else."""

    field_order = ("password", "password_again", "reason")


class PatientForm(forms.ModelForm):  # type: ignore[type-arg]
    """A patient. The record number is unique, and asking whether it is taken is a look-up like any other."""

    record_number = forms.CharField(max_length=64)
    family_name = forms.CharField(max_length=200)
    given_name = forms.CharField(max_length=200)
    birth_date = forms.DateField(widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}))

    class Meta:
        model = Patient
        fields = ("record_number", "family_name", "given_name", "birth_date")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["autocomplete"] = "off"

    def clean_record_number(self) -> str:
        text: str = self.cleaned_data["record_number"]
        other = (
            patients.look_up(text=text, now=timezone.now()) if "record_number" in self.changed_data else None
        )
        if other not in (None, self.instance):
            raise ValidationError("Another patient has this record number already.", code="unique")
        return text

    def clean_birth_date(self) -> datetime.date:
        date: datetime.date = self.cleaned_data["birth_date"]
        if date > timezone.now().date() or date.year < 1850:
            raise ValidationError("This cannot be a birth date.", code="invalid")
        return date


class FindPatientForm(forms.Form):
    """The search for a patient; posted, so that the text stays out of URLs."""

    text = forms.CharField(
        label="Record number, family name or FHIR id",
        max_length=200,
        help_text="Exactly as registered; capitals do not matter. The search is recorded, its text is not.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class ExplainForm(forms.Form):
    """Who, which patient, what for."""

    user = user_field(PatientAccessGrant._meta.get_field("grantee_user"), label="Person")
    patient = PatientReferenceField()
    purpose_of_use = forms.ChoiceField(label="Purpose of use", choices=PURPOSES, initial="TREAT")
    scopes = forms.CharField(
        initial="patient/*.rs", max_length=1000, help_text="As an application would ask for."
    )

    def clean_scopes(self) -> tuple[smart.Scope, ...]:
        try:
            scopes = smart.parse(self.cleaned_data["scopes"])
        except smart.InvalidScope as error:
            raise ValidationError(
                "Each scope looks like patient/Observation.rs.", code="invalid_scope"
            ) from error
        if any(scope.context != "patient" for scope in scopes):
            raise ValidationError("Scopes for one patient begin with patient/.", code="invalid_scope")
        return scopes
