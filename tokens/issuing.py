"""What is given out: base tokens at sign-in and refresh, patient tokens on request; and whether one still holds."""

import datetime
import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts.access import lookup
from accounts.access import scopes as smart
from accounts.access.decision import Decision, Question, decide
from accounts.models import User
from accounts.purposes import PURPOSES_OF_USE
from audit import ledger
from audit.events import EventType
from tokens import jose, key_ring, refresh_families, refresh_tokens
from tokens.claims import BASE_SCOPE, base_claims, patient_claims
from tokens.errors import (
    AccessDenied,
    InvalidCredentials,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    InvalidToken,
)
from tokens.models import Client
from tokens.refresh_families import SignIn

NOBODY = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class Issued:
    """A base token with its refresh token."""

    access: str
    refresh: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class IssuedForPatient:
    """A patient token and what it is good for."""

    access: str
    expires_in: int
    scope: str
    patient: str
    purpose_of_use: str


def sign_in(*, user: User, amr: str, acr: str, now: datetime.datetime) -> Issued:
    """Open a refresh family for somebody who has just authenticated. Raises InvalidCredentials."""
    with transaction.atomic():
        client = Client.objects.filter(client_id=Client.DIRECT, is_active=True).first()
        if client is None or (client.ends_at is not None and client.ends_at <= now):
            raise InvalidCredentials("client_not_active", subject=str(user.pk))
        jti = str(uuid.uuid4())
        family, token = refresh_families.open_family(
            user=user, client=client, scope=BASE_SCOPE, acr=acr, amr=amr, now=now
        )
        claims = base_claims(
            issuer=settings.WARDKEY_ISSUER, subject=user.pk, client_id=client.client_id, family=family.pk,
            scope=BASE_SCOPE, auth_time=now, acr=acr, amr=amr, now=now, lifetime=settings.BASE_TOKEN_SECONDS, jti=jti,
        )  # fmt: skip
        issued = Issued(jose.mint(claims, typ=jose.ACCESS_TOKEN), token.text, settings.BASE_TOKEN_SECONDS)
        ledger.record(
            EventType.BASE_TOKEN_ISSUED, by=user, client=client.client_id, session=str(family.pk), jti=jti,
            details={"amr": amr, "acr": acr}, now=now,
        )  # fmt: skip
    return issued


def refresh(*, presented: str, now: datetime.datetime) -> Issued:
    """Trade a refresh token for its successor and a new base token. Raises InvalidGrant."""
    try:
        token = refresh_tokens.parse(presented)
    except refresh_tokens.NotARefreshToken as error:
        raise InvalidGrant("not_a_refresh_token") from error
    key_ring.current().signer(jose.ALGORITHM)  # if nothing can sign, the token must not be used up
    jti = str(uuid.uuid4())
    behind, successor = refresh_families.rotate(token, jti=jti, now=now)
    lifetime = behind.seconds_left(now, most=settings.BASE_TOKEN_SECONDS)
    claims = base_claims(
        issuer=settings.WARDKEY_ISSUER, subject=behind.subject.pk, client_id=behind.client_id, family=behind.family,
        scope=behind.scope, auth_time=behind.auth_time, acr=behind.acr, amr=behind.amr, now=now,
        lifetime=lifetime, jti=jti,
    )  # fmt: skip
    return Issued(jose.mint(claims, typ=jose.ACCESS_TOKEN), successor.text, lifetime)


def for_patient(
    *, base: dict[str, Any], patient: str, purpose_of_use: str, scope: str, now: datetime.datetime
) -> IssuedForPatient:
    """Mint a token for one patient, one purpose, one audience, if decide() allows it now.

    Raises InvalidToken, InvalidRequest, InvalidScope, and AccessDenied: the same for every patient, real or not.
    """
    if "patient" in base:
        raise InvalidToken("not_a_base_token")
    if purpose_of_use not in PURPOSES_OF_USE:
        raise InvalidRequest("unknown_purpose_of_use")
    wanted = _patient_scopes(scope)
    behind = _standing_sign_in(base, now)
    key = _as_uuid(patient)
    decision = _decide(behind, key, purpose_of_use, wanted, now)
    lifetime = behind.seconds_left(now, most=settings.PATIENT_TOKEN_SECONDS, until=decision.until)
    if not decision.allowed or lifetime < 1:
        raise AccessDenied(
            str(decision.reason) if not decision.allowed else "ends_now", by=behind.subject, client=behind.client_id,
            session=str(behind.family), patient=str(key), purpose_of_use=purpose_of_use,
        )  # fmt: skip
    jti = str(uuid.uuid4())
    granted = smart.join(decision.scopes)
    claims = patient_claims(
        base, audience=settings.WARDKEY_FHIR_BASE, patient=key, purpose_of_use=purpose_of_use, basis=decision.basis,
        scope=granted, now=now, lifetime=lifetime, jti=jti,
    )  # fmt: skip
    access = jose.mint(claims, typ=jose.ACCESS_TOKEN)
    ledger.record(
        EventType.PATIENT_TOKEN_ISSUED, by=behind.subject, client=behind.client_id, session=str(behind.family),
        patient=str(key), jti=jti, purpose_of_use=purpose_of_use, basis=decision.basis,
        details={
            "scope": granted, "requested": smart.join(wanted), "roles": _roles(decision),
            "bases": decision.steps[-1].ref, "seconds": lifetime,
        },
        now=now,
    )  # fmt: skip
    return IssuedForPatient(access, lifetime, granted, str(key), purpose_of_use)


