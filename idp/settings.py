"""Settings, from the environment only, with safe defaults; no secret has a default.

A secret S is read from the variable S, or the file named by S_FILE, or the file secrets/s in the data directory
(which is how the embedded default of `manage.py up` keeps its own). Everything else is a plain variable; the table
in docs/settings.md lists them all and a test holds it to this file.

What can be wrong with the values is said by the system checks (idp/checks.py); only a secret's file that cannot be
read stops every command here, because going on without it would mean another database or other keys.
"""

import os
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import unquote, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from environs import Env

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env()
DATA_DIR = Path(env.str("WARDKEY_DATA_DIR", str(BASE_DIR / ".local"))).absolute()


def secret(name: str) -> str:
    """Return a secret, without the newline that editors leave at the end of a file; empty when there is none.

    Raises ImproperlyConfigured when S_FILE names a file that cannot be read or is empty.
    """
    if value := os.environ.get(name):
        return value
    if named := os.environ.get(f"{name}_FILE"):
        try:
            value = Path(named).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a text file"
            raise ImproperlyConfigured(
                f"{name}_FILE names {named}, which cannot be read: {reason}."
            ) from None
        if not value:
            raise ImproperlyConfigured(f"{name}_FILE names {named}, which is empty.")
        return value
    path = DATA_DIR / "secrets" / name.lower()
    return path.read_text().strip() if path.is_file() else ""


# --- Who we are ---------------------------------------------------------------------------------------------------
WARDKEY_ISSUER = env.str("WARDKEY_ISSUER", "http://127.0.0.1:8000").rstrip("/")
WARDKEY_FHIR_BASE = env.str("WARDKEY_FHIR_BASE", f"{WARDKEY_ISSUER}/fhir")
WARDKEY_SITE_NAME = env.str("WARDKEY_SITE_NAME", "")
WARDKEY_DEMO = env.bool("WARDKEY_DEMO", False)
_issuer = urlsplit(WARDKEY_ISSUER)
HTTPS = _issuer.scheme == "https"

# Checks and migrations must start without secrets: a key that nobody knows and that dies with the process stands in,
# and idp.wsgi refuses to serve with it.
REQUIRED_SECRETS = ("WARDKEY_SECRET_KEY", "WARDKEY_ENCRYPTION_KEYS", "WARDKEY_HASH_KEY")
SECRETS_MISSING = [name for name in REQUIRED_SECRETS if not secret(name)]
SECRET_KEY = secret("WARDKEY_SECRET_KEY") or token_urlsafe(64)
WARDKEY_ENCRYPTION_KEYS = secret("WARDKEY_ENCRYPTION_KEYS")
WARDKEY_HASH_KEY = secret("WARDKEY_HASH_KEY")
WARDKEY_KEK_PROVIDER = env.str("WARDKEY_KEK_PROVIDER", "crypto.envelope.LocalKekProvider")

DEBUG = False
ALLOWED_HOSTS = env.list("WARDKEY_ALLOWED_HOSTS", [_issuer.hostname or "127.0.0.1"])
WARDKEY_TRUSTED_PROXY_COUNT = env.int("WARDKEY_TRUSTED_PROXY_COUNT", 0)
ALLAUTH_TRUSTED_PROXY_COUNT = WARDKEY_TRUSTED_PROXY_COUNT

# --- Lifetimes, in seconds ----------------------------------------------------------------------------------------
BASE_TOKEN_SECONDS = env.int("WARDKEY_BASE_TOKEN_SECONDS", 600)
PATIENT_TOKEN_SECONDS = env.int("WARDKEY_PATIENT_TOKEN_SECONDS", 300)
REFRESH_IDLE_SECONDS = env.int("WARDKEY_REFRESH_IDLE_SECONDS", 12 * 3600)
REFRESH_ABSOLUTE_SECONDS = env.int("WARDKEY_REFRESH_ABSOLUTE_SECONDS", 30 * 86400)
REFRESH_GRACE_SECONDS = env.int("WARDKEY_REFRESH_GRACE_SECONDS", 10)
SIGNING_KEY_SECONDS = env.int("WARDKEY_SIGNING_KEY_SECONDS", 30 * 86400)
JWKS_MAX_AGE_SECONDS = env.int("WARDKEY_JWKS_MAX_AGE_SECONDS", 300)
KEY_RING_POLL_SECONDS = env.int("WARDKEY_KEY_RING_POLL_SECONDS", 5)

