"""Role assignments in the portal: assigned, approved and ended by operations; never edited."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from accounts.admin.username_search import username_begins
from accounts.forms import AssignRoleForm, as_uuid
from accounts.models import RoleAssignment
from accounts.operations import role_assignments
from audit.guarded import Fact, GuardedModelAdmin, OptionalReasonForm, Step, Verb
from audit.widgets import badge

ASSIGN = Verb(
    name="assign",
    label="Assign a role",
    permission="accounts.assign_role",
    operation="role_assignments.assign",
    act=lambda obj, by, now, cleaned: role_assignments.assign(by=by, now=now, **cleaned),
    form=AssignRoleForm,
    done="The role is assigned. A privileged one waits for another administrator.",
    intro="It counts from its start at the person's next request; one that changes access or reads the ledger counts "
    "only once another administrator has approved it. Nobody assigns a role to themselves.",
)
APPROVE = Verb(
    name="approve",
    label="Approve",
    permission="accounts.assign_role",
    operation="role_assignments.approve",
    act=lambda assignment, by, now, cleaned: role_assignments.approve(
        assignment=assignment, by=by, now=now, **cleaned
    ),
    form=OptionalReasonForm,
    is_offered=lambda assignment: assignment.is_waiting,
    done="The role assignment is approved.",
    intro="From its start the person holds the role. Make sure that it is really them who will use the account, and "
    "that they have changed the password they were given.",
)
END = Verb(
    name="end",
    label="End",
    permission="accounts.end_role_assignment",
    operation="role_assignments.end",
    act=lambda assignment, by, now, cleaned: role_assignments.end(
        assignment=assignment, by=by, now=now, **cleaned
    ),
    is_offered=lambda assignment: assignment.ended_at is None,
    danger=True,
    done="The role assignment has ended.",
    intro="The person loses what the role allows at their next request; what waits for approval is withdrawn.",
)


def standing(assignment: RoleAssignment) -> tuple[str, str]:
    """Return the state that an assignment's times amount to now, as a code for its badge and in words."""
    now = timezone.now()
    if assignment.ended_at or (assignment.ends_at and assignment.ends_at <= now):
        return "ended", "Ended"
    if assignment.is_waiting:
        return "requested", "Waits for approval"
    return ("pending", "Not begun") if assignment.starts_at > now else ("active", "In force")


class StandingFilter(admin.SimpleListFilter):
    """Only those that wait, or only those that count."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "Waits for approval"), ("in_force", "In force")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        wanted, now = self.value(), timezone.now()
        if wanted == "waiting":
            return queryset.waiting(now)
        return queryset.in_force(now) if wanted == "in_force" else queryset


@admin.register(RoleAssignment)
class RoleAssignmentAdmin(GuardedModelAdmin):
    """Role assignments."""

    list_display = ("user", "role", "standing", "starts_at", "ends_at", "assigned_by")
    list_select_related = ("user", "role", "assigned_by")
    list_filter = (StandingFilter, "role")
    sortable_by = ()
    search_fields = ("user__username",)
    search_help_text = "Beginning of the username"
    verbs = (APPROVE, END)
    list_verbs = (ASSIGN,)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        return username_begins(queryset, "user__username", search_term), False

    @admin.display(description="State")
    def standing(self, assignment: RoleAssignment) -> Any:
        """Whether it counts now, as a badge."""
        return badge(*standing(assignment))

    def form_options(self, request: HttpRequest, verb: Verb, obj: Any) -> dict[str, Any]:
        """Let links to the form name the person by their opaque id."""
        user = as_uuid(request.GET.get("user", ""))
        return {"initial": {"user": user}} if verb is ASSIGN and user else {}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        if kwargs.get("obj"):
            context["state"], context["state_label"] = standing(kwargs["obj"])
        return super().render_change_form(request, context, *args, **kwargs)

    def facts(self, request: HttpRequest, obj: Any) -> list[Fact]:
        """Say who holds what, from when to when and why."""
        return [
            Fact("Person", obj.user.identification),
            Fact("Role", obj.role),
            Fact("Starts", obj.starts_at),
            Fact("Ends", obj.ends_at or "When somebody ends it"),
            Fact("Reason", obj.reason),
            Fact("Assigned by", obj.assigned_by.identification if obj.assigned_by else "The installation"),
        ]

    def timeline(self, request: HttpRequest, obj: Any) -> list[Step]:
        """Say who assigned, approved and ended it."""
        steps = [
            Step("Assigned", obj.assigned_by or "the installation", obj.assigned_at, obj.reason),
            Step("Approved", obj.approved_by, obj.approved_at),
            Step("Ended", obj.ended_by, obj.ended_at, obj.end_reason),
        ]
        return [step for step in steps if step.at is not None]
