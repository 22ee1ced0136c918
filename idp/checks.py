"""Refuse to start unsafe: system checks on what the settings could get wrong.

The errors without `deploy` hold for the embedded default as well. `manage.py check --deploy` asks for the rest, and
the one-shot migrate of docker-compose.yml does so before it touches the database. Each sentence says what to set.
"""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from crypto import keyring

LOOPBACK = ("127.0.0.1", "localhost", "::1", "testserver")
LONGEST_PATIENT_TOKEN_SECONDS = 300
Problems = list[checks.CheckMessage]


@checks.register(checks.Tags.security)
def check_tokens(**kwargs: Any) -> Problems:
    """Refuse a symmetric algorithm, simplejwt's own blacklist, and an issuer without TLS outside this machine."""
    problems: Problems = []
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
    if issuer.scheme not in ("http", "https") or not issuer.hostname or issuer.query or issuer.fragment:
        problems.append(
            checks.Error("WARDKEY_ISSUER must be an address without query or fragment.", id="wardkey.E006")
        )
    elif issuer.scheme != "https" and issuer.hostname not in LOOPBACK:
        problems.append(checks.Error("WARDKEY_ISSUER must be an https address.", id="wardkey.E003"))
    return problems


@checks.register(checks.Tags.security)
def check_keys(**kwargs: Any) -> Problems:
    """Refuse encryption and hash keys that are there but cannot be used."""
    problems: Problems = []
    for key, is_set, read in (
        ("E007", settings.WARDKEY_ENCRYPTION_KEYS, keyring.encryption_keys),
        ("E008", settings.WARDKEY_HASH_KEY, lambda: keyring.hash_subkey("check")),
    ):
        try:
            if is_set:
                read()
        except ImproperlyConfigured as error:
            problems.append(checks.Error(str(error), id=f"wardkey.{key}"))
    return problems


@checks.register(checks.Tags.security)
def check_lifetimes(**kwargs: Any) -> Problems:
    """Refuse a patient token that lives longer than five minutes, and lifetimes that are no time at all."""
    problems: Problems = []
    if not 0 < settings.PATIENT_TOKEN_SECONDS <= LONGEST_PATIENT_TOKEN_SECONDS:
        problems.append(
            checks.Error("WARDKEY_PATIENT_TOKEN_SECONDS must be from 1 to 300.", id="wardkey.E009")
        )
    lives = ("BASE_TOKEN", "REFRESH_IDLE", "REFRESH_ABSOLUTE", "SIGNING_KEY", "JWKS_MAX_AGE", "KEY_RING_POLL")
    problems += [
        checks.Error(f"WARDKEY_{name}_SECONDS must be positive.", id="wardkey.E010")
        for name in lives
        if getattr(settings, f"{name}_SECONDS") <= 0
    ]
    if settings.REFRESH_GRACE_SECONDS < 0:
        problems.append(
            checks.Error("WARDKEY_REFRESH_GRACE_SECONDS must not be negative.", id="wardkey.E010")
        )
    return problems


@checks.register(checks.Tags.security, deploy=True)
def check_production_secrets(**kwargs: Any) -> Problems:
    """Refuse to run on a key that was made up for this process."""
    return [
        checks.Error(f"Set {name}, or {name}_FILE to a file that holds it.", id="wardkey.E011")
        for name in settings.SECRETS_MISSING
    ]


@checks.register(checks.Tags.security, deploy=True)
def check_production_services(**kwargs: Any) -> Problems:
    """Refuse the demo and the embedded database, cache and queue in production."""
    problems: Problems = []
    if settings.WARDKEY_DEMO:
        problems.append(checks.Error("The demo is on: unset WARDKEY_DEMO.", id="wardkey.E004"))
    if urlsplit(settings.DATABASE_URL).scheme not in ("postgres", "postgresql"):
        problems.append(
            checks.Error("Production needs PostgreSQL: set DATABASE_URL to postgresql://…", id="wardkey.E005")
        )
    if not settings.REDIS_URL:
        problems.append(
            checks.Error("Production keeps its cache in Redis: set REDIS_URL.", id="wardkey.E012")
        )
    if urlsplit(settings.CELERY_BROKER_URL).scheme not in ("redis", "rediss"):
        problems.append(
            checks.Error("Production queues jobs in Redis: set CELERY_BROKER_URL.", id="wardkey.E013")
        )
    if not settings.WARDKEY_SMTP_URL:
        problems.append(checks.Info("No e-mail leaves: set WARDKEY_SMTP_URL to send any.", id="wardkey.I001"))
    return problems


@checks.register(checks.Tags.security, deploy=True)
def check_production_http(**kwargs: Any) -> Problems:
    """Refuse plain HTTP, Django's debug pages, any Host header, and a proxy that is not believed."""
    problems: Problems = []
    if not settings.HTTPS:
        problems.append(
            checks.Error("Tokens need TLS: WARDKEY_ISSUER must be an https address.", id="wardkey.E014")
        )
    elif settings.WARDKEY_TRUSTED_PROXY_COUNT < 1:
        problems.append(
            checks.Error(
                "Behind a TLS proxy that is not trusted every page redirects to itself: set "
                "WARDKEY_TRUSTED_PROXY_COUNT to the number of proxies in front, usually 1.",
                id="wardkey.E015",
            )
        )
    if settings.DEBUG:
        problems.append(
            checks.Error("DEBUG shows settings and code to whoever causes an error.", id="wardkey.E016")
        )
    if any(host.startswith(("*", ".")) for host in settings.ALLOWED_HOSTS):
        problems.append(checks.Error("WARDKEY_ALLOWED_HOSTS must name each host.", id="wardkey.E017"))
    return problems
