"""Pages of no app: what went wrong. They need no session, no database and no context processor, and repeat no input."""

import sys

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from audit import context
from idp.middleware import unavailable
from tokens.api.errors import UNAVAILABLE


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what could not be read: a bad Host, form, cursor or upload."""
    return _page("400.html", 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer who may not see a page."""
    return _page("403.html", 403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that the form must be sent again, without Django's own page and its inline style."""
    return _page("403_csrf.html", 403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that leads nowhere."""
    return _page("404.html", 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 when the exception says that database or cache are away, and 500 otherwise.

    Django turns what a middleware raises into this page one layer further in, where UnavailableMiddleware cannot see
    the exception; a signed-in person's page fails there, because her session is read by a middleware.
    """
    if isinstance(sys.exception(), UNAVAILABLE):
        return unavailable(request)
    return _page("500.html", 500)


def _page(template: str, status: int) -> HttpResponse:
    return render(None, template, {"request_id": context.current().request_id}, status=status)