# --- Applications -------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "idp.apps.IdpConfig",
    "tokens.apps.TokensConfig",
    "accounts.apps.AccountsConfig",
    "audit.apps.AuditConfig",
    "idp.apps.PortalConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "auditlog",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
# The ledger is auditlog's log entry (audit.Event); its own table would only stand in the way of a flush.
MIGRATION_MODULES = {"auditlog": None}
AUDITLOG_LOGENTRY_MODEL = "audit.Event"
AUDITLOG_MASK_CALLABLE = "audit.model_changes.mask"
AUDITLOG_STORE_JSON_CHANGES = True

MIDDLEWARE = [
    "idp.middleware.RequestContextMiddleware",
    "idp.middleware.HeadersMiddleware",
    "idp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "idp.json_refusals.JSONRefusalsMiddleware",
    "idp.middleware.UnavailableMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "idp.middleware.DoorMiddleware",  # programs go on behind SignedInContextMiddleware
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "idp.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "idp.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "idp.middleware.SignedInContextMiddleware",
]
# Requests below these paths come from programs: no session, no cookie, no CSRF token, no redirect to a form.
MACHINE_PATHS = ("/api/token", "/.well-known/", "/livez", "/readyz")

ROOT_URLCONF = "idp.urls"
WSGI_APPLICATION = "idp.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "idp.context_processors.site",
            ]
        },
    }
]

# --- Database, cache, queue ---------------------------------------------------------------------------------------
DATABASE_URL = secret("DATABASE_URL")
if DATABASE_URL:
    # A database that hangs or is locked must become a 503, not a queue of waiting people. Migrations set 0: no limit.
    _statement_seconds = env.int("WARDKEY_STATEMENT_TIMEOUT_SECONDS", 15)
    try:
        DATABASES: dict[str, dict[str, Any]] = {"default": {**dj_database_url.parse(DATABASE_URL)}}
    except ValueError:
        raise ImproperlyConfigured(
            "DATABASE_URL must read postgresql://user:password@host:port/name."
        ) from None
    DATABASES["default"]["OPTIONS"] = {
        # Connections go back to a pool after each request: a thread that the server ends leaks none. A short
        # reconnect_timeout makes the pool ask anew for each request; its own pauses double with the outage's length.
        "pool": {
            "min_size": 1,
            "max_size": env.int("WARDKEY_DATABASE_POOL_SIZE", 16),
            "timeout": 3,
            "reconnect_timeout": 3,
        },
        "server_side_binding": True,
        "prepare_threshold": 3,
        "connect_timeout": 3,
        # When the host is gone without a word, TCP notices within about ten seconds.
        "keepalives_idle": 10,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "options": f"-c statement_timeout={_statement_seconds}s -c lock_timeout=5s"
        " -c idle_in_transaction_session_timeout=60s",
        **DATABASES["default"].get("OPTIONS", {}),
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "wardkey.sqlite3",
            "OPTIONS": {
                "timeout": 5,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    }
# Shared by all processes, whichever it is: throttling and replay marks live here, so never memory of a process.
REDIS_URL = secret("REDIS_URL")
if REDIS_URL:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},
        }
    }
else:
    CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "wardkey_cache"}
    }
SESSION_ENGINE = "django.contrib.sessions.backends.db"

CELERY_BROKER_URL = secret("CELERY_BROKER_URL")
if CELERY_BROKER_URL:
    # Without the two restore settings an abandoned message waits for minutes after a worker was killed. The
    # visibility time-out must be longer than the longest task, or that task is started twice.
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {
        "visibility_timeout": 900,
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }
else:
    _broker = DATA_DIR / "broker"
    CELERY_BROKER_URL = "filesystem://"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_broker / "messages"),
        "data_folder_out": str(_broker / "messages"),
        "control_folder": str(_broker / "control"),
        "store_processed": False,
    }
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
# The worker of `manage.py up` uses threads, which cannot be ended; in production these limits hold (pool prefork).
CELERY_TASK_SOFT_TIME_LIMIT = 540
CELERY_TASK_TIME_LIMIT = 600
CELERY_BROKER_CONNECTION_TIMEOUT = 3
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # wait for the queue however long it is away
# What was running when the queue went away will be delivered again: stop it here. Every task may be started again.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "celerybeat-schedule")
CELERY_BEAT_SCHEDULE = {
    task: {"task": task, "schedule": seconds}
    for task, seconds in {
        "audit.resend_jobs": 30,
        "audit.remove_finished_jobs": 3600,
        "accounts.settle_access_grants": 60,
        "accounts.remove_ended_sessions": 3600,
        "tokens.rotate_signing_keys": 60,
        "tokens.remove_ended_refresh_families": 3600,
    }.items()
}

