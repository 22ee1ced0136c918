"""The portal: Django's admin under Wardkey's name, entered by permission and not by a flag.

Whoever is turned away from one of its pages gets a 403, and the ledger an entry about it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator

from accounts.admin.patient_names import record_names_listed
from audit import refusals
from audit.context import Person
from audit.refusals import Refused
from audit.suggestions import Suggestions
from idp import attention


class Portal(admin.AdminSite):
    """The administrators' and compliance officers' site."""

    site_header = "Wardkey portal"
    site_title = "Wardkey portal"
    index_title = "Overview"
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        return request.user.is_authenticated and request.user.has_perm("accounts.enter_portal")

    def get_urls(self) -> list[Any]:
        """Leave out the link from a record to a page about it outside: no record has one."""
        return [url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show what needs this person's attention, above everything there is; record that it names patients."""
        cards = attention.cards(request, now=timezone.now())
        named = [len(cards[card]["rows"]) for card in ("requests_waiting", "grants_ending") if card in cards]
        record_names_listed(request, sum(named))
        return super().index(request, {"attention": cards, **(extra_context or {})})

    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        """Send people to the one sign-in form, and who is signed in to the overview, which may refuse them."""
        if request.user.is_authenticated:
            return redirect("admin:index")
        return redirect_to_login(request.GET.get(REDIRECT_FIELD_NAME, reverse("admin:index")))

    def logout(self, request: HttpRequest, extra_context: object = None) -> Any:
        """Send people to the one page for signing out."""
        return redirect("account_logout")

    def password_change(self, request: HttpRequest, extra_context: object = None) -> Any:
        """Send people to the one page for changing a password."""
        return redirect("account_change_password")

    def password_change_done(self, request: HttpRequest, extra_context: object = None) -> Any:
        """Send people back to the overview: that page is the sign-in's own."""
        return redirect("admin:index")

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Add the page that belongs to no model."""
        apps = super().get_app_list(request, app_label)
        for app in apps:
            if app["app_label"] == "accounts" and request.user.has_perm("accounts.explain_access"):
                name = "Why can this person see this patient?"
                page = {"name": name, "object_name": "Explain", "admin_url": reverse("explain_access")}
                app["models"].append({**page, "add_url": None, "view_only": True, "perms": {"view": True}})
        return apps

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """Suggest people by name and username: two of one name must not be mistaken for each other."""
        return cast(HttpResponse, Suggestions.as_view(admin_site=self)(request))

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """Refuse who is signed in and may not enter, and record it whoever refuses.

        By the time of the entry the page's own transaction has been undone.
        """
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def recorded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                if request.user.is_authenticated and not self.has_permission(request):
                    raise PermissionDenied
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
