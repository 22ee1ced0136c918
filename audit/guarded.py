"""The portal's model pages: registered models with the admin's forms, guarded ones read-only, and verbs on both.

A verb is a button that leads to a confirmation page (GET) which calls one operation (POST). The operation decides and
writes its own entry; what it refuses is shown in its own sentence and recorded here, after it raised. The confirmation
page is no part of the admin's change form and so of no transaction: an operation may open its own.

Django's second log (django_admin_log) is not written: the ledger is the only record, and that log keeps str(object).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from audit import refusals
from audit.change_list import PortalChangeList
from audit.context import Person
from audit.form_errors import add_errors, refused_codes
from audit.refusals import Refused
from audit.widgets import without_buttons


class ReasonForm(forms.Form):
    """A verb that asks why."""

    reason = forms.CharField(
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Kept in the ledger. Do not name a patient.",
    )


class OptionalReasonForm(ReasonForm):
    """A verb that lets one say why."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].required = False


def always(obj: Any) -> bool:
    """Offer a verb whatever the state."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One thing that may be done: what the button says, who may, when it is offered, and the operation.

    `act(obj, by, now, cleaned_data)` calls the operation and returns the object to show next, or None for the list; for
    a verb of the list obj is None. It may raise Refused, or ValidationError for the form. `name` is its URL's last
    part; `operation` ("access_grants.approve") is what the ledger calls a refusal; `done` is the sentence afterwards.
    """

    name: str
    label: str
    permission: str
    operation: str
    act: Callable[[Any, Any, Any, dict[str, Any]], models.Model | None]
    done: str
    form: type[forms.Form] = ReasonForm
    is_offered: Callable[[Any], bool] = always
    danger: bool = False
    intro: str = ""


class Fact(NamedTuple):
    """A line of what a page says about a record."""

    label: str
    value: Any


class Step(NamedTuple):
    """Something that happened to a record."""

    label: str
    by: Any
    at: Any
    reason: str = ""


class PortalModelAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Pages of a model, with verbs. `verbs` are those of one record, `list_verbs` those of the list."""

    change_form_template = "admin/guarded/registered.html"
    verbs: tuple[Verb, ...] = ()
    list_verbs: tuple[Verb, ...] = ()
    refusal_codes: frozenset[str] = frozenset()  # of form errors that are refusals, and recorded as such
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count the whole table for each choice

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[PortalChangeList]:
        return PortalChangeList

    def facts(self, request: HttpRequest, obj: Any) -> list[Fact]:
        """Return what the page says about a record; empty for the admin's own fields."""
        return []

    def timeline(self, request: HttpRequest, obj: Any) -> list[Step]:
        """Return what happened to a record, oldest first."""
        return []

    def note(self, request: HttpRequest, obj: Any) -> str:
        """Return a sentence for the top of a registered record's page, such as why it cannot be changed."""
        return ""

    def form_options(self, request: HttpRequest, verb: Verb, obj: Any) -> dict[str, Any]:
        """Return further arguments for a verb's form, such as `initial`."""
        return {}

    def get_urls(self) -> list[URLPattern]:
        """Put the verbs' addresses before the admin's own, whose catch-all would take them."""
        of_list = [(verb, f"{verb.name}/", self.list_verb_view) for verb in self.list_verbs]
        of_record = [(verb, f"<path:object_id>/{verb.name}/", self.record_verb_view) for verb in self.verbs]
        return [
            path(
                route,
                self.admin_site.admin_view(cast(Any, view)),
                {"verb": verb},
                name=f"{self.url_prefix}_{verb.name}",
            )
            for verb, route, view in [*of_list, *of_record]
        ] + super().get_urls()

    @property
    def url_prefix(self) -> str:
        """The beginning of the names of this model's addresses."""
        return f"{self.opts.app_label}_{self.opts.model_name}"

    def record_url(self, obj: models.Model) -> str:
        """Return the address of a record's page."""
        return reverse(f"admin:{self.url_prefix}_change", args=[quote(obj.pk)])

    def list_url(self) -> str:
        """Return the address of the list."""
        return reverse(f"admin:{self.url_prefix}_changelist")

    def offered(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        """Return the buttons of a record, for those who hold the permission and in the state that allows them."""
        return [
            {
                "label": verb.label,
                "danger": verb.danger,
                "url": reverse(f"admin:{self.url_prefix}_{verb.name}", args=[quote(obj.pk)]),
            }
            for verb in self.verbs
            if request.user.has_perm(verb.permission) and verb.is_offered(obj)
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        obj = kwargs.get("obj")
        if obj is not None and IS_POPUP_VAR not in request.GET:
            context |= {
                "show_save_and_add_another": False,
                "verbs": self.offered(request, obj),
                "note": self.note(request, obj),
                "facts": self.facts(request, obj),
                "timeline": self.timeline(request, obj),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return without_buttons(super().formfield_for_dbfield(db_field, request, **kwargs))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save what the form changed and nothing else: what an operation changed meanwhile must stay."""
        obj.save(update_fields=self.columns_of(form.changed_data)) if change else obj.save()

    def columns_of(self, changed: list[str]) -> list[str]:
        """Return the model fields to save when these form fields have changed."""
        return [field.name for field in self.opts.concrete_fields if field.name in changed]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        response = super().changeform_view(request, object_id, form_url, extra_context)
        for code in refused_codes(response) & self.refusal_codes:
            obj = self.get_object(request, unquote(object_id)) if object_id else None
            operation = f"{self.opts.model_name}.{'change' if obj else 'add'}"
            by = cast(Person, request.user)
            refusals.record(Refused(code, "Shown at the form."), operation=operation, by=by, obj=obj)
        return response

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        buttons = [
            {"label": verb.label, "url": reverse(f"admin:{self.url_prefix}_{verb.name}")}
            for verb in self.list_verbs
            if request.user.has_perm(verb.permission)
        ]
        return super().changelist_view(request, {"list_verbs": buttons, **(extra_context or {})})

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """Filter by what the page offers and nothing else: Django would search any column, password hashes too."""
        return any(
            lookup in (getattr(offered, "parameter_name", None), f"{offered}__exact", f"{offered}__id__exact")
            for offered in self.list_filter
        )

    def list_verb_view(self, request: HttpRequest, verb: Verb) -> HttpResponse:
        """Show and carry out a verb of the list."""
        return self._verb_view(request, verb, None)

    def record_verb_view(self, request: HttpRequest, object_id: str, verb: Verb) -> HttpResponse:
        """Show and carry out a verb of a record."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            raise Http404
        if request.method == "GET" and request.user.has_perm(verb.permission) and not verb.is_offered(obj):
            self.message_user(request, "This was decided already, or has ended.", messages.WARNING)
            return HttpResponseRedirect(self.record_url(obj))
        return self._verb_view(request, verb, obj)

    def _verb_view(self, request: HttpRequest, verb: Verb, obj: Any) -> HttpResponse:
        if not request.user.has_perm(verb.permission):
            raise PermissionDenied
        options = self.form_options(request, verb, obj)
        form = verb.form(request.POST if request.method == "POST" else None, **options)
        error, status = "", 200
        if request.method == "POST" and form.is_valid():
            try:
                shown = verb.act(obj, request.user, timezone.now(), form.cleaned_data)
            except Refused as refused:
                by = cast(Person, request.user)
                patient = str(getattr(obj, "patient_id", "") or "")
                refusals.record(refused, operation=verb.operation, by=by, obj=obj, patient=patient)
                error, status = str(refused), 409
            except ValidationError as invalid:
                add_errors(form, invalid)
            else:
                self.message_user(request, verb.done, messages.SUCCESS)
                return HttpResponseRedirect(self.record_url(shown) if shown else self.list_url())
        return TemplateResponse(
            request,
            "admin/guarded/verb.html",
            self._verb_context(request, verb, obj, form, error),
            status=status,
        )

    def _verb_context(
        self, request: HttpRequest, verb: Verb, obj: Any, form: forms.Form, error: str
    ) -> dict[str, Any]:
        plural = str(self.opts.verbose_name_plural).capitalize()
        trail = [(plural, self.list_url())]
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": verb.label if obj is None else f"{verb.label}: {obj}",
            "intro": verb.intro,
            "summary": self.facts(request, obj) if obj else [],
            "form": form,
            "error": error,
            "danger": verb.danger,
            "submit_label": verb.label,
            "cancel_url": self.record_url(obj) if obj else self.list_url(),
            "breadcrumbs": [*trail, (str(obj), self.record_url(obj))] if obj else trail,
        }

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """There is no second history; what happened is in the ledger."""
        raise Http404

    def log_addition(self, *args: Any, **kwargs: Any) -> Any:
        """Write nothing: the ledger has it."""

    def log_change(self, *args: Any, **kwargs: Any) -> Any:
        """Write nothing: the ledger has it."""

    def log_deletions(self, *args: Any, **kwargs: Any) -> Any:
        """Write nothing: the ledger has it."""


class GuardedModelAdmin(PortalModelAdmin):
    """Shows rows and changes none but by verbs."""

    change_form_template = "admin/guarded/change_form.html"
    change_list_template = "admin/guarded/change_list.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
