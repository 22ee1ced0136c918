"""The ledger in the portal: a page with filters, one entry whole, and the export. Nothing else has an address.

Who reads the ledger is in the ledger: the entry about a reading is written in the transaction that reads, before it,
and says what was looked for. A superuser reads nothing here.
"""

import datetime
import json
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.text import capfirst

from audit import export, ledger, search
from audit.context import Person
from audit.events import EventType, Outcome
from audit.forms import LARGEST_ID, CursorForm, ExportFilterForm, ExportForm, FilterForm, file_name
from audit.guarded import GuardedModelAdmin
from audit.models import Event
from audit.search import Page

LISTED = (
    "id", "recorded_at", "event", "outcome", "actor_label", "client_ref", "patient_ref", "object_repr", "request_id",
)  # fmt: skip
OUTCOME_STATES = {Outcome.SUCCESS: "success", Outcome.REFUSED: "refused"}
READING = ("GET", "HEAD")


@admin.register(Event)
class EventAdmin(GuardedModelAdmin):
    """The ledger."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the one permission; Django would take a superuser's to change events for enough."""
        return request.user.has_perm("audit.view_event")

    def get_urls(self) -> list[URLPattern]:
        """Leave out the admin's own addresses: to add, to delete, to see a history, to act on many."""
        return [
            path("", self.admin_site.admin_view(self.ledger_view), name="audit_event_changelist"),
            path("export/", self.admin_site.admin_view(self.export_view), name="audit_event_export"),
            path("<int:key>/change/", self.admin_site.admin_view(self.entry_view), name="audit_event_change"),
        ]

    def ledger_view(self, request: HttpRequest) -> HttpResponse:
        """Show the entries that fit the filter."""
        self.require(request, "audit.view_event", READING)
        return self.ledger_page(request, FilterForm(request.GET), ExportForm())

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Send what the filter shows as a file; say on the ledger's page what is wrong with the request."""
        self.require(request, "audit.export_event", ("GET", "HEAD", "POST"))
        if request.method != "POST":
            return HttpResponseRedirect(self.list_url())
        filter_form, export_form = ExportFilterForm(request.POST), ExportForm(request.POST)
        if not (filter_form.is_valid() and export_form.is_valid()):
            self.require(request, "audit.view_event", ("POST",))
            return self.ledger_page(request, filter_form, export_form)
        now = timezone.now()
        response = StreamingHttpResponse(
            export.begin(
                criteria=filter_form.criteria(),
                purpose=export_form.cleaned_data["purpose"],
                by=cast(Person, request.user),
                now=now,
            ),
            content_type="text/csv; charset=utf-8; header=present",
        )
        response["Content-Disposition"] = f'attachment; filename="{file_name(now)}"'
        return response

    def entry_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """Show one entry whole."""
        self.require(request, "audit.view_event", READING)
        with transaction.atomic():
            entry = Event.objects.filter(pk=key).first() if key <= LARGEST_ID else None
            if entry is None:
                raise Http404
            ledger.record(EventType.LEDGER_READ, details={"entry": str(entry.event_id)})
        context = {
            "title": entry.get_event_display(),
            "event": self.line(entry),
            "columns": columns(entry),
            "changes": changes(entry),
            "back_url": self.list_url(),
        }
        return self.render(request, "admin/audit/event/detail.html", context)

    def require(self, request: HttpRequest, permission: str, methods: tuple[str, ...]) -> None:
        """Raise PermissionDenied, which the portal records, unless this person may and the method is one of ours."""
        if request.method not in methods or not request.user.has_perm(permission):
            raise PermissionDenied

    def ledger_page(
        self, request: HttpRequest, filter_form: FilterForm, export_form: ExportForm
    ) -> HttpResponse:
        """Record the reading and show a page; nothing is read for a filter that is not understood."""
        cursor = CursorForm(request.GET)
        shown, filtered = Page([], None, None), False
        if filter_form.is_valid() and not cursor.is_valid():
            filter_form.add_error(None, "There is no such page of the ledger.")
        if filter_form.is_valid():
            criteria = filter_form.criteria()
            filtered = bool(criteria.as_text())
            with transaction.atomic():
                ledger.record(EventType.LEDGER_READ, details={"filter": criteria.as_text()})
                shown = search.page(criteria, **cursor.cleaned_data)
        may_export = request.user.has_perm("audit.export_event")
        context = {
            "title": "Ledger",
            "filter_form": filter_form,
            "filtered": filtered or not filter_form.is_valid(),
            "events": [self.line(entry) for entry in shown.entries],
            "newer_url": page_url(filter_form, "after", shown.newer),
            "older_url": page_url(filter_form, "before", shown.older),
            "export_url": reverse("admin:audit_event_export") if may_export else "",
            "export_form": export_form,
        }
        return self.render(request, "admin/audit/event/change_list.html", context)

    def line(self, entry: Event) -> dict[str, Any]:
        """Return an entry as a line of the list."""
        return {name: getattr(entry, name) for name in LISTED} | {
            "event_label": entry.get_event_display(),
            "outcome": OUTCOME_STATES.get(Outcome(entry.outcome), "failure"),
            "outcome_label": entry.get_outcome_display(),
            "object_label": entry.object_repr,
            "url": reverse("admin:audit_event_change", args=[entry.pk]),
        }

    def render(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        """Return a page in the portal's frame."""
        frame = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, template, frame | context)


def page_url(form: forms.Form, name: str, key: int | None) -> str:
    """Return the address of the page before or after an id with the same filter, or an empty string."""
    if key is None:
        return ""
    said = {field.html_name: field.value() for field in form if field.value()}
    return f"{reverse('admin:audit_event_changelist')}?{urlencode({**said, name: key})}"


def columns(entry: Event) -> list[tuple[str, Any]]:
    """Return every column of an entry with its name in words; the changes have a table of their own."""
    fields = [Event._meta.get_field(name) for name in (*ledger.FIELDS_V1, "leaf") if name != "changes"]
    values = {field.name: in_words(getattr(entry, field.name)) for field in fields}
    values["outcome"] = f"{entry.outcome} ({entry.get_outcome_display()})"
    values["action"] = f"{entry.action} ({entry.get_action_display()})"
    return [(capfirst(str(field.verbose_name)), values[field.name]) for field in fields]


def changes(entry: Event) -> list[dict[str, Any]]:
    """Return before and after of each field that an entry says has changed."""
    return [
        {"field": name.replace("_", " "), "before": in_words(before), "after": in_words(after)}
        for name, (before, after) in sorted((entry.changes or {}).items())
    ]


def in_words(value: Any) -> Any:
    """Return a column's value for reading: to the microsecond, in hexadecimal, or as JSON."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1)
    return value
