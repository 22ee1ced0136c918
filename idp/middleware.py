"""The request's context, headers for every answer, a clear one when the database is away, and a door for programs.

Requests of programs (settings.MACHINE_PATHS) have no session, no cookie and no form, and go past the middlewares for
these, which is a tenth of their time.
"""

import ipaddress
import re
import uuid
from collections.abc import Callable
from typing import Any, ClassVar

from csp import middleware as csp_middleware
from django.conf import settings
from django.contrib.auth import middleware as auth_middleware
from django.contrib.sessions import middleware as sessions_middleware
from django.core.exceptions import BadRequest
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render

from audit import context
from tokens.api.errors import UNAVAILABLE

GetResponse = Callable[[HttpRequest], HttpResponseBase]
RETRY_SECONDS = 5
WITH_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+):\d{1,5}|\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?", re.ASCII)
PROBES = ("/livez", "/readyz")


def is_machine(request: HttpRequest) -> bool:
    """Return whether a program asks."""
    return request.path_info.startswith(settings.MACHINE_PATHS)


def client_address(request: HttpRequest) -> str | None:
    """Return the client's address: the peer's, or what the trusted proxies appended. None when it is no address."""
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    count = settings.WARDKEY_TRUSTED_PROXY_COUNT
    text = hops[-count] if 0 < count <= len(hops) else request.META.get("REMOTE_ADDR", "")
    text = text.strip()
    if with_port := WITH_PORT.fullmatch(text):  # as some proxies write it
        text = with_port[1] or with_port[2]
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))  # a zone means nothing to anybody else
    except ValueError:
        return None


class RequestContextMiddleware:
    """Gives each request an id of our own and the ledger its context."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = str(uuid.uuid4())
        agent = "".join(c for c in request.META.get("HTTP_USER_AGENT", "")[:200] if c.isprintable())
        request.META["HTTP_USER_AGENT"] = agent  # the list of sessions keeps it, too
        with context.use(
            context.Context(request_id=request_id, remote_addr=client_address(request), user_agent=agent)
        ):
            response = self.get_response(request)
        response["X-Request-Id"] = request_id
        return response


class HeadersMiddleware:
    """Sets on every answer, whoever gave it, what Django sets on some: no cache keeps a page, no browser guesses."""

    HEADERS = {
        "Cache-Control": "no-store, private",
        "Cross-Origin-Opener-Policy": settings.SECURE_CROSS_ORIGIN_OPENER_POLICY,
        "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
        "X-Content-Type-Options": "nosniff",
    }
    POLICY_OF_PROGRAMS = "default-src 'none'; frame-ancestors 'none'"

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for name, value in self.HEADERS.items():
            response.headers.setdefault(name, value)
        if is_machine(request):
            response.headers.setdefault("Content-Security-Policy", self.POLICY_OF_PROGRAMS)
        return response


class UnavailableMiddleware:
    """Answers 503 with Retry-After when database or cache are locked or away: never a 500, and nothing half done.

    What a middleware meets, and no view, comes to idp.views.server_error.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code == 503:
            drop_stale_connections()
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, UNAVAILABLE):
            return unavailable(request)
        return None


def drop_stale_connections() -> None:
    """Have the pool try its idle connections: after a restart of PostgreSQL one request fails and not one for each."""
    if pool := getattr(connection, "pool", None):
        pool.check()


def unavailable(request: HttpRequest) -> HttpResponse:
    """Return the answer for a database that cannot be used now."""
    response: HttpResponse
    if is_machine(request):
        detail = "The service is busy. Try again in a moment."
        response = JsonResponse({"code": "temporarily_unavailable", "detail": detail}, status=503)
    else:
        told = {"retry_after": RETRY_SECONDS, "request_id": context.current().request_id}
        response = render(None, "503.html", told, status=503)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response


class CSPMiddleware(csp_middleware.CSPMiddleware):
    """The pages' Content-Security-Policy; programs get a constant one above."""

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if is_machine(request) else super().__call__(request)


class DoorMiddleware:
    """Lets in no Host but our own, and takes programs past what only pages need: sessions, forms, messages.

    The middlewares between this one and SignedInContextMiddleware see no request of a program.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.past_the_pages = SignedInContextMiddleware.beyond  # Django builds the chain from its inner end

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in PROBES:  # they ask by the address of a container
            request.get_host()  # raises DisallowedHost: a 400
        if "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest  # PostgreSQL has no such character, and a filter of the portal would be a 500
        return self.past_the_pages(request) if is_machine(request) else self.get_response(request)


class SessionMiddleware(sessions_middleware.SessionMiddleware):
    """Sessions."""

    def process_request(self, request: HttpRequest) -> None:
        """Look no key up that Django never makes: quoted, a cookie may hold a NUL, which PostgreSQL has not."""
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
        if not (key.isascii() and key.isalnum()):
            request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
        super().process_request(request)


class LoginRequiredMiddleware(auth_middleware.LoginRequiredMiddleware):
    """Closed by default; programs authenticate by token in the API itself."""

    def process_view(self, request: HttpRequest, *args: Any) -> Any:
        return None if is_machine(request) else super().process_view(request, *args)


class SignedInContextMiddleware:
    """Names the signed-in person to the ledger; the last of the middlewares for pages."""

    beyond: ClassVar[GetResponse]

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        SignedInContextMiddleware.beyond = staticmethod(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.user.is_authenticated:
            context.identify(actor_ref=str(request.user.pk), actor_label=request.user.get_username())
        return self.get_response(request)
