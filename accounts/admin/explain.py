"""Why can this person see this patient? decide()'s own answer, layer by layer, in plain language; it is recorded."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from accounts.access import decision as deciding
from accounts.access import lookup
from accounts.access import scopes as smart
from accounts.access.decision import ClientPolicy, Decision, Question, Reason
from accounts.admin.patient_names import patient_shown
from accounts.forms import ExplainForm, as_uuid
from accounts.models import CareTeam, PatientAccessGrant
from audit import ledger
from audit.events import EventType

PERMISSION = "accounts.explain_access"
LAYERS = {
    "account": "The account",
    "client": "The application",
    "role": "The roles",
    "patient": "The patient",
    "care team": "Care teams",
    "access grant": "Access grants",
    "end": "Anything else",
}
WORDS = {
    Reason.ACCOUNT_ACTIVE: "The account is active.",
    Reason.ACCOUNT_UNKNOWN: "There is no such account.",
    Reason.ACCOUNT_NOT_ACTIVE: "The account is not active.",
    Reason.ACCOUNT_ENDED: "The account's end date has passed.",
    Reason.CLIENT_ALLOWED: "No application narrows the question; one that asks may allow less.",
    Reason.CLIENT_NOT_ACTIVE: "The application is not active.",
    Reason.CLIENT_PURPOSE: "The application may not ask for this purpose.",
    Reason.CLIENT_SCOPE: "The application may not have these scopes.",
    Reason.PATIENT_KNOWN: "The patient is registered.",
    Reason.PATIENT_UNKNOWN: "There is no such patient.",
    Reason.ROLE_ALLOWS: "A role in force allows this purpose and at least a part of the scopes",
    Reason.NO_ROLE_FOR_PURPOSE: "No role in force allows this purpose.",
    Reason.BEYOND_ROLE: "The roles in force allow none of these scopes.",
    Reason.CARE_TEAM: "The person and the patient are in one care team now",
    Reason.NO_CARE_TEAM: "No care team has both the person and the patient now.",
    Reason.CARE_TEAM_PURPOSE: "They share a care team, which counts for treatment only.",
    Reason.ACCESS_GRANT: "An access grant is in force",
    Reason.NO_ACCESS_GRANT: "No access grant is in force for this person, patient and purpose.",
    Reason.ACCESS_GRANT_SCOPE: "There is an access grant, but it opens none of these scopes.",
    Reason.NO_RELATIONSHIP: "Nothing connects the person with the patient, so the answer is no.",
}


def explain_link(request: HttpRequest, **named: Any) -> list[dict[str, Any]]:
    """Return the button that leads here, with a person or a patient named by opaque ids; none without permission."""
    if not request.user.has_perm(PERMISSION):
        return []
    return [{"label": "Explain access", "url": f"{reverse('explain_access')}?{urlencode(named)}"}]


def explain(request: HttpRequest) -> HttpResponse:
    """Ask decide() as the token endpoint would, and show what each layer said."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    named = {name: as_uuid(request.GET.get(name, "")) for name in ("user", "patient")}
    form = ExplainForm(
        request.POST if request.method == "POST" else None,
        initial={name: key for name, key in named.items() if key},
    )
    answer: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        answer = _answer(request, **form.cleaned_data)
    context = {
        **admin.site.each_context(request),
        "title": "Why can this person see this patient?",
        "form": form,
        "form_method": "post",
        **answer,
    }
    return TemplateResponse(request, "admin/accounts/explain.html", context)


def _answer(
    request: HttpRequest, *, user: Any, patient: Any, purpose_of_use: str, scopes: tuple[smart.Scope, ...]
) -> dict[str, Any]:
    now = timezone.now()
    facts, _ = lookup.gather(user=user.pk, patient=patient.pk, client=ClientPolicy(), now=now)
    decision = deciding.decide(Question(purpose_of_use, scopes), facts, now)
    with transaction.atomic():
        ledger.record(
            EventType.ACCESS_EXPLAINED,
            obj=user,
            object_label=user.ledger_label,
            patient=patient.patient_ref,
            purpose_of_use=purpose_of_use,
            basis=decision.basis,
            reason_code=decision.reason.value,
            details={"allowed": decision.allowed, "scopes": smart.join(scopes)},
            now=now,
        )
    return {
        "decision": {
            "allowed": decision.allowed,
            "basis_label": basis_label(decision.basis),
            "scopes": [smart.in_plain_language(scope).capitalize() for scope in decision.scopes],
            "until": decision.until,
        },
        "layers": layers(decision),
        "user_label": user.identification,
        "patient_label": patient_shown(request, patient),
    }


def layers(decision: Decision) -> list[dict[str, str]]:
    """Return what each layer said, and which ones were not asked because the answer was clear before."""
    said = {step.layer: step for step in decision.steps}
    shown = []
    for layer, name in LAYERS.items():
        step = said.get(layer)
        if step is not None:
            refs = ", ".join(basis_label(ref) or ref for ref in step.ref.split(", "))
            ref = f": {refs}." if refs else ""
            shown.append(
                {"name": name, "outcome": step.outcome.value, "reason": f"{WORDS[step.reason]}{ref}"}
            )
        elif layer != "end":
            shown.append({"name": name, "outcome": "", "reason": "The answer was clear before this."})
    return shown


def basis_label(basis: str) -> str:
    """Return "care_team:<id>" and "access_grant:<id>" as a reader knows them; empty for anything else."""
    kind, _, key = basis.partition(":")
    if kind == "care_team":
        team = CareTeam.objects.filter(pk=key).first()
        return f"care team {team.name if team else key}"
    if kind == "access_grant":
        grant = PatientAccessGrant.objects.filter(pk=key).select_related("approved_by").first()
        return f"access grant {key[:8]}{f', approved by {grant.approved_by}' if grant else ''}"
    return ""
