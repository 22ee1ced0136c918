"""Users in the portal: plain fields in the form; creation, state and passwords by operations. No deletion."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from accounts.admin.explain import explain_link
from accounts.admin.username_search import username_begins
from accounts.forms import CreateUserForm, SetPasswordForm, UserForm
from accounts.models import User
from accounts.operations import users
from audit.guarded import PortalModelAdmin, Verb
from audit.widgets import badge

State = User.State


def create_user(obj: Any, by: Any, now: Any, cleaned: dict[str, Any]) -> User:
    """Create the person that the form describes."""
    cleaned = {name: value for name, value in cleaned.items() if name != "password_again"}
    return users.create(by=by, now=now, **cleaned)


def set_password(user: User, by: Any, now: Any, cleaned: dict[str, Any]) -> User:
    """Give the person the password that was typed twice."""
    return users.set_password(
        user=user, password=cleaned["password"], reason=cleaned["reason"], by=by, now=now
    )


CREATE = Verb(
    name="create",
    label="Add a user",
    permission="accounts.add_user",
    operation="users.create",
    act=create_user,
    form=CreateUserForm,
    done="The account is created. Now assign a role to it.",
    intro="The account is active at once; what it may do comes from the roles that you assign afterwards.",
)
VERBS = (
    Verb(
        name="activate",
        label="Activate",
        permission="accounts.change_user",
        operation="users.activate",
        act=lambda user, by, now, cleaned: users.activate(user=user, by=by, now=now, **cleaned),
        is_offered=lambda user: user.state in (State.PENDING, State.SUSPENDED),
        done="The account is active.",
    ),
    Verb(
        name="set_password",
        label="Set a password",
        permission="accounts.change_user",
        operation="users.set_password",
        act=set_password,
        form=SetPasswordForm,
        is_offered=lambda user: user.state != State.ENDED,
        done="The password is set.",
        intro="Make sure that you speak with the right person before you replace a password. For somebody who "
        "changes access or reads the ledger, only the operator of the machine does it, with manage.py set_password.",
    ),
    Verb(
        name="suspend",
        label="Suspend",
        permission="accounts.change_user",
        operation="users.suspend",
        act=lambda user, by, now, cleaned: users.suspend(user=user, by=by, now=now, **cleaned),
        is_offered=lambda user: user.state == State.ACTIVE,
        danger=True,
        done="The account is suspended.",
        intro="Signing in and every token of this person are refused from now on, until the account is activated.",
    ),
    Verb(
        name="end",
        label="End employment",
        permission="accounts.change_user",
        operation="users.end",
        act=lambda user, by, now, cleaned: users.end(user=user, by=by, now=now, **cleaned),
        is_offered=lambda user: user.state != State.ENDED,
        danger=True,
        done="The employment has ended.",
        intro="This is for good: an ended account is never active again.",
    ),
)

BEGIN_HERE = (
    ("accounts.assign_role", "Assign a role", "admin:accounts_roleassignment_assign", "user"),
    (
        "accounts.request_access_grant",
        "Request access",
        "admin:accounts_patientaccessgrant_request",
        "grantee_user",
    ),
)


@admin.register(User)
class UserAdmin(PortalModelAdmin):
    """Users."""

    form = UserForm
    list_display = ("username", "display_name", "job_function", "employment_type", "state_shown", "ends_at")
    list_filter = ("state", "employment_type")
    search_fields = ("username",)
    search_help_text = "Beginning of the username"
    ordering = ("username",)
    sortable_by = ("username",)
    readonly_fields = ("state_shown", "roles_held", "is_superuser", "last_login", "created_at")
    fieldsets = (
        (None, {"fields": ("state_shown", "roles_held", "is_superuser", "last_login", "created_at")}),
        ("Person", {"fields": ("username", "given_name", "family_name", "email")}),
        ("Work", {"fields": ("job_function", "employment_type", "sponsor", "ends_at")}),
    )
    verbs = VERBS
    list_verbs = (CREATE,)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        return username_begins(queryset, "username", search_term), False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody edits their own account here, and only an emergency administrator edits another one."""
        own = obj is not None and obj.pk == request.user.pk
        above = obj is not None and obj.is_superuser and not request.user.is_superuser
        return super().has_change_permission(request, obj) and not own and not above

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Send "Add" to the verb, which is no part of the form's transaction."""
        return HttpResponseRedirect(reverse("admin:accounts_user_create"))

    def note(self, request: HttpRequest, obj: Any) -> str:
        """Say why one's own page cannot be changed."""
        return (
            "This is your own account: another administrator changes it." if obj.pk == request.user.pk else ""
        )

    def offered(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        """Leave out what nobody does to themselves; add the ways to what begins at a person."""
        if obj.pk == request.user.pk:
            return []
        links = [
            {"label": label, "url": f"{reverse(name)}?{urlencode({parameter: obj.pk})}"}
            for permission, label, name, parameter in BEGIN_HERE
            if request.user.has_perm(permission) and obj.state == State.ACTIVE
        ]
        return [*links, *explain_link(request, user=obj.pk), *super().offered(request, obj)]

    @admin.display(description="State", ordering="state")
    def state_shown(self, user: User) -> Any:
        """The state as a badge."""
        return badge(user.state, user.get_state_display())

    @admin.display(description="Roles in force")
    def roles_held(self, user: User) -> str:
        """The roles that count now."""
        return ", ".join(each.role.name for each in user.roles_in_force_at(timezone.now())) or "None"
