"""Sealed secrets open only where they were sealed for, and a new key-encryption key leaves the ciphertext alone."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from crypto import envelope, keyring
from crypto.envelope import CannotOpen

SECRET = b"a private key"
WHAT = {"kid": "k1", "alg": "ES256", "purpose": "sign"}
KEYS = [
    f"{name}:{base64.urlsafe_b64encode(bytes([number]) * 32).decode()}"
    for name, number in (("a", 1), ("b", 2))
]


@pytest.fixture
def keys(settings: Any) -> Iterator[Any]:
    """Return a function that sets the root keys."""

    def put(*entries: str) -> None:
        settings.WARDKEY_ENCRYPTION_KEYS = ",".join(entries)
        forget()

    def forget() -> None:
        keyring.encryption_keys.cache_clear()
        keyring.encryption_subkey.cache_clear()

    put(KEYS[0])
    yield put
    forget()


def test_what_was_sealed_opens_and_shows_nothing(keys: Any) -> None:
    sealed = envelope.seal(SECRET, WHAT)
    assert envelope.open_sealed(sealed, WHAT) == SECRET
    assert base64.b64encode(SECRET).decode() not in str(sealed)
    assert SECRET.decode() not in str(sealed)


def test_sealing_twice_gives_nothing_to_compare(keys: Any) -> None:
    one, other = envelope.seal(SECRET, WHAT), envelope.seal(SECRET, WHAT)
    assert not {one["w"], one["n"], one["c"]} & {other["w"], other["n"], other["c"]}


@pytest.mark.parametrize("changed", [{"kid": "k2"}, {"alg": "RS256"}, {"purpose": "encrypt"}, {"more": ""}])
def test_a_relabelled_secret_does_not_open(keys: Any, changed: dict[str, str]) -> None:
    with pytest.raises(CannotOpen):
        envelope.open_sealed(envelope.seal(SECRET, WHAT), {**WHAT, **changed})


@pytest.mark.parametrize("part", ["w", "n", "c"])
def test_an_altered_or_exchanged_part_does_not_open(keys: Any, part: str) -> None:
    sealed: dict[str, Any] = dict(envelope.seal(SECRET, WHAT))
    raw = bytearray(base64.b64decode(sealed[part]))
    raw[-1] ^= 1
    other: dict[str, Any] = dict(envelope.seal(SECRET, WHAT))
    for wrong in (base64.b64encode(raw).decode(), other[part], "", "AAAA", "not base64!"):
        with pytest.raises(CannotOpen):
            envelope.open_sealed({**sealed, part: wrong}, WHAT)  # type: ignore[typeddict-item]


@pytest.mark.parametrize("head", [{"v": 2}, {"p": "kms"}, {"k": "unknown"}])
def test_another_version_provider_or_unknown_key_does_not_open(keys: Any, head: dict[str, Any]) -> None:
    with pytest.raises(CannotOpen):
        envelope.open_sealed({**envelope.seal(SECRET, WHAT), **head}, WHAT)  # type: ignore[typeddict-item]


def test_a_provider_does_not_open_what_another_sealed(keys: Any, settings: Any) -> None:
    sealed = envelope.seal(SECRET, WHAT)
    settings.WARDKEY_KEK_PROVIDER = "tests.crypto.other_provider.OtherProvider"
    assert envelope.provider().name == "other"
    with pytest.raises(CannotOpen, match="local"):
        envelope.open_sealed(sealed, WHAT)


def test_a_new_key_in_front_seals_and_the_old_one_still_opens(keys: Any) -> None:
    old = envelope.seal(SECRET, WHAT)
    keys(KEYS[1], KEYS[0])
    assert (old["k"], envelope.seal(SECRET, WHAT)["k"]) == ("a", "b")
    assert envelope.open_sealed(old, WHAT) == SECRET


def test_rewrapping_changes_the_wrapping_alone_and_frees_the_old_key(keys: Any) -> None:
    old = envelope.seal(SECRET, WHAT)
    keys(KEYS[1], KEYS[0])
    new = envelope.rewrap(old, WHAT)
    assert (new["n"], new["c"], new["k"]) == (old["n"], old["c"], "b")
    assert new["w"] != old["w"]
    with pytest.raises(CannotOpen):
        envelope.rewrap(old, {**WHAT, "kid": "k2"})
    keys(KEYS[1])
    assert envelope.open_sealed(new, WHAT) == SECRET
    with pytest.raises(CannotOpen):
        envelope.open_sealed(old, WHAT)


def test_the_same_id_with_another_key_does_not_open(keys: Any) -> None:
    sealed = envelope.seal(SECRET, WHAT)
    keys(f"a:{KEYS[1].partition(':')[2]}")
    with pytest.raises(CannotOpen):
        envelope.open_sealed(sealed, WHAT)
