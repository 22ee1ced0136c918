"""Whom may this person see? The other direction of lookup, for people's own pages.

Candidates come from the care teams and access grants in force; whether one is shown, on what basis, with which scopes
and until when is decide()'s word and nobody else's (tests/accounts/test_reach.py holds the two directions together).
Eight statements at most, whatever the number of patients. A page follows a key, never an offset; its patients are
sorted by name, but the pages are not, because a name is encrypted where it is stored.
"""

import datetime
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from accounts.access import scopes as smart
from accounts.access.decision import (
    AccessGrantTie,
    Account,
    CareTeamTie,
    Decision,
    Facts,
    Question,
    RoleInForce,
    decide,
    earliest,
)
from accounts.models import CareTeamPatient, Patient, PatientAccessGrant, User
from accounts.purposes import PURPOSES_OF_USE, TREATMENT_PURPOSES

PAGE = 50


@dataclass(frozen=True, slots=True)
class Basis:
    """Why somebody may see a patient, in plain language. `ref` and `purposes` are what decide() was asked and said."""

    ref: str
    label: str
    purposes: list[str]
    until: datetime.datetime | None
    scopes: list[str]

    @property
    def is_care_team(self) -> bool:
        """Whether it lasts as long as the care team has both."""
        return self.ref.startswith("care_team:")

    @property
    def purpose_names(self) -> list[str]:
        """The purposes of use as a person reads them."""
        return [PURPOSES_OF_USE[purpose] for purpose in self.purposes]


@dataclass(frozen=True, slots=True)
class Reached:
    """A patient and why."""

    patient: Patient
    bases: list[Basis]


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the patients, by name; `following` is the key that the next page begins after, None on the last."""

    patients: list[Reached]
    following: uuid.UUID | None = None


@dataclass(slots=True)
class Ties:
    """What may connect the person with one patient, and what to call it."""

    care_teams: list[CareTeamTie] = field(default_factory=list)
    access_grants: list[AccessGrantTie] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)


Memberships = dict[uuid.UUID, list[datetime.datetime | None]]


def patients_of(
    *, user: User, now: datetime.datetime, record_number: str = "", after: uuid.UUID | None = None
) -> Page:
    """Return the PAGE patients behind the key `after`, or the one with this record number, if decide() allows it."""
    roles = _roles(user, now)
    if not any(role.ceiling for role in roles):
        return Page([])
    memberships: Memberships = defaultdict(list)
    for care_team, end in user.care_team_memberships.in_force(now).values_list("care_team", "ends_at"):
        memberships[care_team].append(end)
    purposes = {purpose for role in roles for purpose in role.purposes}
    teams = list(memberships) if purposes & TREATMENT_PURPOSES else []
    under = CareTeamPatient.objects.in_force(now).filter(care_team__in=teams)
    grants = (
        PatientAccessGrant.objects.in_force(now)
        .filter(Q(grantee_user=user) | Q(grantee_care_team__in=list(memberships)))
        .filter(purpose_of_use__in=purposes)
    )
    if record_number:
        key = Patient.objects.with_record_number(record_number).values_list("pk", flat=True).first()
        under, grants = under.filter(patient=key), grants.filter(patient=key)
    elif after:
        under, grants = under.filter(patient__gt=after), grants.filter(patient__gt=after)
    keys = sorted({key for rows in (under, grants) for key in _first_patients(rows)})
    more, keys = len(keys) > PAGE, keys[:PAGE]
    ties = _ties(keys, under=under, grants=grants, memberships=memberships)
    account = Account(user.state, user.ends_at)
    reached = [
        Reached(patient, bases)
        for patient in Patient.objects.filter(pk__in=keys)
        if (bases := _bases(account, roles, ties[patient.pk], now))
    ]
    reached.sort(key=lambda one: (one.patient.family_name.casefold(), one.patient.given_name.casefold()))
    return Page(reached, keys[-1] if more else None)


def _roles(user: User, now: datetime.datetime) -> tuple[RoleInForce, ...]:
    return tuple(
        RoleInForce(
            held.role.code,
            held.role.version,
            smart.parse(held.role.scope_ceiling),
            frozenset(held.role.purposes_of_use),
            held.ends_at,
        )
        for held in user.roles_in_force_at(now)
    )


def _first_patients(rows: Any) -> list[uuid.UUID]:
    return list(rows.order_by("patient").values_list("patient", flat=True).distinct()[: PAGE + 1])


def _ties(
    keys: list[uuid.UUID], *, under: Any, grants: Any, memberships: Memberships
) -> dict[uuid.UUID, Ties]:
    """Return the ties of these patients. A tie through a care team ends with the membership, too."""
    ties: dict[uuid.UUID, Ties] = defaultdict(Ties)
    for row in under.filter(patient__in=keys).select_related("care_team"):
        of_patient = ties[row.patient_id]
        of_patient.labels[f"care_team:{row.care_team_id}"] = f"Care team: {row.care_team.name}"
        of_patient.care_teams += [
            CareTeamTie(str(row.care_team_id), earliest(row.ends_at, end))
            for end in memberships[row.care_team_id]
        ]
    for grant in grants.filter(patient__in=keys).select_related("approved_by"):
        of_patient = ties[grant.patient_id]
        of_patient.labels[f"access_grant:{grant.pk}"] = f"Access grant, approved by {grant.approved_by}"
        ends = memberships[grant.grantee_care_team_id] if grant.grantee_care_team_id else [None]
        of_patient.access_grants += [
            AccessGrantTie(
                str(grant.pk),
                smart.parse(grant.scopes),
                grant.purpose_of_use,
                earliest(grant.ends_at, end) or grant.ends_at,
            )
            for end in ends
        ]
    return ties


def _bases(
    account: Account, roles: tuple[RoleInForce, ...], ties: Ties, now: datetime.datetime
) -> list[Basis]:
    """Ask decide() once for each purpose that could be allowed; purposes with the same answer become one basis."""
    facts = Facts(
        account, True, roles=roles, care_teams=tuple(ties.care_teams), access_grants=tuple(ties.access_grants)
    )
    possible = {tie.purpose for tie in ties.access_grants} | (
        TREATMENT_PURPOSES if ties.care_teams else set()
    )
    wanted = tuple(scope for role in roles for scope in role.ceiling)
    answers: dict[tuple[Any, ...], tuple[Decision, list[str]]] = {}
    for purpose in (purpose for purpose in PURPOSES_OF_USE if purpose in possible):
        decision = decide(Question(purpose, wanted), facts, now)
        if decision.allowed:
            key = (decision.basis, decision.scopes, decision.until)
            answers.setdefault(key, (decision, []))[1].append(purpose)
    return [
        Basis(
            decision.basis,
            ties.labels[decision.basis],
            purposes,
            decision.until,
            [smart.in_plain_language(scope) for scope in decision.scopes],
        )
        for decision, purposes in answers.values()
    ]
