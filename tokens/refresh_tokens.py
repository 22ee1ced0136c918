"""The form of a refresh token, and how its successor is made.

    BASE64URL( family id, 16 bytes ‖ generation, 4 bytes ‖ secret, 32 bytes ‖ tag, 16 bytes )     91 characters

To a client it is an opaque string. The secret of the first token is random; that of each successor is a keyed hash
of the presented token, so a repeated request within the grace gets the very same successor although no token is ever
stored. The tag (truncated HMAC-SHA256) proves that we made the token: possession is proven before replay is judged,
and a used token of any age is recognised without a table of used tokens.
"""

import base64
import binascii
import hashlib
import hmac
import os
import uuid
from dataclasses import dataclass

from crypto.keyed_hash import keyed_hash

SECRET_BYTES = 32
TAG_BYTES = 16
RAW_BYTES = 16 + 4 + SECRET_BYTES + TAG_BYTES
TEXT_LENGTH = 91


class NotARefreshToken(ValueError):
    """We did not make this."""


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token in parts. `digest` (SHA-256, 32 bytes) is all that is ever stored of it."""

    family: uuid.UUID
    generation: int
    raw: bytes

    @property
    def digest(self) -> bytes:
        """What the database knows of this token."""
        return hashlib.sha256(self.raw).digest()

    @property
    def text(self) -> str:
        """What the client gets."""
        return base64.urlsafe_b64encode(self.raw).rstrip(b"=").decode()

    def successor(self) -> "RefreshToken":
        """Return the one token that follows this one."""
        secret = keyed_hash("refresh-token/successor", self.raw)
        return _make(self.family, self.generation + 1, secret)


def first(family: uuid.UUID) -> RefreshToken:
    """Return the first token of a family."""
    return _make(family, 0, os.urandom(SECRET_BYTES))


def parse(text: str) -> RefreshToken:
    """Take a token apart and check its tag. Raises NotARefreshToken. No I/O."""
    if len(text) != TEXT_LENGTH or not text.isascii():
        raise NotARefreshToken
    try:
        raw = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotARefreshToken from error
    body, tag = raw[:-TAG_BYTES], raw[-TAG_BYTES:]
    if len(raw) != RAW_BYTES or not hmac.compare_digest(tag, _tag(body)):
        raise NotARefreshToken
    token = RefreshToken(uuid.UUID(bytes=raw[:16]), int.from_bytes(raw[16:20]), raw)
    if token.text != text:  # unused bits in the last character: one token, one spelling
        raise NotARefreshToken
    return token


def _make(family: uuid.UUID, generation: int, secret: bytes) -> RefreshToken:
    body = family.bytes + generation.to_bytes(4) + secret
    return RefreshToken(family, generation, body + _tag(body))


def _tag(body: bytes) -> bytes:
    return keyed_hash("refresh-token/tag", body)[:TAG_BYTES]
