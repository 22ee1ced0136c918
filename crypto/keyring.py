"""The root keys, read once from settings, and the subkeys derived from them.

A root key is never used directly: HKDF-SHA256 (RFC 5869) derives one subkey for each purpose, so that a value
sealed for one purpose can never be opened as another. Key ids are stored beside each ciphertext, which is what
makes rotation possible: put a new key in front, keep the old ones until everything has been sealed again.
"""

import base64
import binascii
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

KEY_BYTES = 32


@cache
def encryption_keys() -> dict[str, bytes]:
    """Return the root encryption keys by id, the current one first (32 raw bytes each).

    Raises ImproperlyConfigured when WARDKEY_ENCRYPTION_KEYS is missing, malformed or repeats an id.
    """
    keys: dict[str, bytes] = {}
    for entry in settings.WARDKEY_ENCRYPTION_KEYS.split(","):
        key_id, _, encoded = entry.strip().partition(":")
        if not key_id or not key_id.isascii() or len(key_id) > 64 or key_id in keys:
            raise ImproperlyConfigured(
                "WARDKEY_ENCRYPTION_KEYS must be id:key pairs with distinct, short, ASCII ids."
            )
        keys[key_id] = _decode(encoded, "WARDKEY_ENCRYPTION_KEYS")
    return keys


def current_key_id() -> str:
    """Return the id of the key that new values are sealed with."""
    return next(iter(encryption_keys()))


@cache
def encryption_subkey(key_id: str, purpose: str) -> bytes:
    """Derive the 32-byte subkey of a root encryption key for one purpose. Raises KeyError for an unknown id."""
    return _derive(encryption_keys()[key_id], purpose)


@cache
def hash_subkey(purpose: str) -> bytes:
    """Derive the 32-byte key that keyed hashes of one purpose use."""
    return _derive(_decode(settings.WARDKEY_HASH_KEY, "WARDKEY_HASH_KEY"), purpose)


def _derive(root: bytes, purpose: str) -> bytes:
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=b"wardkey/" + purpose.encode()).derive(root)


def _decode(encoded: str, setting: str) -> bytes:
    try:
        padded = encoded + "=" * (-len(encoded) % 4)
        key = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ImproperlyConfigured(f"{setting} needs keys of 32 bytes in BASE64URL.")
    return key
