"""decide(): may this person see this patient, for this purpose, with these scopes, now? PURE.

Layers are asked in order (DESIGN: account, client, role ceiling, relationship, explicit grant). A layer denies and
ends it, allows and ends it, or passes the question on, perhaps narrowed. The answer names the layer that decided,
its basis, the granted scopes and the earliest end of everything that contributed. The token endpoint, the portal's
"why can this person see this patient?", and the reports all call this one function, so they cannot drift apart.

A further layer is one more function in LAYERS and one more field of Facts with a default; callers do not change.
"""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from accounts.access import scopes as smart
from accounts.access.scopes import Scope
from accounts.purposes import TREATMENT_PURPOSES


class Reason(StrEnum):
    """Why a layer said what it said: stable codes, for the ledger and the portal, never for the wire."""

    ACCOUNT_ACTIVE = "account_active"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_NOT_ACTIVE = "account_not_active"
    ACCOUNT_ENDED = "account_ended"
    CLIENT_ALLOWED = "client_allowed"
    CLIENT_NOT_ACTIVE = "client_not_active"
    CLIENT_PURPOSE = "client_not_allowed_this_purpose"
    CLIENT_SCOPE = "client_scope"
    PATIENT_KNOWN = "patient_known"
    PATIENT_UNKNOWN = "patient_unknown"
    ROLE_ALLOWS = "role_allows"
    NO_ROLE_FOR_PURPOSE = "no_role_for_this_purpose"
    BEYOND_ROLE = "scope_beyond_role"
    CARE_TEAM = "care_team_treats_patient"
    NO_CARE_TEAM = "no_common_care_team"
    CARE_TEAM_PURPOSE = "care_team_only_for_treatment"
    ACCESS_GRANT = "access_grant_in_force"
    NO_ACCESS_GRANT = "no_access_grant"
    ACCESS_GRANT_SCOPE = "access_grant_has_other_scopes"
    NO_RELATIONSHIP = "no_relationship"


class Outcome(StrEnum):
    """What a layer did."""

    PASSED = "passed"
    ALLOWED = "allowed"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Account:
    """An account's standing."""

    state: str
    ends_at: datetime.datetime | None = None


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """What the asking client may do at most; None for scopes or purposes means no limit of its own."""

    active: bool = True
    purposes: frozenset[str] | None = None
    scopes: tuple[Scope, ...] | None = None


@dataclass(frozen=True, slots=True)
class RoleInForce:
    """A role that the person holds now."""

    code: str
    version: int
    ceiling: tuple[Scope, ...]
    purposes: frozenset[str]
    until: datetime.datetime | None = None


@dataclass(frozen=True, slots=True)
class CareTeamTie:
    """A care team that has both the person and the patient now."""

    care_team: str
    until: datetime.datetime | None = None


