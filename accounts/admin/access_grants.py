"""Access grants in the portal: requested, approved, rejected and revoked by operations; never edited."""

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from accounts.access import scopes as smart
from accounts.admin.explain import explain_link
from accounts.admin.patient_names import (
    patient_shown,
    record_name_shown,
    record_names_listed,
    sees_names,
)
from accounts.admin.username_search import username_begins
from accounts.forms import RequestAccessForm, as_uuid
from accounts.models import PatientAccessGrant, User
from accounts.operations import access_grants
from audit.guarded import Fact, GuardedModelAdmin, OptionalReasonForm, Step, Verb
from audit.paginator import BoundedPaginator
from audit.suggestions import identification
from audit.widgets import badge

State = PatientAccessGrant.State
PEOPLE_SEARCHED = 50  # so that a search for one letter costs no more than a page


def is_waiting(grant: PatientAccessGrant) -> bool:
    """Return whether nobody has decided yet."""
    return grant.state == State.REQUESTED


def counts(grant: PatientAccessGrant) -> bool:
    """Return whether there is something to revoke."""
    return grant.state in PatientAccessGrant.COUNTS


def request_access(obj: Any, by: Any, now: Any, cleaned: dict[str, Any]) -> PatientAccessGrant:
    """Ask for access as the form says."""
    return access_grants.request(**cleaned | {"scopes": " ".join(cleaned["scopes"])}, by=by, now=now)


REQUEST = Verb(
    name="request",
    label="Request access",
    permission="accounts.request_access_grant",
    operation="access_grants.request",
    act=request_access,
    form=RequestAccessForm,
    done="The request waits for another administrator.",
    intro="Another administrator must approve it. Nobody asks for themselves or for a care team of their own.",
)
VERBS = (
    Verb(
        name="approve",
        label="Approve",
        permission="accounts.approve_access_grant",
        operation="access_grants.approve",
        act=lambda grant, by, now, cleaned: access_grants.approve(grant=grant, by=by, now=now, **cleaned),
        form=OptionalReasonForm,
        is_offered=is_waiting,
        done="Access is approved.",
        intro="From its start until its end the person can have tokens for this patient.",
    ),
    Verb(
        name="reject",
        label="Reject",
        permission="accounts.approve_access_grant",
        operation="access_grants.reject",
        act=lambda grant, by, now, cleaned: access_grants.reject(grant=grant, by=by, now=now, **cleaned),
        is_offered=is_waiting,
        danger=True,
        done="The request is rejected.",
    ),
    Verb(
        name="revoke",
        label="Revoke",
        permission="accounts.revoke_access_grant",
        operation="access_grants.revoke",
        act=lambda grant, by, now, cleaned: access_grants.revoke(grant=grant, by=by, now=now, **cleaned),
        is_offered=counts,
        danger=True,
        done="Access is revoked.",
        intro="It ends at once: a token that rests on it is refused at its next use.",
    ),
)


@admin.register(PatientAccessGrant)
class PatientAccessGrantAdmin(GuardedModelAdmin):
    """Access grants."""

    list_filter = ("state",)
    list_select_related = ("grantee_user", "grantee_care_team", "patient")
    sortable_by = ()
    search_fields = ("grantee_user__username",)
    search_help_text = (
        "Beginning of a person's username, FHIR id of a patient, or id of a grant. Without: the newest thousand. "
        "Never a record number, for what is typed here stays in the page's address."
    )
    paginator = BoundedPaginator
    verbs = VERBS
    list_verbs = (REQUEST,)

    def get_list_display(self, request: HttpRequest) -> Any:
        patient = "patient_name" if sees_names(request) else "patient_id"
        return ("grantee", patient, "purpose", "state_shown", "starts_at", "ends_at")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Look an id up exactly, or take the first people whose username begins so: one named in full is the first."""
        if (key := as_uuid(search_term)) is not None:
            return queryset.filter(Q(pk=key) | Q(patient=key)), False
        if not search_term.strip():
            return queryset, False
        people = username_begins(User.objects.order_by("username"), "username", search_term)
        return queryset.filter(grantee_user__in=people.values("pk")[:PEOPLE_SEARCHED]), False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Record how many patients the list names."""
        response = super().changelist_view(request, extra_context)
        if (shown := (getattr(response, "context_data", None) or {}).get("cl")) is not None:
            record_names_listed(request, len(shown.result_list))
        return response

    @admin.display(description="Grantee")
    def grantee(self, grant: PatientAccessGrant) -> str:
        """Who has or would get access."""
        return grant.grantee_label

    @admin.display(description="Patient")
    def patient_name(self, grant: PatientAccessGrant) -> str:
        """The patient, for those who may know patients."""
        return grant.patient.identification

    @admin.display(description="Purpose", ordering="purpose_of_use")
    def purpose(self, grant: PatientAccessGrant) -> str:
        """The purpose of use in words."""
        return grant.get_purpose_of_use_display()

    @admin.display(description="State", ordering="state")
    def state_shown(self, grant: PatientAccessGrant) -> Any:
        """The state as a badge."""
        return badge(grant.state, grant.get_state_display())

    def form_options(self, request: HttpRequest, verb: Verb, obj: Any) -> dict[str, Any]:
        """Let links to the request form name a person and a patient by their opaque ids."""
        if verb is not REQUEST:
            return {}
        named = {name: as_uuid(request.GET.get(name, "")) for name in ("grantee_user", "patient")}
        return {"initial": {name: key for name, key in named.items() if key}}

    def offered(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        """Add the way to the explanation, where there is one person to explain."""
        link = explain_link(request, user=obj.grantee_user_id, patient=obj.patient_id)
        return [*super().offered(request, obj), *(link if obj.grantee_user_id else [])]

    def facts(self, request: HttpRequest, obj: Any) -> list[Fact]:
        """Say who may see whom, for what, how much, from when to when and why; this names the patient, so record it."""
        record_name_shown(request, obj.patient)
        opens = [smart.in_plain_language(scope).capitalize() for scope in smart.parse(obj.scopes)]
        return [
            Fact(
                "Care team" if obj.grantee_care_team_id else "Person",
                identification(obj.grantee_user or obj.grantee_care_team),
            ),
            Fact("Patient", patient_shown(request, obj.patient)),
            Fact("Purpose of use", obj.get_purpose_of_use_display()),
            Fact("What it opens", "; ".join(opens)),
            Fact("Starts", obj.starts_at),
            Fact("Ends", obj.ends_at),
            Fact("Reason", obj.reason),
        ]

    def timeline(self, request: HttpRequest, obj: Any) -> list[Step]:
        """Say who asked, decided and ended it."""
        steps = [
            Step("Requested", obj.requested_by, obj.requested_at, obj.reason),
            Step("Approved", obj.approved_by, obj.approved_at),
            Step("Began", None, obj.activated_at),
            Step("Rejected", obj.rejected_by, obj.rejected_at, obj.rejection_reason),
            Step("Revoked", obj.revoked_by, obj.revoked_at, obj.revocation_reason),
            Step("Expired", None, obj.expired_at),
        ]
        return [step for step in steps if step.at is not None]
