"""Pages of no app: a form that came from elsewhere."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that the form must be sent again, without Django's own page and its inline style."""
    return render(request, "403_csrf.html", status=403)
