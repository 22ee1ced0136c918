"""The system checks: each unsafe setting has an error with an id and a sentence that says what to set."""

from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core import checks

from crypto import keyring

SAFE = {
    "WARDKEY_ISSUER": "https://id.hospital.example",
    "HTTPS": True,
    "WARDKEY_TRUSTED_PROXY_COUNT": 1,
    "WARDKEY_DEMO": False,
    "DEBUG": False,
    "ALLOWED_HOSTS": ["id.hospital.example"],
    "REDIS_URL": "redis://cache/0",
    "CELERY_BROKER_URL": "redis://queue/0",
    "WARDKEY_SMTP_URL": "smtp://mail.hospital.example",
    "SECRETS_MISSING": [],
    "DATABASE_URL": "postgresql://wardkey@db/wardkey",
}
INSTALLED = [*django_settings.INSTALLED_APPS, "rest_framework_simplejwt.token_blacklist"]
SHORT_KEY = "c2hvcnQ"

UNSAFE_EVERYWHERE: list[tuple[str, dict[str, Any], str]] = [
    ("E001", {"SIMPLE_JWT": {"ALGORITHM": "HS256"}}, "ES256 or RS256"),
    ("E001", {"SIMPLE_JWT": {"ALGORITHM": "ES256", "SIGNING_KEY": "x"}}, "key ring"),
    ("E002", {"INSTALLED_APPS": INSTALLED}, "blacklist"),
    ("E003", {"WARDKEY_ISSUER": "http://id.hospital.example"}, "https"),
    ("E006", {"WARDKEY_ISSUER": "id.hospital.example"}, "address"),
    ("E006", {"WARDKEY_ISSUER": "https://id.hospital.example/?a=b"}, "address"),
    ("E007", {"WARDKEY_ENCRYPTION_KEYS": "2026-11-24"}, "WARDKEY_ENCRYPTION_KEYS"),
    ("E007", {"WARDKEY_ENCRYPTION_KEYS": f"2026-11-24:{SHORT_KEY}"}, "32 bytes"),
    ("E007", {"WARDKEY_ENCRYPTION_KEYS": f"a:{'A' * 43},a:{'B' * 43}"}, "distinct"),
    ("E008", {"WARDKEY_HASH_KEY": SHORT_KEY}, "WARDKEY_HASH_KEY"),
    ("E009", {"PATIENT_TOKEN_SECONDS": 301}, "300"),
    ("E010", {"BASE_TOKEN_SECONDS": 0}, "WARDKEY_BASE_TOKEN_SECONDS"),
    ("E010", {"REFRESH_GRACE_SECONDS": -1}, "WARDKEY_REFRESH_GRACE_SECONDS"),
]
UNSAFE_IN_PRODUCTION: list[tuple[str, dict[str, Any], str]] = [
    ("E004", {"WARDKEY_DEMO": True}, "WARDKEY_DEMO"),
    ("E005", {"DATABASE_URL": ""}, "DATABASE_URL"),
    ("E005", {"DATABASE_URL": "sqlite:///wardkey.sqlite3"}, "PostgreSQL"),
    ("E011", {"SECRETS_MISSING": ["WARDKEY_HASH_KEY"]}, "WARDKEY_HASH_KEY_FILE"),
    ("E012", {"REDIS_URL": ""}, "REDIS_URL"),
    ("E013", {"CELERY_BROKER_URL": "filesystem://"}, "CELERY_BROKER_URL"),
    ("E014", {"WARDKEY_ISSUER": "http://127.0.0.1:8000", "HTTPS": False}, "WARDKEY_ISSUER"),
    ("E015", {"WARDKEY_TRUSTED_PROXY_COUNT": 0}, "WARDKEY_TRUSTED_PROXY_COUNT"),
    ("E016", {"DEBUG": True}, "DEBUG"),
    ("E017", {"ALLOWED_HOSTS": ["*"]}, "WARDKEY_ALLOWED_HOSTS"),
    ("E017", {"ALLOWED_HOSTS": [".hospital.example"]}, "WARDKEY_ALLOWED_HOSTS"),
    ("I001", {"WARDKEY_SMTP_URL": ""}, "WARDKEY_SMTP_URL"),
]


def wardkeys(*, deploy: bool) -> dict[str, str]:
    """Run the checks and return our own messages by id."""
    found = checks.run_checks(tags=[checks.Tags.security], include_deployment_checks=deploy)
    return {
        message.id.removeprefix("wardkey."): str(message.msg)
        for message in found
        if message.id and message.id.startswith("wardkey.")
    }


@pytest.fixture
def safe(settings: Any) -> Any:
    """Settings without a complaint, and key material that is read afresh."""
    readers = (keyring.encryption_keys, keyring.hash_subkey)
    for name, value in SAFE.items():
        setattr(settings, name, value)
    for reader in readers:
        reader.cache_clear()
    yield settings
    for reader in readers:
        reader.cache_clear()


def test_safe_settings_raise_no_complaint(safe: Any) -> None:
    assert wardkeys(deploy=True) == {}


@pytest.mark.parametrize(("key", "changed", "words"), UNSAFE_EVERYWHERE)
def test_an_unsafe_setting_is_refused_everywhere(
    safe: Any, key: str, changed: dict[str, Any], words: str
) -> None:
    for name, value in changed.items():
        setattr(safe, name, value)
    assert words in wardkeys(deploy=False)[key]


@pytest.mark.parametrize(("key", "changed", "words"), UNSAFE_IN_PRODUCTION)
def test_what_suits_the_embedded_default_is_refused_in_production(
    safe: Any, key: str, changed: dict[str, Any], words: str
) -> None:
    for name, value in changed.items():
        setattr(safe, name, value)
    assert key not in wardkeys(deploy=False)
    assert words in wardkeys(deploy=True)[key]


def test_no_complaint_shows_a_key(safe: Any) -> None:
    safe.WARDKEY_ENCRYPTION_KEYS = safe.WARDKEY_HASH_KEY = f"id:{SHORT_KEY}"
    assert not any(SHORT_KEY in message for message in wardkeys(deploy=True).values())
