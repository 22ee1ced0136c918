"""The floors: what Django and PostgreSQL allow when a token path does its least work and nothing else.

A whole Django project in one module, without middleware. The refreshes do the same work twice, as four raw statements
and as one prepared statement: find the family by its current token's digest, ask whether its account is active, let one
caller move the family on, write the ledger entry; then sign. Every answer carries an ES256 access token.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from uuid import UUID, uuid4

import dj_database_url
import jwt
import psycopg
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

CONNECTIONS = int(os.environ["BENCH_CONNECTIONS"])
DATABASE = dict(dj_database_url.parse(os.environ["DATABASE_URL"]))
# prepare_threshold: Django's default of None would silently ignore prepare=True.
DATABASE["OPTIONS"] = {"pool": {"min_size": CONNECTIONS, "max_size": CONNECTIONS}, "prepare_threshold": 5}
settings.configure(
    SECRET_KEY=os.environ["BENCH_SECRET_KEY"],
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DATABASES={"default": DATABASE},
)

ISSUER = "http://127.0.0.1"
FHIR_BASE = "http://127.0.0.1/fhir"
LIFETIME_SECONDS = 300


def load_signing_key() -> EllipticCurvePrivateKey:
    """Parse the private key once, at start."""
    key = load_pem_private_key(Path(os.environ["BENCH_PRIVATE_KEY"]).read_bytes(), password=None)
    assert isinstance(key, EllipticCurvePrivateKey)
    return key


SIGNING_KEY = load_signing_key()
VERIFYING_KEY = SIGNING_KEY.public_key()

ROTATE_FAMILY_AND_RECORD = """
WITH rotated AS (
    UPDATE refresh_family AS family
       SET previous_sha256 = current_sha256, current_sha256 = %(successor)s, rotated_at = now()
      FROM account
     WHERE family.current_sha256 = %(presented)s AND family.revoked_at IS NULL AND family.expires_at > now()
       AND account.id = family.account_id AND account.is_active
 RETURNING family.id, family.account_id
)
INSERT INTO event (name, actor, object, jti)
SELECT 'tokens:access_token:refresh', account_id, id::text, %(jti)s FROM rotated
RETURNING actor, object
"""


def one_row(statement: str, parameters: Mapping[str, object] | Sequence[object]) -> tuple[object, ...] | None:
    """Run one statement as a prepared one and return its first row.

    Through psycopg's plain cursor: Django's own binds parameters on the client, so nothing would ever be prepared.
    """
    connection.ensure_connection()
    with psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, parameters, prepare=True)
        row: tuple[object, ...] | None = cursor.fetchone() if cursor.description else None
        return row


def sign(subject: object, audience: str, jti: UUID, **claims: object) -> str:
    """Return an ES256 access token of the same size as Wardkey's."""
    now = int(time.time())
    return jwt.encode(
        {
            "iss": ISSUER, "sub": str(subject), "aud": audience, "iat": now, "exp": now + LIFETIME_SECONDS,
            "jti": str(jti), "client_id": "bench", "scope": "openid", "auth_time": now, "acr": "1", "amr": ["pwd"],
            **claims,
        },
        SIGNING_KEY,
        algorithm="ES256",
        headers={"typ": "at+jwt", "kid": "bench"},
    )  # fmt: skip


def answer(access: str, **fields: object) -> HttpResponse:
    """Return the token response, with its length: without one granian would send it in chunks, which costs 5 %."""
    response = JsonResponse({"access": access, "token_type": "Bearer", "expires_in": LIFETIME_SECONDS, **fields})
    response.headers["Content-Length"] = str(len(response.content))
    return response


def refused() -> HttpResponse:
    """Return the one refusal a floor knows."""
    return JsonResponse({"code": "token_not_valid"}, status=401)


def insert_and_sign(request: HttpRequest) -> HttpResponse:
    """One INSERT, one signature."""
    jti, actor = uuid4(), uuid4()
    one_row(
        "INSERT INTO event (name, actor, object, jti) VALUES (%s, %s, %s, %s)",
        ["tokens:access_token:create", actor, "floor", jti],
    )
    return answer(sign(actor, ISSUER, jti))


def refresh_in_one_statement(request: HttpRequest) -> HttpResponse:
    """Floor C: one prepared statement, one signature."""
    presented = sha256(json.loads(request.body)["refresh"].encode()).digest()
    successor, jti = token_urlsafe(32), uuid4()
    row = one_row(
        ROTATE_FAMILY_AND_RECORD,
        {"presented": presented, "successor": sha256(successor.encode()).digest(), "jti": jti},
    )
    if row is None:
        return refused()
    return answer(sign(row[0], ISSUER, jti, sid=row[1]), refresh=successor)


def refresh_in_four_statements(request: HttpRequest) -> HttpResponse:
    """Floor B: four raw statements in atomic(), prepared as well, and one signature."""
    presented = sha256(json.loads(request.body)["refresh"].encode()).digest()
    successor, jti = token_urlsafe(32), uuid4()
    with transaction.atomic():
        family = one_row(
            "SELECT id, account_id FROM refresh_family"
            " WHERE current_sha256 = %s AND revoked_at IS NULL AND expires_at > now() FOR UPDATE",
            [presented],
        )
        if family is None:
            return refused()
        account = one_row("SELECT is_active FROM account WHERE id = %s", [family[1]])
        if account is None or not account[0]:
            return refused()
        one_row(
            "UPDATE refresh_family SET previous_sha256 = current_sha256, current_sha256 = %s, rotated_at = now()"
            " WHERE id = %s",
            [sha256(successor.encode()).digest(), family[0]],
        )
        one_row(
            "INSERT INTO event (name, actor, object, jti) VALUES (%s, %s, %s, %s)",
            ["tokens:access_token:refresh", family[1], str(family[0]), jti],
        )
    return answer(sign(family[1], ISSUER, jti, sid=str(family[0])), refresh=successor)


def patient_token(request: HttpRequest) -> HttpResponse:
    """Verify the base token, one SELECT, one INSERT, one signature."""
    bearer = request.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(bearer, VERIFYING_KEY, algorithms=["ES256"], audience=ISSUER, issuer=ISSUER)
    asked = json.loads(request.body)
    grant = one_row(
        "SELECT access_grant.id, access_grant.scope FROM access_grant JOIN account ON account.id = account_id"
        " WHERE account_id = %s AND patient = %s AND ends_at > now() AND revoked_at IS NULL AND is_active",
        [claims["sub"], asked["patient"]],
    )
    if grant is None:
        return refused()
    jti = uuid4()
    one_row(
        "INSERT INTO event (name, actor, object, jti) VALUES (%s, %s, %s, %s)",
        ["tokens:access_token:create", claims["sub"], asked["patient"], jti],
    )
    basis = f"access_grant:{grant[0]}"
    access = sign(claims["sub"], FHIR_BASE, jti, patient=asked["patient"], purpose_of_use="TREAT", basis=basis)
    return answer(access, scope=grant[1], patient=asked["patient"], purpose_of_use="TREAT")


def base_token(request: HttpRequest) -> HttpResponse:
    """Sign a base token for any account: how the bench gets the Bearer tokens it presents."""
    return answer(sign(json.loads(request.body)["sub"], ISSUER, uuid4()))


urlpatterns = [
    path("insert-and-sign/", insert_and_sign),
    path("refresh/one-statement/", refresh_in_one_statement),
    path("refresh/four-statements/", refresh_in_four_statements),
    path("patient/", patient_token),
    path("base-token/", base_token),
]

application = get_wsgi_application()
