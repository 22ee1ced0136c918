"""The portal: Django's admin under Wardkey's name, entered by permission and not by a flag."""

from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse


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
            raise PermissionDenied
        return redirect_to_login(request.GET.get(REDIRECT_FIELD_NAME, "/admin/"))
