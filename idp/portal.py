"""The portal: Django's admin under Wardkey's name, entered by permission and not by a flag.

Whoever is turned away from one of its pages gets a 403, and the ledger an entry about it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from audit import refusals
from audit.context import Person
from audit.refusals import Refused


class Portal(admin.AdminSite):
    """The administrators' and compliance officers' site."""

    site_header = "Wardkey portal"
    site_title = "Wardkey portal"
    index_title = "Overview"
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        return request.user.is_authenticated and request.user.has_perm("accounts.enter_portal")

    def login(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        """Send people to the one sign-in form; refuse those who are signed in and may not enter."""
        if request.user.is_authenticated:
            record_refusal(request)
            raise PermissionDenied
        return redirect_to_login(request.GET.get(REDIRECT_FIELD_NAME, "/admin/"))

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Add the page that belongs to no model."""
        apps = super().get_app_list(request, app_label)
        for app in apps:
            if app["app_label"] == "accounts" and request.user.has_perm("accounts.explain_access"):
                name = "Why can this person see this patient?"
                page = {"name": name, "object_name": "Explain", "admin_url": reverse("explain_access")}
                app["models"].append({**page, "add_url": None, "view_only": True, "perms": {"view": True}})
        return apps

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """Record it when a page refuses; by then the page's own transaction has been undone."""
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def recorded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                return inner(request, *args, **kwargs)
            except PermissionDenied:
                record_refusal(request)
                raise

        return recorded


def record_refusal(request: HttpRequest) -> None:
    """Record that a page was refused to the signed-in person; the page by its name, for an address may hold more."""
    match = request.resolver_match
    operation = match.view_name if match else ""
    refused = Refused("not_permitted", "You do not have the permission for this.")
    refusals.record(refused, operation=operation, by=cast(Person, request.user))
