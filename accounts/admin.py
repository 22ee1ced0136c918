"""People and access in the portal."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.models import (
    CareTeam,
    CareTeamMember,
    CareTeamPatient,
    Patient,
    PatientAccessGrant,
    Role,
    RoleAssignment,
    User,
)
from audit.guarded import GuardedModelAdmin


@admin.register(User)
class UserAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Users; their state moves by operations."""

    list_display = ("username", "display_name", "job_function", "employment_type", "state", "ends_at")
    list_filter = ("state", "employment_type", "job_function")
    search_fields = ("^username", "^family_name")
    ordering = ("username",)
    show_full_result_count = False
    readonly_fields = ("state", "is_superuser", "last_login", "created_at")
    exclude = ("password",)
    autocomplete_fields = ("sponsor",)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False


@admin.register(Role)
class RoleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Roles."""

    list_display = ("name", "code", "version", "may_break_glass", "needs_mfa")
    filter_horizontal = ("permissions",)


@admin.register(Patient)
class PatientAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Patients, found by exact record number, family name or FHIR id."""

    search_fields = ("record_number",)
    search_help_text = "Exact record number, family name or FHIR id"
    show_full_result_count = False
    list_per_page = 25

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        return (queryset.search(search_term) if search_term else queryset), False

    def has_delete_permission(self, request: HttpRequest, obj: Patient | None = None) -> bool:
        return False


class MemberInline(admin.TabularInline):  # type: ignore[type-arg]
    """People of a care team."""

    model = CareTeamMember
    autocomplete_fields = ("user",)
    extra = 0


class PatientInline(admin.TabularInline):  # type: ignore[type-arg]
    """Patients of a care team."""

    model = CareTeamPatient
    autocomplete_fields = ("patient",)
    extra = 0


@admin.register(CareTeam)
class CareTeamAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Care teams."""

    search_fields = ("^name",)
    inlines = (MemberInline, PatientInline)


@admin.register(RoleAssignment)
class RoleAssignmentAdmin(GuardedModelAdmin):
    """Role assignments: read-only."""

    list_display = ("user", "role", "starts_at", "ends_at", "ended_at")
    list_select_related = ("user", "role")


@admin.register(PatientAccessGrant)
class PatientAccessGrantAdmin(GuardedModelAdmin):
    """Access grants: read-only."""

    list_display = ("pk", "grantee_label", "purpose_of_use", "state", "starts_at", "ends_at")
    list_filter = ("state",)
    list_select_related = ("grantee_user", "grantee_care_team")
