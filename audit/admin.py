"""The ledger in the portal: read-only, and reading it is itself recorded."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from audit import ledger
from audit.events import EventType
from audit.guarded import GuardedModelAdmin
from audit.models import Event


@admin.register(Event)
class EventAdmin(GuardedModelAdmin):
    """Events."""

    list_display = (
        "recorded_at",
        "event",
        "outcome",
        "actor_label",
        "client_ref",
        "patient_ref",
        "object_repr",
    )
    list_filter = ("event", "outcome")
    exclude = ("leaf",)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        if self.has_view_permission(request):
            ledger.record(EventType.LEDGER_READ, details={"filters": sorted(request.GET)})
        return response
