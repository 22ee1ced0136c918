"""The key ring: an immutable snapshot of the signing keys, one for each process.

Private keys are unwrapped and parsed only when a snapshot is built (parsing an RSA key costs 40 ms). What verifies and
is published is derived from the sealed private part and not read from the public column: whoever can only write to the
database cannot slip in a key of their own. A snapshot is replaced when the epoch in the database moves, which is looked
at every KEY_RING_POLL_SECONDS at most; an unknown kid forces one look, once a second at most, so that made-up kids
cannot be turned into queries.
"""

import hashlib
import json
import threading
import time
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from django.conf import settings

from crypto import envelope
from tokens.jwk import PublicKey, public_jwk
from tokens.models import KeyRingEpoch, SigningKey

FORCED_LOOK_SECONDS = 1.0

PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey


class NoSigningKey(Exception):
    """No key of this algorithm may sign."""


@dataclass(frozen=True, slots=True)
class Signer:
    """An active key."""

    kid: str
    key: PrivateKey


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key and the one algorithm it may be used with."""

    algorithm: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The snapshot. `jwks` is the served key set (RFC 7517 section 5) in bytes."""

    epoch: int
    signers: dict[str, Signer]
    verifiers: dict[str, Verifier]
    jwks: bytes
    etag: str

    def signer(self, algorithm: str) -> Signer:
        """Return the key that signs with this algorithm. Raises NoSigningKey."""
        try:
            return self.signers[algorithm]
        except KeyError as error:
            raise NoSigningKey(
                f"no active {algorithm} key: run manage.py rotate_signing_keys --ensure"
            ) from error


def additional_data(kid: str, algorithm: str) -> envelope.AdditionalData:
    """Return what a sealed private key is tied to."""
    return {"kid": kid, "alg": algorithm, "purpose": "signing"}


_lock = threading.Lock()
_ring: KeyRing | None = None
_looked_at = float("-inf")


def current() -> KeyRing:
    """Return the snapshot, at most one poll old. One indexed SELECT when a poll is due, else no I/O."""
    if _ring is not None and time.monotonic() - _looked_at < settings.KEY_RING_POLL_SECONDS:
        return _ring
    return _look(settings.KEY_RING_POLL_SECONDS)


def verifier(kid: str) -> Verifier | None:
    """Return the public key of a kid from our own store, looking again once when it is unknown."""
    found = current().verifiers.get(kid)
    if found is None and time.monotonic() - _looked_at >= FORCED_LOOK_SECONDS:
        found = _look(FORCED_LOOK_SECONDS).verifiers.get(kid)
    return found


def forget() -> None:
    """Drop the snapshot, so that this process sees a change that it made itself at once."""
    global _ring, _looked_at
    with _lock:
        _ring, _looked_at = None, float("-inf")


def _look(oldest: float) -> KeyRing:
    """Look at the epoch, unless another thread did so within `oldest` seconds while this one waited for it."""
    global _ring, _looked_at
    with _lock:
        if _ring is not None and time.monotonic() - _looked_at < oldest:
            return _ring
        epoch = KeyRingEpoch.objects.filter(pk=1).values_list("epoch", flat=True).first() or 0
        if _ring is None or _ring.epoch != epoch:
            _ring = _build(epoch)
        _looked_at = time.monotonic()
        return _ring


def _build(epoch: int) -> KeyRing:
    states = SigningKey.State
    keys = list(
        SigningKey.objects.filter(state__in=[states.PENDING, states.ACTIVE, states.RETIRING]).order_by("kid")
    )
    private = {key.kid: _unseal(key) for key in keys}
    signers = {key.algorithm: Signer(key.kid, private[key.kid]) for key in keys if key.state == states.ACTIVE}
    verifiers = {key.kid: Verifier(key.algorithm, private[key.kid].public_key()) for key in keys}
    published = [public_jwk(verifier.key, verifier.algorithm) for verifier in verifiers.values()]
    if [jwk["kid"] for jwk in published] != list(verifiers):
        raise envelope.CannotOpen("a signing key is not the one that its kid names")
    jwks = json.dumps({"keys": published}, separators=(",", ":")).encode()
    return KeyRing(epoch, signers, verifiers, jwks, f'"{hashlib.sha256(jwks).hexdigest()[:32]}"')


def _unseal(key: SigningKey) -> PrivateKey:
    assert key.private_key is not None  # noqa: S101 (a constraint says so for these states)
    der = envelope.open_sealed(key.private_key, additional_data(key.kid, key.algorithm))
    # The key was checked when it was made and the envelope authenticates it: checking again costs 40 ms for RSA.
    return load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)  # type: ignore[return-value]