def check(*, token: str, now: datetime.datetime) -> dict[str, Any]:
    """Return the claims of an access token that still holds: signature, times, sign-in, account, and basis.

    Raises InvalidToken.
    """
    audiences = (settings.WARDKEY_ISSUER, settings.WARDKEY_FHIR_BASE)
    try:
        claims = jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=audiences, now=now)
    except jose.TokenError as error:
        raise InvalidToken(str(error)) from error
    behind = _standing_sign_in(claims, now)
    if "patient" in claims:
        _require_basis(behind, claims, now)
    return claims


def revoke(*, token: str, now: datetime.datetime) -> bool:
    """End the family of a refresh or access token (RFC 7009). Return whether there was one to end."""
    try:
        return refresh_families.revoke(
            refresh_tokens.parse(token).family, reason="revoked_by_client", now=now
        )
    except refresh_tokens.NotARefreshToken:
        pass
    audiences = (settings.WARDKEY_ISSUER, settings.WARDKEY_FHIR_BASE)
    try:
        claims = jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=audiences, now=now)
    except jose.TokenError:
        return False
    return refresh_families.revoke(_as_uuid(claims.get("sid")), reason="revoked_by_client", now=now)


def _standing_sign_in(claims: dict[str, Any], now: datetime.datetime) -> SignIn:
    behind = refresh_families.sign_in_of(_as_uuid(claims.get("sid")))
    refusal = behind.refusal(now) if behind else "family_unknown"
    if behind is None or refusal:
        raise InvalidToken(refusal, subject=str(claims["sub"])[:64], client=str(claims["client_id"])[:64])
    if str(behind.subject.pk) != claims["sub"] or behind.client_id != claims["client_id"]:
        raise InvalidToken("claims_and_family_differ")
    return behind


def _require_basis(behind: SignIn, claims: dict[str, Any], now: datetime.datetime) -> None:
    """Raise InvalidToken unless a patient token would be issued again now, with all its scopes."""
    patient, purpose_of_use = _as_uuid(claims["patient"]), claims.get("purpose_of_use", "")
    try:
        wanted = smart.parse(claims["scope"])
    except smart.InvalidScope as error:
        raise InvalidToken("malformed_scope") from error
    decision = _decide(behind, patient, purpose_of_use, wanted, now)
    if not decision.allowed or decision.scopes != wanted:
        raise InvalidToken(
            f"basis_gone:{decision.reason}", client=behind.client_id, subject=str(behind.subject.pk),
            session=str(behind.family), patient=str(patient), purpose_of_use=purpose_of_use,
        )  # fmt: skip


def _decide(
    behind: SignIn,
    patient: uuid.UUID,
    purpose_of_use: str,
    wanted: tuple[smart.Scope, ...],
    now: datetime.datetime,
) -> Decision:
    facts, _ = lookup.gather(user=behind.subject.pk, patient=patient, client=behind.client_policy, now=now)
    return decide(Question(purpose_of_use, wanted), facts, now)


def _patient_scopes(text: str) -> tuple[smart.Scope, ...]:
    try:
        wanted = smart.parse(text)
    except smart.InvalidScope as error:
        raise InvalidScope("malformed_scope") from error
    if not wanted or any(scope.context != "patient" for scope in wanted):
        raise InvalidScope("not_patient_scope")
    return wanted


def _roles(decision: Decision) -> str:
    return next((step.ref for step in decision.steps if step.layer == "role"), "")


def _as_uuid(value: Any) -> uuid.UUID:
    """Return the UUID of a text, or the nil UUID, which nothing has."""
    try:
        parsed = uuid.UUID(value)
    except (ValueError, AttributeError, TypeError):
        return NOBODY
    return parsed if str(parsed) == value else NOBODY
