"""Who sees a patient's name in the portal: those who may open patients. Everybody else sees the FHIR id."""

from django.http import HttpRequest

from accounts.models import Patient


def sees_names(request: HttpRequest) -> bool:
    """Return whether this person may know patients by name."""
    return request.user.has_perm("accounts.view_patient")


def patient_shown(request: HttpRequest, patient: Patient) -> str:
    """Return the name and record number, or the FHIR id."""
    return patient.identification if sees_names(request) else str(patient.pk)
