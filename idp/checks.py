"""Refuse to start unsafe: system checks on what the settings could get wrong."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

LOOPBACK = ("127.0.0.1", "localhost", "::1", "testserver")


@checks.register(checks.Tags.security)
def check_tokens(**kwargs: Any) -> list[checks.CheckMessage]:
    """Refuse a symmetric algorithm, simplejwt's own blacklist, and an issuer without TLS outside this machine."""
    problems: list[checks.CheckMessage] = []
    if settings.SIMPLE_JWT.get("ALGORITHM") not in ("ES256", "RS256") or settings.SIMPLE_JWT.get(
        "SIGNING_KEY"
    ):
        problems.append(
            checks.Error("Tokens are signed by the key ring with ES256 or RS256.", id="wardkey.E001")
        )
    if "rest_framework_simplejwt.token_blacklist" in settings.INSTALLED_APPS:
        problems.append(
            checks.Error("The blacklist app lets refresh tokens be used twice.", id="wardkey.E002")
        )
    issuer = urlsplit(settings.WARDKEY_ISSUER)
    if issuer.scheme != "https" and issuer.hostname not in LOOPBACK:
        problems.append(checks.Error("WARDKEY_ISSUER must be an https address.", id="wardkey.E003"))
    return problems


@checks.register(checks.Tags.security, deploy=True)
def check_production(**kwargs: Any) -> list[checks.CheckMessage]:
    """Refuse the demo and the embedded database in production."""
    problems: list[checks.CheckMessage] = []
    if settings.WARDKEY_DEMO:
        problems.append(checks.Error("The demo is on: unset WARDKEY_DEMO.", id="wardkey.E004"))
    if not settings.DATABASE_URL:
        problems.append(checks.Error("Production needs PostgreSQL: set DATABASE_URL.", id="wardkey.E005"))
    return problems
