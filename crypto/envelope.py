"""Envelope encryption for secrets that live in the database, such as private signing keys.

Each secret has a data encryption key (DEK) of its own; AES-256-GCM seals the secret under the DEK, and a
key-encryption-key (KEK) provider wraps the DEK. Both steps authenticate the same additional data, so a row that
is copied over another one, or relabelled with another algorithm or purpose, does not open.

Rotating the KEK is `rewrap()`: the ciphertext stays, only the wrapping changes.
"""

import base64
import os
from typing import Protocol, TypedDict

import rfc8785
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.utils.module_loading import import_string

from crypto import keyring

NONCE_BYTES = 12

AdditionalData = dict[str, str]


class Sealed(TypedDict):
    """A sealed secret as it is stored (JSON): version, provider, KEK id, wrapped DEK, nonce, ciphertext (BASE64)."""

    v: int
    p: str
    k: str
    w: str
    n: str
    c: str


class CannotOpen(Exception):
    """The sealed secret does not open: wrong key, wrong additional data, or altered."""


class KekProvider(Protocol):
    """Where key-encryption keys live: this process, a KMS, an HSM."""

    name: str

    def current(self) -> str:
        """Return the id of the KEK that new wraps use."""

    def wrap(self, dek: bytes, additional_data: AdditionalData) -> tuple[str, bytes]:
        """Return (KEK id, wrapped DEK)."""

    def unwrap(self, kek_id: str, wrapped: bytes, additional_data: AdditionalData) -> bytes:
        """Return the DEK. Raises CannotOpen."""


class LocalKekProvider:
    """KEKs derived from WARDKEY_ENCRYPTION_KEYS, in this process."""

    name = "local"

    def current(self) -> str:
        return keyring.current_key_id()

    def wrap(self, dek: bytes, additional_data: AdditionalData) -> tuple[str, bytes]:
        kek_id = self.current()
        nonce = os.urandom(NONCE_BYTES)
        kek = AESGCM(keyring.encryption_subkey(kek_id, "envelope"))
        return kek_id, nonce + kek.encrypt(nonce, dek, rfc8785.dumps(additional_data))

    def unwrap(self, kek_id: str, wrapped: bytes, additional_data: AdditionalData) -> bytes:
        try:
            kek = AESGCM(keyring.encryption_subkey(kek_id, "envelope"))
            return kek.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], rfc8785.dumps(additional_data))
        except (KeyError, InvalidTag, ValueError) as error:
            raise CannotOpen(f"KEK {kek_id!r} does not open this secret") from error


def provider() -> KekProvider:
    """Return the configured KEK provider (setting WARDKEY_KEK_PROVIDER, a dotted path)."""
    made: KekProvider = import_string(settings.WARDKEY_KEK_PROVIDER)()
    return made


def seal(secret: bytes, additional_data: AdditionalData) -> Sealed:
    """Seal a secret under a fresh DEK."""
    kek = provider()
    dek = AESGCM.generate_key(bit_length=256)
    nonce = os.urandom(NONCE_BYTES)
    ciphertext = AESGCM(dek).encrypt(nonce, secret, rfc8785.dumps(additional_data))
    kek_id, wrapped = kek.wrap(dek, additional_data)
    return Sealed(v=1, p=kek.name, k=kek_id, w=_text(wrapped), n=_text(nonce), c=_text(ciphertext))


def open_sealed(sealed: Sealed, additional_data: AdditionalData) -> bytes:
    """Return the secret. Raises CannotOpen, also when the row was sealed by another provider."""
    dek = _unwrap(sealed, additional_data)
    try:
        return AESGCM(dek).decrypt(_bytes(sealed["n"]), _bytes(sealed["c"]), rfc8785.dumps(additional_data))
    except (InvalidTag, ValueError) as error:
        raise CannotOpen("the ciphertext or its additional data was altered") from error


def rewrap(sealed: Sealed, additional_data: AdditionalData) -> Sealed:
    """Wrap the DEK again under the current KEK; the ciphertext is untouched. Raises CannotOpen."""
    kek = provider()
    kek_id, wrapped = kek.wrap(_unwrap(sealed, additional_data), additional_data)
    return Sealed(v=1, p=kek.name, k=kek_id, w=_text(wrapped), n=sealed["n"], c=sealed["c"])


def _unwrap(sealed: Sealed, additional_data: AdditionalData) -> bytes:
    kek = provider()
    if sealed.get("v") != 1 or sealed.get("p") != kek.name:
        raise CannotOpen(f"sealed by provider {sealed.get('p')!r}, version {sealed.get('v')!r}")
    return kek.unwrap(sealed["k"], _bytes(sealed["w"]), additional_data)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise CannotOpen("a part of the sealed secret is not BASE64") from error
