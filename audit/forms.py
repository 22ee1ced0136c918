"""What the ledger's page may be asked: exact values only, and each of them opaque or from a fixed list."""

import datetime
from typing import Any, cast

from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.validators import RegexValidator
from django.http import QueryDict

from audit.events import EventType, Outcome
from audit.search import Criteria

LARGEST_ID = 2**63 - 1
UUID_PATTERN = r"[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}"


class TimeInput(forms.DateTimeInput):
    """One control for date and time, the browser's own."""

    input_type = "datetime-local"


def time_field(label: str) -> forms.DateTimeField:
    """Return a field for a point in time, in UTC."""
    widget = TimeInput(attrs={"step": "1"}, format="%Y-%m-%dT%H:%M:%S")
    return forms.DateTimeField(label=label, required=False, help_text="In UTC.", widget=widget)


def uuid_field(label: str, help_text: str) -> forms.UUIDField:
    """Return a field for an opaque id; the browser sends nothing else, so that no name gets into an address."""
    widget = forms.TextInput(
        attrs={"pattern": UUID_PATTERN, "title": "An id such as 0b8e7f4c-…", "maxlength": 36}
    )
    errors = {"invalid": "Enter an id in full, such as 0b8e7f4c-1d2e-4f3a-8b9c-0d1e2f3a4b5c."}
    return forms.UUIDField(
        label=label, required=False, help_text=help_text, widget=widget, error_messages=errors
    )


class FilterForm(forms.Form):
    """Which entries to show. A name that nobody knows or a value given twice is an error and not ignored."""

    from_ = time_field("From")
    to = time_field("To")
    event = forms.ChoiceField(required=False)
    outcome = forms.TypedChoiceField(required=False, coerce=int, empty_value=None)
    actor = forms.CharField(required=False, max_length=150, help_text="Username or id, in full.")
    patient = uuid_field("Patient", "The FHIR id, never a name.")
    client = forms.CharField(
        required=False,
        max_length=64,
        validators=[RegexValidator(r"\A[-\w]+\Z", "Enter a client id, such as direct.")],
        help_text="Client id.",
    )
    request_id = uuid_field("Request", "The id on an error page.")
    also_sent: frozenset[str] = frozenset({"before", "after"})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["event"].choices = [("", "Any"), *sorted(EventType.choices, key=lambda each: each[1])]  # type: ignore[attr-defined]
        self.fields["outcome"].choices = [("", "Any"), *Outcome.choices]  # type: ignore[attr-defined]

    def add_prefix(self, field_name: str) -> str:
        """Call the first field `from`, which is a word of Python's own."""
        return field_name.rstrip("_")

    def clean_actor(self) -> str:
        """Return the id of a person who is named by username or id."""
        text = self.cleaned_data["actor"]
        people = get_user_model()._default_manager
        try:
            return str(people.get_by_natural_key(text).pk) if text else ""
        except ObjectDoesNotExist:
            pass
        try:
            return str(forms.UUIDField().clean(text))
        except ValidationError as error:
            raise ValidationError("Nobody has this username.", code="unknown_actor") from error

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        known = {self.add_prefix(name) for name in self.fields} | self.also_sent
        if not known.issuperset(self.data):
            raise ValidationError(
                "The address has a filter that the ledger does not know.", code="unknown_filter"
            )
        if any(len(values) > 1 for _, values in cast(QueryDict, self.data).lists()):
            raise ValidationError("The address names a filter twice.", code="repeated_filter")
        since, until = cleaned.get("from_"), cleaned.get("to")
        if since and until and since >= until:
            raise ValidationError("The time must end after it begins.", code="no_time")
        return cleaned

    def criteria(self) -> Criteria:
        """Return what is looked for, of a valid form."""
        said = self.cleaned_data
        return Criteria(
            since=said["from_"],
            until=said["to"],
            event=said["event"],
            outcome=said["outcome"],
            actor=said["actor"],
            patient=str(said["patient"] or ""),
            client=said["client"],
            request_id=str(said["request_id"] or ""),
        )


class ExportFilterForm(FilterForm):
    """The same filter, posted beside an export's purpose."""

    also_sent = frozenset({"purpose", "csrfmiddlewaretoken"})


class CursorForm(forms.Form):
    """Which page: before or after an id."""

    before = forms.IntegerField(required=False, min_value=1, max_value=LARGEST_ID)
    after = forms.IntegerField(required=False, min_value=1, max_value=LARGEST_ID)


class ExportForm(forms.Form):
    """Why the ledger leaves the house."""

    purpose = forms.CharField(
        label="Purpose of the export",
        max_length=200,
        help_text="Such as a case number. Do not name a patient.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


def file_name(now: datetime.datetime) -> str:
    """Return the name of an export that begins now; it says nothing of what was looked for."""
    return f"wardkey-ledger-{now.astimezone(datetime.UTC):%Y%m%dT%H%M%SZ}.csv"