# --- E-mail -------------------------------------------------------------------------------------------------------
# smtp:// always upgrades with STARTTLS; smtps:// speaks TLS from the first byte; there is no third way.
WARDKEY_SMTP_URL = secret("WARDKEY_SMTP_URL")
_smtp = urlsplit(WARDKEY_SMTP_URL)
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if WARDKEY_SMTP_URL else 'dummy'}.EmailBackend"
EMAIL_HOST = _smtp.hostname or "localhost"
EMAIL_USE_SSL = _smtp.scheme == "smtps"
EMAIL_USE_TLS = not EMAIL_USE_SSL
EMAIL_PORT = _smtp.port or (465 if EMAIL_USE_SSL else 587)
EMAIL_HOST_USER = unquote(_smtp.username or "")
EMAIL_HOST_PASSWORD = unquote(_smtp.password or "")
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("WARDKEY_EMAIL_FROM", f"wardkey@{_issuer.hostname}")

# --- Signing in ---------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.RoleBackend"]
# Argon2id at the parameters of OWASP's cheat sheet: docs/decisions/0006-password-hash.md says why not Django's own.
PASSWORD_HASHERS = ["accounts.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 15}},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = "strict"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
# Ten guesses for an account from one address, a hundred in an hour from all of them (SP 800-63B section 3.2.2).
ACCOUNT_RATE_LIMITS = {
    "login": "300/m/ip",
    "login_failed": "300/m/ip,10/5m/key",
    "login_failed_anywhere": "100/h/key",
}
# Issue by issue these grow; the factors are installed already so that they are switched on and not built.
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]

SESSION_COOKIE_NAME = "__Host-wardkey-session" if HTTPS else "wardkey-session"
SESSION_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
CSRF_COOKIE_NAME = "__Host-wardkey-csrf" if HTTPS else "wardkey-csrf"
CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = True
CSRF_TRUSTED_ORIGINS = [f"{_issuer.scheme}://{_issuer.netloc}"]
CSRF_FAILURE_VIEW = "idp.views.csrf_failure"

# --- HTTP ---------------------------------------------------------------------------------------------------------
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$"]
SECURE_HSTS_SECONDS = 63072000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if WARDKEY_TRUSTED_PROXY_COUNT else None
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
    }
}
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = ["idp.formats"]

# --- The API ------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tokens.api.authentication.BaseTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["tokens.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "tokens.api.renderers.AlwaysJSON",
    "EXCEPTION_HANDLER": "tokens.api.errors.answer",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    # The schema's page would repeat any ?version= in its answer, and in a header: a line break there was a 500.
    "ALLOWED_VERSIONS": [""],
}
SIMPLE_JWT = {
    "ALGORITHM": "ES256",
    "SIGNING_KEY": None,
    "VERIFYING_KEY": None,
    "ISSUER": WARDKEY_ISSUER,
    "USER_ID_FIELD": "pk",
    "USER_ID_CLAIM": "sub",
    "TOKEN_TYPE_CLAIM": "token_use",
    "AUTH_TOKEN_CLASSES": ("tokens.api.simplejwt.BaseToken",),
    "CHECK_REVOKE_TOKEN": False,
    "UPDATE_LAST_LOGIN": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Wardkey",
    "DESCRIPTION": "Short-lived, signed tokens that say who asks, for which one patient, and why.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# --- Logs: one JSON object a line, never a body, a query string or a token ----------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"scrub": {"()": "idp.logs.Scrub"}},
    "formatters": {"json": {"()": "idp.logs.JSONFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json", "filters": ["scrub"]}},
    "root": {"handlers": ["console"], "level": env.str("WARDKEY_LOG_LEVEL", "INFO")},
    "loggers": {
        "django.server": {"handlers": [], "propagate": False},
        # At DEBUG these two repeat what a page shows and what a statement holds, whoever asks for that level.
        "django.template": {"level": "INFO"},
        "django.db.backends": {"level": "INFO"},
    },
}
