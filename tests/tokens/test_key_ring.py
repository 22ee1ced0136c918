"""The snapshot: built rarely, looked at seldom, never with a key that the sealed private part does not vouch for."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crypto.envelope import CannotOpen
from tests.people import People
from tests.tokens import calls, forging
from tokens import jose, key_ring, keys
from tokens.jwk import public_jwk
from tokens.models import KeyRingEpoch, SigningKey

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing_keys")]


def statements(work: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as captured:
        work()
    return len(captured)


def another_process_moves_the_epoch() -> None:
    KeyRingEpoch.objects.filter(pk=1).update(epoch=1_000_000 + time.monotonic_ns() % 1_000_000)


def test_within_a_poll_nothing_asks_the_database() -> None:
    assert statements(key_ring.current) == 2
    assert statements(lambda: [key_ring.current() for _ in range(50)]) == 0


@override_settings(KEY_RING_POLL_SECONDS=0.05)
def test_a_poll_is_one_statement_and_keeps_the_snapshot_while_the_epoch_stands() -> None:
    ring = key_ring.current()
    time.sleep(0.06)
    assert statements(key_ring.current) == 1
    assert key_ring.current() is ring
    another_process_moves_the_epoch()
    time.sleep(0.06)
    assert key_ring.current() is not ring


def test_an_unknown_kid_forces_one_look_and_no_more_than_one_a_second() -> None:
    key_ring.current()
    key_ring._looked_at -= 1.1
    assert statements(lambda: [key_ring.verifier(f"made-up-{number}") for number in range(100)]) == 1
    assert statements(lambda: [key_ring.verifier(f"made-up-{number}") for number in range(100)]) == 0


def test_a_key_that_another_process_has_just_made_is_found_by_its_kid() -> None:
    ring = key_ring.current()
    keys.rotate(now=timezone.now(), hurry=True, skip_wait=True)
    fresh = SigningKey.objects.get(algorithm="ES256", state="active").kid
    key_ring._ring = ring  # as it is in a process that did not rotate
    key_ring._looked_at = time.monotonic() - 1.1
    assert fresh not in ring.verifiers
    assert key_ring.verifier(fresh) is not None


@pytest.mark.django_db(transaction=True)
def test_many_threads_with_made_up_kids_look_once(monkeypatch: pytest.MonkeyPatch) -> None:
    key_ring.current()
    key_ring._looked_at -= 1.1
    looks = []
    original = KeyRingEpoch.objects.filter
    monkeypatch.setattr(
        KeyRingEpoch.objects, "filter", lambda **kwargs: (looks.append(1), original(**kwargs))[1]
    )
    barrier = threading.Barrier(12)

    def ask(number: int) -> None:
        barrier.wait()
        try:
            key_ring.verifier(f"made-up-{number}")
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(ask, range(12)))
    assert len(looks) == 1


def test_a_private_key_is_parsed_once_for_a_snapshot_and_never_on_a_request(
    cast: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = []
    original = key_ring.load_der_private_key
    monkeypatch.setattr(
        key_ring,
        "load_der_private_key",
        lambda *args, **kwargs: (parsed.append(1), original(*args, **kwargs))[1],
    )
    key_ring.forget()
    key_ring.current()
    assert len(parsed) == SigningKey.objects.count() == 2
    issued = calls.obtain()
    calls.post(calls.REFRESH, {"refresh": issued["refresh"]})
    calls.patient_token(issued["access"], cast.rosa.pk)
    assert len(parsed) == 2


def test_the_published_keys_have_no_private_member_and_one_is_rsa() -> None:
    published = json.loads(key_ring.current().jwks)["keys"]
    assert {key["kty"] for key in published} == {"EC", "RSA"}
    for key in published:
        assert key.keys() <= {"kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"}
        assert key["kid"] in key_ring.current().verifiers


# Whoever can write to the database, but does not hold the key-encryption key, gains nothing.


def test_private_keys_that_were_swapped_do_not_open() -> None:
    one, other = SigningKey.objects.all()
    one.private_key, other.private_key = other.private_key, one.private_key
    one.save()
    other.save()
    key_ring.forget()
    with pytest.raises(CannotOpen):
        key_ring.current()


def test_a_sealed_key_does_not_open_under_another_algorithm_or_kid() -> None:
    key = SigningKey.objects.get(algorithm="ES256")
    for changed in ({"algorithm": "RS256", "state": "retiring"}, {"kid": "x" * 43, "state": "retiring"}):
        SigningKey.objects.filter(pk=key.pk).update(**changed)
        key_ring.forget()
        with pytest.raises(CannotOpen):
            key_ring.current()
        SigningKey.objects.filter(pk=changed.get("kid", key.pk)).update(
            kid=key.kid, algorithm="ES256", state="active"
        )


def test_a_public_key_that_was_slipped_in_verifies_nothing_and_is_not_published() -> None:
    theirs = ec.generate_private_key(ec.SECP256R1())
    key = SigningKey.objects.get(algorithm="ES256")
    SigningKey.objects.filter(pk=key.pk).update(
        public_jwk={**public_jwk(theirs.public_key(), "ES256"), "kid": key.kid}
    )
    key_ring.forget()
    token = forging.signed(forging.header(), forging.claims(), key=theirs)
    with pytest.raises(jose.TokenError):
        jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=(forging.claims()["aud"],), now=timezone.now())
    assert public_jwk(theirs.public_key(), "ES256")["x"] not in key_ring.current().jwks.decode()


def test_a_row_with_a_key_of_ones_own_does_not_open() -> None:
    theirs = public_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), "ES256")
    ours = SigningKey.objects.get(algorithm="ES256")
    SigningKey.objects.create(
        kid=theirs["kid"],
        algorithm="ES256",
        state="retiring",
        public_jwk=theirs,
        private_key=ours.private_key,
    )
    key_ring.forget()
    with pytest.raises(CannotOpen):
        key_ring.current()
