"""Care teams in the portal: a name, and dated rows of people and of patients.

Only rows that have not ended are shown, and the newest SHOWN of each kind: the form stays within what a request may
carry (settings.DATA_UPLOAD_MAX_NUMBER_FIELDS).
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponseRedirect
from django.utils import timezone

from accounts.admin.patient_names import patient_shown, record_names_listed
from accounts.forms import FixedField, PatientReferenceField, moment, this_minute, user_field
from accounts.models import CareTeam, CareTeamMember, CareTeamPatient, User
from accounts.operations import care_teams
from accounts.operations.refusals import Refused
from audit.guarded import PortalModelAdmin
from audit.widgets import without_buttons

SHOWN = 80


class RowsChanged(Exception):
    """A row that the form was made with is no longer among those that it may change."""


class DatedRowForm(forms.ModelForm):  # type: ignore[type-arg]
    """A row with its time."""

    starts_at = moment("Starts", initial=this_minute)
    ends_at = moment("Ends", required=False)


class DatedFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    """Rows of a care team, as the signed-in person `by` may write them."""

    request: HttpRequest

    @property
    def by(self) -> User:
        """Who fills in the form."""
        assert isinstance(self.request.user, User)  # noqa: S101 (the portal is closed to others)
        return self.request.user

    def _existing_object(self, pk: Any) -> Any:
        row = super()._existing_object(pk)  # type: ignore[misc]
        if row is None:
            raise RowsChanged
        return row

    def written(self) -> list[Any]:
        """Return the forms that would add or change a row."""
        return [form for form in self.forms if form.has_changed() and form not in self.deleted_forms]


class MemberFormSet(DatedFormSet):
    """The people of a care team."""

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        if form.instance.pk:
            form.fields["user"] = FixedField(form.instance.user, form.instance.user.identification)

    def clean(self) -> None:
        super().clean()
        for form in self.written():
            refused_as_error(care_teams.refuse_own_membership, user_id=form.instance.user_id, by=self.by)


class PatientFormSet(DatedFormSet):
    """The patients of a care team."""

    def clean(self) -> None:
        super().clean()
        if self.written() and not self.instance._state.adding:
            refused_as_error(
                care_teams.refuse_patients_of_own_team,
                care_team=self.instance,
                by=self.by,
                now=timezone.now(),
            )

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        if form.instance.pk:
            patient = form.instance.patient
            form.fields["patient"] = FixedField(patient, patient_shown(self.request, patient))


def refused_as_error(rule: Any, **facts: Any) -> None:
    """Turn what an operation's rule refuses into a form error with the same code."""
    try:
        rule(**facts)
    except Refused as refused:
        raise ValidationError(str(refused), code=refused.code) from refused


class MemberRowForm(DatedRowForm):
    """A person's row; somebody once put there is not exchanged for another."""

    user = user_field(CareTeamMember._meta.get_field("user"), label="Person")


class PatientRowForm(DatedRowForm):
    """A patient's row; a patient once put there is not exchanged for another."""

    patient = PatientReferenceField()


class DatedInline(admin.TabularInline):  # type: ignore[type-arg]
    """Rows that have not ended."""

    extra = 0
    related: str

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return without_buttons(super().formfield_for_dbfield(db_field, request, **kwargs))

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        return type(formset.__name__, (formset,), {"request": request})

    def get_queryset(self, request: HttpRequest) -> Any:
        open_rows = Q(ends_at__isnull=True) | Q(ends_at__gt=timezone.now())
        team = request.resolver_match.kwargs.get("object_id") if request.resolver_match else None
        rows = self.model.objects.filter(open_rows, care_team=team).order_by("-pk").values("pk")
        return super().get_queryset(request).filter(pk__in=list_of(rows[:SHOWN])).select_related(self.related)


def list_of(rows: Any) -> list[Any]:
    """Return the keys of some rows, by value: a sliced query cannot be filtered further."""
    return [row["pk"] for row in rows]


class MemberInline(DatedInline):
    """People of a care team."""

    model = CareTeamMember
    form = MemberRowForm
    formset = MemberFormSet
    fields = ("user", "starts_at", "ends_at")
    related = "user"
    verbose_name, verbose_name_plural = "person", "people"


class PatientInline(DatedInline):
    """Patients of a care team."""

    model = CareTeamPatient
    form = PatientRowForm
    formset = PatientFormSet
    fields = ("patient", "starts_at", "ends_at")
    related = "patient"
    verbose_name, verbose_name_plural = "patient", "patients"


@admin.register(CareTeam)
class CareTeamAdmin(PortalModelAdmin):
    """Care teams."""

    search_fields = ("^name",)
    search_help_text = "Beginning of the name"
    inlines = (MemberInline, PatientInline)
    refusal_codes = frozenset({"own_access"})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        """Record how many patients the page names; say so when a row is gone."""
        try:
            response = super().changeform_view(request, object_id, form_url, extra_context)
        except RowsChanged:
            sentence = (
                "Somebody changed this care team meanwhile, or a row ended. Nothing was saved: look again."
            )
            self.message_user(request, sentence, messages.ERROR)
            return HttpResponseRedirect(request.path)
        shown = (getattr(response, "context_data", None) or {}).get("inline_admin_formsets", ())
        named = [
            form for rows in shown if isinstance(rows.opts, PatientInline) for form in rows.formset.forms
        ]
        record_names_listed(request, sum(not form.instance._state.adding for form in named))
        return response
