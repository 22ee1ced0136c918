"""Keyed hashes (HMAC-SHA256): equality without disclosure.

A blind index lets an administrator find an encrypted value by its exact text; a plain hash of a record number
would fall to an enumeration of the ten million possible numbers, and 45 CFR 164.514(c) forbids codes that are
derived from the person without a secret.
"""

import hashlib
import hmac
import unicodedata

from crypto import keyring


def keyed_hash(purpose: str, value: bytes) -> bytes:
    """Return the 32-byte HMAC-SHA256 of value under the key of this purpose."""
    return hmac.digest(keyring.hash_subkey(purpose), value, hashlib.sha256)


def blind_index(purpose: str, text: str) -> bytes:
    """Return the 32-byte blind index of a text; case, Unicode form and surrounding or doubled space do not matter."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return keyed_hash(f"blind-index/{purpose}", folded.encode("utf-8", "surrogatepass"))
