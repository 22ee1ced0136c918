"""Who sees a patient's name in the portal: those who may open patients. Everybody else sees the FHIR id.

Names on the pages about access are reads of a patient's data like any other, so the ledger has them before they leave.
"""

from django.db import transaction
from django.http import HttpRequest

from accounts.models import Patient
from audit import ledger
from audit.events import EventType


def sees_names(request: HttpRequest) -> bool:
    """Return whether this person may know patients by name."""
    return request.user.has_perm("accounts.view_patient")


def patient_shown(request: HttpRequest, patient: Patient) -> str:
    """Return the name and record number, or the FHIR id."""
    return patient.identification if sees_names(request) else str(patient.pk)


def record_name_shown(request: HttpRequest, patient: Patient) -> None:
    """Record that a page about something else names this patient."""
    if sees_names(request):
        with transaction.atomic():
            ledger.record(
                EventType.PATIENT_VIEWED, obj=patient, patient=patient.patient_ref, details=_page(request)
            )


def record_names_listed(request: HttpRequest, count: int) -> None:
    """Record that a list of something else names so many patients."""
    if count and sees_names(request):
        with transaction.atomic():
            ledger.record(EventType.PATIENT_SEARCHED, details=_page(request) | {"shown": count})


def _page(request: HttpRequest) -> dict[str, str | int]:
    """Return the page by its name, for an address may hold more."""
    return {"page": request.resolver_match.view_name if request.resolver_match else ""}
