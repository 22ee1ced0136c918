"""Permissions from the roles in force, and authentication that knows when an account has ended.

Django's own ModelBackend looks at groups and user permissions; Wardkey has neither. Password checking and its
constant work for unknown users are Django's.
"""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.utils import timezone

from accounts.models import User


class RoleBackend(ModelBackend):
    """Authenticates by password; grants what the person's roles in force grant."""

    def user_can_authenticate(self, user: Any) -> bool:
        return bool(user.may_act_at(timezone.now()))

    def get_user(self, user_id: Any) -> User | None:
        user = User.objects.filter(pk=user_id).first()
        return user if user and self.user_can_authenticate(user) else None

    def authenticate(
        self, request: Any, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        if username is not None:
            username = User.normalize_username(username)
        return super().authenticate(request, username=username, password=password, **kwargs)

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return "app.codename" for each permission of each role in force. One query for each user object."""
        if obj is not None or user_obj.is_anonymous or not user_obj.may_act_at(timezone.now()):
            return set()
        cached: set[str] | None = getattr(user_obj, "_role_permissions", None)
        if cached is None:
            in_force = user_obj.role_assignments.in_force(timezone.now())
            cached = user_obj._role_permissions = in_force.permission_names()
        return cached

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return perm in self.get_all_permissions(user_obj, obj)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return any(perm.startswith(f"{app_label}.") for perm in self.get_all_permissions(user_obj))
