"""Whom may this person see? The other direction of lookup, for people's own pages; decide() has the last word."""

import datetime
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from accounts.access import scopes as smart
from accounts.models import CareTeamPatient, Patient, PatientAccessGrant, User
from accounts.purposes import PURPOSES_OF_USE

PAGE = 50


@dataclass(frozen=True, slots=True)
class Basis:
    """Why somebody may see a patient, in plain language."""

    label: str
    purpose: str
    until: datetime.datetime | None
    scopes: list[str]


@dataclass(slots=True)
class Reached:
    """A patient and why."""

    name: str
    record_number: str
    birth_date: datetime.date
    patient_id: str
    bases: list[Basis] = field(default_factory=list)


def patients_of(*, user: User, now: datetime.datetime, record_number: str = "") -> list[Reached]:
    """Return up to PAGE + 1 patients with their bases, those whose access ends soonest first."""
    ceiling = [
        smart.in_plain_language(scope)
        for assignment in user.roles_in_force_at(now)
        for scope in smart.parse(assignment.role.scope_ceiling)
    ]
    if not ceiling:
        return []
    teams = user.care_team_memberships.in_force(now).values("care_team")
    ties = (
        CareTeamPatient.objects.in_force(now)
        .filter(care_team__in=teams)
        .select_related("patient", "care_team")
    )
    mine = Q(grantee_user=user) | Q(grantee_care_team__in=teams)
    grants = PatientAccessGrant.objects.in_force(now).filter(mine).select_related("patient", "approved_by")
    if record_number:
        keys = Patient.objects.with_record_number(record_number).values("pk")
        ties, grants = ties.filter(patient__in=keys), grants.filter(patient__in=keys)
    found: dict[Any, Reached] = {}
    for tie in ties.order_by("patient_id")[: PAGE + 1]:
        basis = Basis(f"Care team: {tie.care_team.name}", "Treatment", tie.ends_at, ceiling)
        _reached(found, tie.patient).bases.append(basis)
    for grant in grants.order_by("ends_at")[: PAGE + 1]:
        scopes = [smart.in_plain_language(scope) for scope in smart.parse(grant.scopes)]
        label = f"Access grant, approved by {grant.approved_by}"
        basis = Basis(label, PURPOSES_OF_USE[grant.purpose_of_use], grant.ends_at, scopes)
        _reached(found, grant.patient).bases.append(basis)
    return list(found.values())[: PAGE + 1]


def _reached(found: dict[Any, Reached], patient: Patient) -> Reached:
    if patient.pk not in found:
        found[patient.pk] = Reached(patient.name, patient.record_number, patient.birth_date, str(patient.pk))
    return found[patient.pk]
