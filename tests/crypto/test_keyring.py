"""Root keys: how they are given, what is refused with one sentence, and the derivation by the RFC's own vectors."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.core.exceptions import ImproperlyConfigured

from crypto import keyring
from crypto.keyed_hash import blind_index, keyed_hash

KEY = base64.urlsafe_b64encode(b"\x01" * 32).decode()
OTHER = base64.urlsafe_b64encode(b"\x02" * 32).decode()
CACHES = (keyring.encryption_keys, keyring.encryption_subkey, keyring.hash_subkey)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    for cache in CACHES:
        cache.cache_clear()
    yield
    for cache in CACHES:
        cache.cache_clear()


def hkdf_by_hand(root: bytes, info: bytes) -> bytes:
    """Derive 32 bytes as RFC 5869 section 2 says, without a salt."""
    return hmac.digest(hmac.digest(b"\0" * 32, root, "sha256"), info + b"\x01", "sha256")


def test_hkdf_of_rfc_5869_test_case_3_without_salt_and_info() -> None:
    okm = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert HKDF(hashes.SHA256(), 42, salt=None, info=b"").derive(b"\x0b" * 22).hex() == okm
    assert hkdf_by_hand(b"\x0b" * 22, b"").hex() == okm[:64]


@pytest.mark.parametrize(
    ("key", "data", "mac"),
    [
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
    ],
)
def test_hmac_of_rfc_4231_test_cases_1_and_2(key: bytes, data: bytes, mac: str) -> None:
    assert hmac.digest(key, data, hashlib.sha256).hex() == mac


def test_each_purpose_and_each_root_has_a_key_of_its_own(settings: Any) -> None:
    settings.WARDKEY_ENCRYPTION_KEYS = f"new:{OTHER},old:{KEY}"
    settings.WARDKEY_HASH_KEY = KEY
    assert keyring.current_key_id() == "new"
    assert keyring.encryption_subkey("old", "column") == hkdf_by_hand(b"\x01" * 32, b"wardkey/column")
    keys = {
        keyring.encryption_subkey("old", "column"), keyring.encryption_subkey("old", "envelope"),
        keyring.encryption_subkey("new", "column"), keyring.hash_subkey("a"), keyring.hash_subkey("b"), b"\x01" * 32,
    }  # fmt: skip
    assert len(keys) == 6


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "a:", f":{KEY}", KEY, f"a:{KEY},a:{OTHER}", f"a:{KEY},", f"ä:{KEY}", f"{'a' * 65}:{KEY}", "a:AAAA",
        f"a:{KEY}AAAA", "a:!!!!", f"a:{KEY},b:short",
    ],
)  # fmt: skip
def test_malformed_encryption_keys_are_refused_and_not_repeated_in_the_message(
    settings: Any, text: str
) -> None:
    settings.WARDKEY_ENCRYPTION_KEYS = text
    with pytest.raises(ImproperlyConfigured, match="WARDKEY_ENCRYPTION_KEYS") as refused:
        keyring.encryption_keys()
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("text", ["", "short", "ä" * 43])
def test_a_malformed_hash_key_is_refused(settings: Any, text: str) -> None:
    settings.WARDKEY_HASH_KEY = text
    with pytest.raises(ImproperlyConfigured, match="WARDKEY_HASH_KEY"):
        keyring.hash_subkey("a")


def test_padding_may_be_left_out(settings: Any) -> None:
    settings.WARDKEY_ENCRYPTION_KEYS = f"a:{KEY.rstrip('=')}"
    assert keyring.encryption_keys() == {"a": b"\x01" * 32}


def test_an_unknown_key_id_has_no_key() -> None:
    with pytest.raises(KeyError):
        keyring.encryption_subkey("nobody's", "column")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MRN-000001", "mrn-000001"), ("MRN-000001", "  MRN-000001\t"), ("de la  Cruz", "De La Cruz"),
        ("Ångström", "A\u030angstro\u0308m"), ("STRASSE", "straße"), ("MRN-1", "\uff2d\uff32\uff2e\uff0d\uff11"),
        ("a b", "a\u00a0b"), ("Σίσυφος", "ΣΊΣΥΦΟΣ"), ("ﬁn", "fin"), ("İ", "i\u0307"),
    ],
)  # fmt: skip
def test_a_blind_index_does_not_mind_case_unicode_form_and_space(one: str, other: str) -> None:
    assert blind_index("record-number", one) == blind_index("record-number", other)


@pytest.mark.parametrize(("one", "other"), [("MRN-1", "MRN-2"), ("a b", "ab"), ("é", "e"), ("", "0")])
def test_a_blind_index_minds_everything_else(one: str, other: str) -> None:
    assert blind_index("record-number", one) != blind_index("record-number", other)


def test_a_blind_index_is_of_one_purpose_and_needs_the_key(settings: Any) -> None:
    before = blind_index("record-number", "x")
    assert before != blind_index("family-name", "x")
    assert before == keyed_hash("blind-index/record-number", b"x")
    assert before != hashlib.sha256(b"x").digest()
    settings.WARDKEY_HASH_KEY = OTHER
    keyring.hash_subkey.cache_clear()
    assert blind_index("record-number", "x") != before


def test_text_that_is_no_unicode_has_an_index_too() -> None:
    assert len(blind_index("username", "\ud800\x00")) == 32