@dataclass(frozen=True, slots=True)
class AccessGrantTie:
    """A patient access grant in force for the person, or for a care team of theirs."""

    access_grant: str
    scopes: tuple[Scope, ...]
    purpose: str
    until: datetime.datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything decide() looks at. `account` is None when there is no such person."""

    account: Account | None
    patient_exists: bool
    client: ClientPolicy = ClientPolicy()
    roles: tuple[RoleInForce, ...] = ()
    care_teams: tuple[CareTeamTie, ...] = ()
    access_grants: tuple[AccessGrantTie, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a purpose of use (v3 ActReason code) and scopes."""

    purpose_of_use: str
    scopes: tuple[Scope, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What one layer said."""

    layer: str
    outcome: Outcome
    reason: Reason
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `basis` is "care_team:<id>" or "access_grant:<id>"; `until` None means no end of its own.

    Where several grants contribute, `basis` is the one that gives most and the last step names them all.
    """

    allowed: bool = False
    basis: str = ""
    scopes: tuple[Scope, ...] = ()
    until: datetime.datetime | None = None
    steps: tuple[Step, ...] = field(default=())

    @property
    def reason(self) -> Reason:
        """Why: the reason of the layer that decided."""
        return self.steps[-1].reason

    def with_step(self, layer: str, outcome: Outcome, reason: Reason, ref: str = "") -> "Decision":
        """Return the decision with one more layer's word."""
        return replace(self, steps=(*self.steps, Step(layer, outcome, reason, ref)))

    def deny(self, layer: str, reason: Reason) -> "Decision":
        """Return the decision as refused by this layer."""
        denied = self.with_step(layer, Outcome.DENIED, reason)
        return replace(denied, allowed=False, basis="", scopes=(), until=None)

    def allow(self, layer: str, reason: Reason, basis: str, until: datetime.datetime | None) -> "Decision":
        """Return the decision as allowed by this layer."""
        allowed = self.with_step(layer, Outcome.ALLOWED, reason, basis)
        return replace(allowed, allowed=True, basis=basis, until=earliest(self.until, until))


Layer = Callable[[Question, Facts, datetime.datetime, Decision], Decision]


def decide(question: Question, facts: Facts, now: datetime.datetime) -> Decision:
    """Ask the layers in order and return the decision. Default deny."""
    decision = Decision(scopes=question.scopes)
    for layer in LAYERS:
        decision = layer(question, facts, now, decision)
        if decision.steps[-1].outcome is not Outcome.PASSED:
            return decision
    return decision.deny("end", Reason.NO_RELATIONSHIP)


def standing(account: Account | None, now: datetime.datetime) -> Reason:
    """Return ACCOUNT_ACTIVE, or why this account may do nothing at all."""
    if account is None:
        return Reason.ACCOUNT_UNKNOWN
    if account.state != "active":
        return Reason.ACCOUNT_NOT_ACTIVE
    if account.ends_at is not None and account.ends_at <= now:
        return Reason.ACCOUNT_ENDED
    return Reason.ACCOUNT_ACTIVE


def earliest(*times: datetime.datetime | None) -> datetime.datetime | None:
    """Return the first of some ends, None standing for no end."""
    return min((time for time in times if time is not None), default=None)


def _account(question: Question, facts: Facts, now: datetime.datetime, decision: Decision) -> Decision:
    reason = standing(facts.account, now)
    if facts.account is None or reason is not Reason.ACCOUNT_ACTIVE:
        return decision.deny("account", reason)
    return replace(decision.with_step("account", Outcome.PASSED, reason), until=facts.account.ends_at)


def _client(question: Question, facts: Facts, now: datetime.datetime, decision: Decision) -> Decision:
    client = facts.client
    if not client.active:
        return decision.deny("client", Reason.CLIENT_NOT_ACTIVE)
    if client.purposes is not None and question.purpose_of_use not in client.purposes:
        return decision.deny("client", Reason.CLIENT_PURPOSE)
    granted = decision.scopes if client.scopes is None else smart.intersect(decision.scopes, client.scopes)
    if not granted:
        return decision.deny("client", Reason.CLIENT_SCOPE)
    return replace(decision.with_step("client", Outcome.PASSED, Reason.CLIENT_ALLOWED), scopes=granted)


def _role(question: Question, facts: Facts, now: datetime.datetime, decision: Decision) -> Decision:
    fitting = [role for role in facts.roles if question.purpose_of_use in role.purposes]
    if not fitting:
        return decision.deny("role", Reason.NO_ROLE_FOR_PURPOSE)
    ceiling = tuple(scope for role in fitting for scope in role.ceiling)
    granted = smart.intersect(decision.scopes, ceiling)
    if not granted:
        return decision.deny("role", Reason.BEYOND_ROLE)
    contributing = [role for role in fitting if smart.intersect(granted, role.ceiling)]
    names = ", ".join(f"{role.code} v{role.version}" for role in contributing)
    end = earliest(*(role.until for role in contributing))
    passed = decision.with_step("role", Outcome.PASSED, Reason.ROLE_ALLOWS, names)
    return replace(passed, scopes=granted, until=earliest(decision.until, end))


def _patient(question: Question, facts: Facts, now: datetime.datetime, decision: Decision) -> Decision:
    if not facts.patient_exists:
        return decision.deny("patient", Reason.PATIENT_UNKNOWN)
    return decision.with_step("patient", Outcome.PASSED, Reason.PATIENT_KNOWN)


def _care_team(question: Question, facts: Facts, now: datetime.datetime, decision: Decision) -> Decision:
    if not facts.care_teams:
        return decision.with_step("care team", Outcome.PASSED, Reason.NO_CARE_TEAM)
    if question.purpose_of_use not in TREATMENT_PURPOSES:
        return decision.with_step("care team", Outcome.PASSED, Reason.CARE_TEAM_PURPOSE)
    tie = max(facts.care_teams, key=lambda tie: (tie.until is None, tie.until or now, tie.care_team))
    return decision.allow("care team", Reason.CARE_TEAM, f"care_team:{tie.care_team}", tie.until)


def _access_grant(question: Question, facts: Facts, now: datetime.datetime, decision: Decision) -> Decision:
    fitting = [tie for tie in facts.access_grants if tie.purpose == question.purpose_of_use]
    if not fitting:
        return decision.with_step("access grant", Outcome.PASSED, Reason.NO_ACCESS_GRANT)
    granted, ties = _together(decision.scopes, fitting)
    if not ties:
        return decision.deny("access grant", Reason.ACCESS_GRANT_SCOPE)
    allowed = replace(decision, scopes=granted).allow(
        "access grant",
        Reason.ACCESS_GRANT,
        f"access_grant:{ties[0].access_grant}",
        earliest(*(tie.until for tie in ties)),
    )
    if len(ties) == 1:
        return allowed
    step = replace(allowed.steps[-1], ref=", ".join(f"access_grant:{tie.access_grant}" for tie in ties))
    return replace(allowed, steps=(*allowed.steps[:-1], step))


def _together(
    wanted: tuple[Scope, ...], ties: Sequence[AccessGrantTie]
) -> tuple[tuple[Scope, ...], list[AccessGrantTie]]:
    """Return what the grants allow together and which of them contribute, the one that gives most first.

    Grants add up, so that a further one never takes anything away; a grant that adds nothing does not shorten the rest.
    """
    granted: tuple[Scope, ...] = ()
    ceiling: tuple[Scope, ...] = ()
    contributing: list[AccessGrantTie] = []

    def gives_most(tie: AccessGrantTie) -> tuple[int, datetime.datetime, str]:
        return _breadth(smart.intersect(wanted, tie.scopes)), tie.until, tie.access_grant

    for tie in sorted(ties, key=gives_most, reverse=True):
        wider = smart.intersect(wanted, (*ceiling, *tie.scopes))
        if not all(any(scope.fits_inside(held) for held in granted) for scope in wider):
            granted, ceiling = wider, (*ceiling, *tie.scopes)
            contributing.append(tie)
    return granted, contributing


def _breadth(scopes: tuple[Scope, ...]) -> int:
    """Return a number that grows with what scopes allow; it only orders grants, it allows nothing."""
    return sum(
        len(scope.permissions) * (100 if scope.resource_type == "*" else 1) * (1 if scope.pairs else 10)
        for scope in scopes
    )


LAYERS: tuple[Layer, ...] = (_account, _client, _role, _patient, _care_team, _access_grant)
