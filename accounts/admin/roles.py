"""Roles in the portal. Nobody edits a role that they hold, and no role joins the ledger with changing access."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminTextareaWidget
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone

from accounts.access import segregation
from accounts.models import Role
from accounts.operations import roles
from accounts.operations.refusals import Refused
from accounts.purposes import PURPOSES_OF_USE
from audit.guarded import PortalModelAdmin

OUR_APPS = ("accounts", "tokens", "audit")


LONGEST_KEY = 18  # digits; a longer number may not fit the column


class NumberedField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Records by their number; one that no column can hold is an invalid choice, not the database's overflow."""

    def clean(self, value: Any) -> Any:
        if any(len(str(key)) > LONGEST_KEY for key in value or ()):
            raise ValidationError(self.error_messages["invalid_list"], code="invalid_list")
        return super().clean(value)


class PermissionsField(NumberedField):
    """Permissions by what they allow, and not by the model that Django hangs them on."""

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.name.removeprefix('Can ').capitalize()} ({obj.content_type.app_label}.{obj.codename})"


class RoleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A role."""

    purposes_of_use = forms.MultipleChoiceField(
        choices=list(PURPOSES_OF_USE.items()), widget=forms.CheckboxSelectMultiple, required=False
    )

    class Meta:
        widgets = {
            name: AdminTextareaWidget(attrs={"rows": 3})
            for name in ("description", "justification", "scope_ceiling")
        }

    def clean_permissions(self) -> Any:
        chosen = self.cleaned_data["permissions"]
        names = {f"{each.content_type.app_label}.{each.codename}" for each in chosen}
        if segregation.is_conflict(names):
            raise ValidationError(
                "A role that reads or exports the ledger may not change anybody's access as well.",
                code="incompatible_permissions",
            )
        try:
            if not self.instance._state.adding:
                roles.refuse_privileges_for_holders(role=self.instance, permissions=names, now=timezone.now())
        except Refused as refused:
            raise ValidationError(str(refused), code=refused.code) from refused
        return chosen


@admin.register(Role)
class RoleAdmin(PortalModelAdmin):
    """Roles."""

    form = RoleForm
    list_display = ("name", "code", "version", "may_break_glass", "needs_mfa")
    fields = (
        "name",
        "code",
        "version",
        "description",
        "justification",
        "scope_ceiling",
        "purposes_of_use",
        "permissions",
        "incompatible_roles",
        ("may_break_glass", "needs_mfa"),
    )
    filter_horizontal = ("permissions", "incompatible_roles")
    refusal_codes = frozenset({"incompatible_permissions", "role_is_held"})

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "permissions":
            ours = Permission.objects.filter(content_type__app_label__in=OUR_APPS)
            kwargs |= {"queryset": ours.select_related("content_type"), "form_class": PermissionsField}
        else:
            kwargs["form_class"] = NumberedField
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Role | None = None) -> Any:
        return ("version", "code") if obj else ("version",)

    def has_change_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        """Nobody edits a role that they hold, or will hold."""
        return super().has_change_permission(request, obj) and not (obj and self.is_held(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Role | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and self.is_held(request, obj))

    def is_held(self, request: HttpRequest, role: Role) -> bool:
        """Return whether the signed-in person has this role."""
        return role.assignments.filter(user=request.user.pk, ended_at__isnull=True).exists()

    def note(self, request: HttpRequest, obj: Any) -> str:
        """Say why the role cannot be changed."""
        return "You hold this role: another administrator changes it." if self.is_held(request, obj) else ""
