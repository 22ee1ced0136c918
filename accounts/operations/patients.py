"""Patients: find the one that somebody named on a form. The ledger has each look-up, so none is a silent probe."""

import contextlib
import datetime
import uuid

from django.db import transaction

from accounts.models import Patient
from audit import ledger
from audit.events import EventType


@transaction.atomic
def look_up(*, text: str, now: datetime.datetime) -> Patient | None:
    """Return the one patient with exactly this record number or FHIR id, and record that somebody looked.

    Called by a form's field, which does not know who asks: the entry names whoever the request was authenticated as.
    It has the number of patients found and the id of a single one, and never the text.
    """
    named = Patient.objects.with_record_number(text)
    with contextlib.suppress(ValueError):
        named |= Patient.objects.filter(pk=uuid.UUID(text.strip()))
    found = list(named[:2])
    patient = found[0] if len(found) == 1 else None
    ledger.record(
        EventType.PATIENT_SEARCHED,
        patient=patient.patient_ref if patient else "",
        details={"found": len(found)},
        now=now,
    )
    return patient
