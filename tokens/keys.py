"""Signing keys: rotate, revoke. Any number of beats, workers and administrators: one rotation.

Every change locks the one row of KeyRingEpoch first and counts it up in the same transaction, so that two rotations
cannot interleave and every process notices (BEGIN IMMEDIATE does the same on SQLite).
"""

import datetime

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings
from django.db import transaction

from accounts.models import User
from accounts.operations.refusals import Refused, require
from audit import ledger
from audit.events import EventType, Outcome
from crypto import envelope
from tokens import key_ring
from tokens.jwk import public_jwk
from tokens.models import KeyRingEpoch, SigningKey
from tokens.rotation import Action, KeyFacts, Policy, Verb, plan

RSA_BITS = 2048
State = SigningKey.State


def policy() -> Policy:
    """Return the rotation policy of the settings."""
    seconds = datetime.timedelta(seconds=1)
    longest = max(settings.BASE_TOKEN_SECONDS, settings.PATIENT_TOKEN_SECONDS)
    return Policy(
        signs=settings.SIGNING_KEY_SECONDS * seconds,
        published_before=(settings.JWKS_MAX_AGE_SECONDS + settings.KEY_RING_POLL_SECONDS) * seconds,
        verifies_after=(longest + settings.KEY_RING_POLL_SECONDS + 60) * seconds,
    )


def rotate(
    *, now: datetime.datetime, by: User | None = None, hurry: bool = False, skip_wait: bool = False
) -> list[Action]:
    """Do what the plan says is due; `by` is None for the scheduled task. Returns the steps taken.

    Args:
        hurry: publish the next keys now although the active ones are not old.
        skip_wait: sign with the next keys at once.

    Raises Refused.
    """
    if by is not None:
        require(by, "tokens.rotate_signing_keys")
    with transaction.atomic():
        _lock_ring()
        facts = [
            KeyFacts(key.kid, key.algorithm, key.state, key.created_at, key.activated_at, key.retiring_at)
            for key in SigningKey.objects.filter(state__in=[State.PENDING, State.ACTIVE, State.RETIRING])
        ]
        actions = plan(facts, policy(), now, hurry=hurry, skip_wait=skip_wait)
        published: dict[str, str] = {}
        for action in actions:
            if action.verb is Verb.PUBLISH:
                published[action.algorithm] = _publish(action.algorithm, by=by, now=now)
            elif action.verb is Verb.ACTIVATE:
                _activate(action.kid or published[action.algorithm], by=by, now=now)
            else:
                _destroy(action.kid, by=by, now=now)
        if actions:
            _move_epoch()
    if actions:
        key_ring.forget()
    return actions


def revoke(*, kid: str, reason: str, by: User | None, now: datetime.datetime) -> SigningKey:
    """Take a compromised key out at once and put a fresh one in its place. Everything it signed stops being valid.

    `by` is None only for the command of an operator on the machine. Raises Refused.
    """
    if by is not None:
        require(by, "tokens.revoke_signing_key")
    if not reason.strip():
        raise Refused("reason_missing", "Say why.")
    with transaction.atomic():
        _lock_ring()
        key = SigningKey.objects.filter(pk=kid).first()
        if key is None:
            raise Refused("unknown_key", "There is no such signing key.")
        if key.state == State.REVOKED:
            raise Refused("wrong_state", "The key has been revoked already.")
        before, key.state = key.state, State.REVOKED
        key.private_key, key.revoked_at, key.revocation_reason = None, now, reason
        key.save(update_fields=["state", "private_key", "revoked_at", "revocation_reason"])
        _record(
            EventType.SIGNING_KEY_REVOKED,
            key,
            by=by,
            now=now,
            before=before,
            reason=reason,
            outcome=Outcome.SERIOUS,
        )
        if before == State.ACTIVE:
            pending = SigningKey.objects.filter(algorithm=key.algorithm, state=State.PENDING).first()
            _activate(pending.kid if pending else _publish(key.algorithm, by=by, now=now), by=by, now=now)
        _move_epoch()
    key_ring.forget()
    return key


def _lock_ring() -> None:
    KeyRingEpoch.objects.get_or_create(pk=1)
    KeyRingEpoch.objects.select_for_update().get(pk=1)


def _move_epoch() -> None:
    epoch = KeyRingEpoch.objects.get(pk=1)
    epoch.epoch += 1
    epoch.save(update_fields=["epoch"])


def _publish(algorithm: str, *, by: User | None, now: datetime.datetime) -> str:
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if algorithm == "ES256":
        private = ec.generate_private_key(ec.SECP256R1())
    else:
        private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    jwk = public_jwk(private.public_key(), algorithm)
    kid = jwk["kid"]
    if kid.startswith(
        "-"
    ):  # revoke_signing_key would take it for an option, and an emergency is no time for that
        return _publish(algorithm, by=by, now=now)
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    key = SigningKey.objects.create(
        kid=kid,
        algorithm=algorithm,
        state=State.PENDING,
        public_jwk=jwk,
        private_key=envelope.seal(der, key_ring.additional_data(kid, algorithm)),
        created_at=now,
    )
    _record(EventType.SIGNING_KEY_CREATED, key, by=by, now=now, before="", action=0)
    return kid


def _activate(kid: str, *, by: User | None, now: datetime.datetime) -> None:
    key = SigningKey.objects.get(pk=kid)
    for old in SigningKey.objects.filter(algorithm=key.algorithm, state=State.ACTIVE):
        old.state, old.retiring_at = State.RETIRING, now
        old.save(update_fields=["state", "retiring_at"])
        _record(EventType.SIGNING_KEY_RETIRING, old, by=by, now=now, before=State.ACTIVE)
    key.state, key.activated_at = State.ACTIVE, now
    key.save(update_fields=["state", "activated_at"])
    _record(EventType.SIGNING_KEY_ACTIVATED, key, by=by, now=now, before=State.PENDING)


def _destroy(kid: str, *, by: User | None, now: datetime.datetime) -> None:
    key = SigningKey.objects.get(pk=kid)
    key.state, key.private_key, key.retired_at = State.RETIRED, None, now
    key.save(update_fields=["state", "private_key", "retired_at"])
    _record(EventType.SIGNING_KEY_DESTROYED, key, by=by, now=now, before=State.RETIRING, action=2)


def _record(
    event: EventType,
    key: SigningKey,
    *,
    by: User | None,
    now: datetime.datetime,
    before: str,
    reason: str = "",
    action: int = 1,
    outcome: Outcome = Outcome.SUCCESS,
) -> None:
    ledger.record(
        event,
        by=by,
        obj=key,
        object_label=str(key),
        action=action,
        reason=reason,
        outcome=outcome,
        changes={"state": [str(before), str(key.state)]},
        details={"alg": key.algorithm},
        now=now,
    )
