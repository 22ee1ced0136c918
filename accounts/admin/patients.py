"""Patients in the portal: found by exact text that is posted, opened one at a time; both are in the ledger.

There is no list of all patients: nobody needs one, and none of it could be searched or counted fast
(docs/decisions/0007-no-phi-in-portal-urls.md).
"""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.admin.explain import explain_link
from accounts.forms import FindPatientForm, PatientForm
from accounts.models import Patient
from audit import ledger
from audit.events import EventType
from audit.guarded import PortalModelAdmin

SHOWN = 50


@admin.register(Patient)
class PatientAdmin(PortalModelAdmin):
    """Patients."""

    form = PatientForm
    fields = ("id", ("family_name", "given_name"), ("birth_date", "record_number"), "created_at")
    readonly_fields = ("id", "created_at")

    def has_delete_permission(self, request: HttpRequest, obj: Patient | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the search and, for a posted text, what it found; a single patient is opened at once."""
        if not self.has_view_or_change_permission(request):
            return super().changelist_view(request, extra_context)  # which refuses
        form = FindPatientForm(request.POST if request.method == "POST" else None)
        found: list[Patient] | None = None
        if request.method == "POST" and form.is_valid():
            found = list(Patient.objects.search(form.cleaned_data["text"])[: SHOWN + 1])
            with transaction.atomic():
                ledger.record(EventType.PATIENT_SEARCHED, details={"found": len(found)})
            if len(found) == 1:
                return HttpResponseRedirect(self.record_url(found[0]))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Patients",
            "form": form,
            "patients": None if found is None else found[:SHOWN],
            "more": found is not None and len(found) > SHOWN,
            "add_url": reverse("admin:accounts_patient_add") if self.has_add_permission(request) else "",
        }
        return TemplateResponse(request, "admin/accounts/patient/find.html", context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        """Record what is shown; answer two registrations at once with a sentence for the second."""
        try:
            response = super().changeform_view(request, object_id, form_url, extra_context)
        except IntegrityError:
            self.message_user(request, "Another patient has this record number already.", messages.ERROR)
            return HttpResponseRedirect(request.path)
        shown = getattr(response, "context_data", None) or {}
        if isinstance(patient := shown.get("original"), Patient):
            with transaction.atomic():
                ledger.record(EventType.PATIENT_VIEWED, obj=patient, patient=patient.patient_ref)
        return response

    def columns_of(self, changed: list[str]) -> list[str]:
        """Save the blind indexes with their values."""
        columns = super().columns_of(changed)
        return [*columns, *(f"{name}_index" for name in ("record_number", "family_name") if name in columns)]

    def offered(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        """Add the ways to what begins at a patient."""
        request_url = reverse("admin:accounts_patientaccessgrant_request")
        link = {"label": "Request access", "url": f"{request_url}?{urlencode({'patient': obj.pk})}"}
        may_request = request.user.has_perm("accounts.request_access_grant")
        return [*([link] if may_request else []), *explain_link(request, patient=obj.pk)]
