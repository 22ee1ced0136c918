"""Pages of no app: a form that came from elsewhere, and what went wrong before a view was reached."""

import sys

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import defaults

from idp.middleware import unavailable
from tokens.api.errors import UNAVAILABLE


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that the form must be sent again, without Django's own page and its inline style."""
    return render(request, "403_csrf.html", status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 when the exception says that database or cache are away, and 500 otherwise.

    Django turns what a middleware raises into this page one layer further in, where UnavailableMiddleware cannot see
    the exception; a signed-in person's page fails there, because her session is read by a middleware.
    """
    if isinstance(sys.exception(), UNAVAILABLE):
        return unavailable(request)
    return defaults.server_error(request)
