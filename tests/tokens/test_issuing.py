"""What is given out, what it costs, and that it stops holding with what it rests on."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from accounts.models import PatientAccessGrant, User
from accounts.operations import access_grants, role_assignments, users
from audit.events import EventType
from audit.models import Event
from tests.people import PHI, People
from tests.tokens import forging
from tokens import issuing, jose, key_ring, keys, refresh_families
from tokens.errors import AccessDenied, InvalidGrant, InvalidScope, InvalidToken
from tokens.models import Client, RefreshFamily, SigningKey

pytestmark = pytest.mark.django_db
SECOND = datetime.timedelta(seconds=1)
OBSERVATIONS = {"purpose_of_use": "TREAT", "scope": "patient/Observation.rs"}
ODD_SCOPES = ["openid", "user/Patient.rs", "patient/Patient", "patient/Patient.sr", " ", "system/*.rs"]


def sign_in(user: User, now: datetime.datetime | None = None) -> issuing.Issued:
    return issuing.sign_in(user=user, amr="pwd", acr="aal1", now=now or timezone.now())


def claims_of(token: str) -> dict[str, Any]:
    audiences = (settings.WARDKEY_ISSUER, settings.WARDKEY_FHIR_BASE)
    return jose.verify(token, typ=jose.ACCESS_TOKEN, audiences=audiences, now=timezone.now())


def patient_token(base: str, patient: Any, *, now: datetime.datetime | None = None, **changed: str) -> Any:
    wanted = {**OBSERVATIONS, **changed}
    return issuing.for_patient(
        base=claims_of(base), patient=str(patient), now=now or timezone.now(), **wanted
    )


def test_a_base_token_says_who_signed_in_and_how_and_names_no_patient(cast: People) -> None:
    issued = sign_in(cast.okafor)
    claims = claims_of(issued.access)
    assert claims["sub"] == str(cast.okafor.pk)
    assert claims["aud"] == claims["iss"] == settings.WARDKEY_ISSUER
    assert (claims["acr"], claims["amr"], claims["client_id"]) == ("aal1", ["pwd"], "direct")
    assert claims["exp"] - claims["iat"] == issued.expires_in == settings.BASE_TOKEN_SECONDS
    assert not claims.keys() & {"patient", "purpose_of_use", "basis", "name", "preferred_username", "email"}


def test_a_patient_token_names_one_patient_one_purpose_one_audience_and_the_basis(cast: People) -> None:
    base = sign_in(cast.okafor).access
    issued = patient_token(base, cast.rosa.pk, scope="patient/Observation.cruds patient/Coverage.r")
    claims = claims_of(issued.access)
    assert claims["patient"] == issued.patient == str(cast.rosa.pk)
    assert claims["aud"] == settings.WARDKEY_FHIR_BASE
    assert claims["purpose_of_use"] == "TREAT"
    assert claims["basis"] == f"access_grant:{cast.grant.pk}"
    assert claims["scope"] == issued.scope == "patient/Observation.rs", "narrowed to the grant"
    assert claims["exp"] - claims["iat"] == issued.expires_in == settings.PATIENT_TOKEN_SECONDS <= 300


def test_no_token_holds_phi(cast: People) -> None:
    issued = sign_in(cast.okafor)
    tokens = (issued.access, patient_token(issued.access, cast.rosa.pk).access)
    seen = "".join(forging.decode(part).decode("latin-1") for token in tokens for part in token.split("."))
    assert not [secret for secret in (*PHI, "okafor", "Okafor", "Ada") if secret in seen]


def test_each_token_is_explained_by_its_jti_in_the_ledger(cast: People) -> None:
    issued = sign_in(cast.okafor)
    given = patient_token(issued.access, cast.rosa.pk)
    entry = Event.objects.get(jti=claims_of(given.access)["jti"])
    assert entry.event == EventType.PATIENT_TOKEN_ISSUED
    assert (entry.actor_ref, entry.patient_ref) == (str(cast.okafor.pk), str(cast.rosa.pk))
    assert (entry.purpose_of_use, entry.basis) == ("TREAT", f"access_grant:{cast.grant.pk}")
    assert entry.session_ref == claims_of(issued.access)["sid"]
    assert Event.objects.get(jti=claims_of(issued.access)["jti"]).event == EventType.BASE_TOKEN_ISSUED


@pytest.mark.parametrize("patient", ["amir", "00000000-0000-4000-8000-000000000000", "nobody", "ROSA", "1"])
def test_every_patient_she_may_not_see_is_refused_alike(cast: People, patient: str) -> None:
    key = cast.amir.pk if patient == "amir" else patient
    with pytest.raises(AccessDenied) as refused:
        patient_token(sign_in(cast.okafor).access, key)
    assert refused.value.detail == AccessDenied.detail


def test_a_patient_id_in_another_spelling_is_nobody(cast: People) -> None:
    base = sign_in(cast.okafor).access
    for spelling in (
        cast.rosa.pk.hex,
        str(cast.rosa.pk).upper(),
        f"{{{cast.rosa.pk}}}",
        f"urn:uuid:{cast.rosa.pk}",
    ):
        with pytest.raises(AccessDenied):
            patient_token(base, spelling)


@pytest.mark.parametrize("scope", ODD_SCOPES)
def test_what_is_no_patient_scope_is_refused(cast: People, scope: str) -> None:
    with pytest.raises(InvalidScope):
        patient_token(sign_in(cast.okafor).access, cast.rosa.pk, scope=scope)


def test_a_patient_token_is_no_base_token(cast: People) -> None:
    base = sign_in(cast.okafor).access
    claims = {**claims_of(base), "patient": str(cast.rosa.pk)}
    with pytest.raises(InvalidToken) as refused:
        issuing.for_patient(base=claims, patient=str(cast.rosa.pk), now=timezone.now(), **OBSERVATIONS)
    assert refused.value.reason == "not_a_base_token"


def end_grant(cast: People) -> None:
    access_grants.revoke(grant=cast.grant, by=cast.vera, reason="over", now=timezone.now())


def suspend(cast: People) -> None:
    users.suspend(user=cast.okafor, by=cast.sam, reason="leave", now=timezone.now())


def end_account(cast: People) -> None:
    users.end(user=cast.okafor, by=cast.sam, reason="left", now=timezone.now())


def end_account_by_date(cast: People) -> None:
    User.objects.filter(pk=cast.okafor.pk).update(ends_at=timezone.now() - SECOND)


def end_role(cast: People) -> None:
    assignment = cast.okafor.role_assignments.get()
    role_assignments.end(assignment=assignment, by=cast.sam, reason="moved", now=timezone.now())


def revoke_family(cast: People) -> None:
    refresh_families.revoke(RefreshFamily.objects.get().pk, reason="test", now=timezone.now())


def expire_family(cast: People) -> None:
    RefreshFamily.objects.update(expires_at=timezone.now() - SECOND)


def switch_client_off(cast: People) -> None:
    Client.objects.update(is_active=False)


def end_client(cast: People) -> None:
    Client.objects.update(ends_at=timezone.now() - SECOND)


def revoke_key(cast: People) -> None:
    kid = key_ring.current().signer("ES256").kid
    keys.revoke(kid=kid, reason="leaked", by=None, now=timezone.now())


def narrow_role(cast: People) -> None:
    role = cast.okafor.role_assignments.get().role
    role.scope_ceiling = "patient/Patient.rs"
    role.save()


def narrow_client(cast: People) -> None:
    Client.objects.update(scope="patient/Patient.rs")


def forbid_purpose_to_client(cast: People) -> None:
    Client.objects.update(purposes_of_use=["HOPERAT"])


OF_EVERY_TOKEN = (
    suspend, end_account, end_account_by_date, revoke_family, expire_family, switch_client_off, end_client, revoke_key
)  # fmt: skip
SIGNED_ANEW = [act for act in OF_EVERY_TOKEN if act is not revoke_key]
OF_A_PATIENT_TOKEN = (end_grant, end_role, narrow_role, narrow_client, forbid_purpose_to_client)


@pytest.mark.parametrize("happens", OF_EVERY_TOKEN, ids=lambda act: act.__name__)
def test_a_base_token_stops_holding_at_once(cast: People, happens: Callable[[People], None]) -> None:
    base = sign_in(cast.okafor).access
    issuing.check(token=base, now=timezone.now())
    happens(cast)
    with pytest.raises(InvalidToken):
        issuing.check(token=base, now=timezone.now())


@pytest.mark.parametrize("happens", [*OF_EVERY_TOKEN, *OF_A_PATIENT_TOKEN], ids=lambda act: act.__name__)
def test_a_patient_token_stops_holding_at_once(cast: People, happens: Callable[[People], None]) -> None:
    token = patient_token(sign_in(cast.okafor).access, cast.rosa.pk).access
    issuing.check(token=token, now=timezone.now())
    happens(cast)
    with pytest.raises(InvalidToken):
        issuing.check(token=token, now=timezone.now())


@pytest.mark.parametrize("happens", [*SIGNED_ANEW, *OF_A_PATIENT_TOKEN], ids=lambda act: act.__name__)
def test_no_patient_token_is_given_out_any_more(cast: People, happens: Callable[[People], None]) -> None:
    base = claims_of(sign_in(cast.okafor).access)
    happens(cast)
    with pytest.raises((InvalidToken, AccessDenied)):
        issuing.for_patient(
            base=base,
            patient=str(cast.rosa.pk),
            purpose_of_use="TREAT",
            scope="patient/Observation.rs",
            now=timezone.now(),
        )
    assert not Event.objects.filter(event=EventType.PATIENT_TOKEN_ISSUED).exists()


@pytest.mark.parametrize(
    ("ends_in", "lifetime"),
    [(3.0, 3), (2.999, 2), (1.5, 1), (1.0, 1), (0.999, None), (0.001, None), (3600.0, 300)],
)
def test_a_patient_token_ends_with_its_grant(cast: People, ends_in: float, lifetime: int | None) -> None:
    now = timezone.now()
    end = now + datetime.timedelta(seconds=ends_in)
    PatientAccessGrant.objects.filter(pk=cast.grant.pk).update(ends_at=end)
    base = sign_in(cast.okafor).access
    if lifetime is None:
        with pytest.raises(AccessDenied) as refused:
            patient_token(base, cast.rosa.pk, now=now)
        assert refused.value.reason == "ends_now"
    else:
        issued = patient_token(base, cast.rosa.pk, now=now)
        assert issued.expires_in == lifetime
        assert claims_of(issued.access)["exp"] <= end.timestamp()


@pytest.mark.parametrize("what", ["account", "client", "family"])
def test_no_token_outlives_its_account_client_or_family(cast: People, what: str) -> None:
    now = timezone.now()
    issued = sign_in(cast.okafor, now)
    soon = now + 4 * SECOND
    User.objects.filter(pk=cast.okafor.pk).update(ends_at=soon if what == "account" else None)
    Client.objects.update(ends_at=soon if what == "client" else None)
    if what == "family":
        RefreshFamily.objects.update(expires_at=soon)
    assert patient_token(issued.access, cast.rosa.pk, now=now).expires_in == 4
    refreshed = issuing.refresh(presented=issued.refresh, now=now)
    assert refreshed.expires_in == 4
    assert claims_of(refreshed.access)["exp"] <= soon.timestamp()


def test_a_grant_that_ended_between_request_and_use_is_noticed(cast: People) -> None:
    now = timezone.now()
    token = patient_token(sign_in(cast.okafor).access, cast.rosa.pk).access
    PatientAccessGrant.objects.filter(pk=cast.grant.pk).update(ends_at=now + SECOND)
    issuing.check(token=token, now=now + SECOND / 2)
    with pytest.raises(InvalidToken):
        issuing.check(token=token, now=now + SECOND)


def test_a_token_of_another_persons_family_is_refused(cast: People) -> None:
    theirs = claims_of(sign_in(cast.lind).access)["sid"]
    ours = claims_of(sign_in(cast.okafor).access)
    others = (
        {"sid": theirs},
        {"sub": str(cast.lind.pk)},
        {"client_id": "other"},
        {"sid": "x" * 500},
        {"sid": None},
    )
    for changed in others:
        forged = forging.signed(forging.header(), {**ours, **changed})
        with pytest.raises(InvalidToken):
            issuing.check(token=forged, now=timezone.now())


def test_a_patient_token_without_purpose_or_with_odd_scope_is_refused_and_no_bug(cast: People) -> None:
    given = claims_of(patient_token(sign_in(cast.okafor).access, cast.rosa.pk).access)
    for changed in (
        {"purpose_of_use": ""},
        {"scope": "openid fhirUser"},
        {"scope": "x" * 5000},
        {"patient": "x"},
    ):
        with pytest.raises(InvalidToken):
            issuing.check(token=forging.signed(forging.header(), {**given, **changed}), now=timezone.now())
    del given["purpose_of_use"]
    with pytest.raises(InvalidToken):
        issuing.check(token=forging.signed(forging.header(), given), now=timezone.now())


def test_a_client_that_is_off_lets_nobody_in(cast: People) -> None:
    switch_client_off(cast)
    with pytest.raises(issuing.InvalidCredentials):
        sign_in(cast.okafor)
    assert not RefreshFamily.objects.exists()


def test_revoking_any_token_of_a_family_ends_all_of_it(cast: People) -> None:
    for which in ("refresh", "access", "patient"):
        issued = sign_in(cast.okafor)
        given = patient_token(issued.access, cast.rosa.pk).access
        token = {"refresh": issued.refresh, "access": issued.access, "patient": given}[which]
        assert issuing.revoke(token=token, now=timezone.now())
        assert not issuing.revoke(token=token, now=timezone.now())
        for access in (issued.access, given):
            with pytest.raises(InvalidToken):
                issuing.check(token=access, now=timezone.now())
        with pytest.raises(InvalidGrant):
            issuing.refresh(presented=issued.refresh, now=timezone.now())


@pytest.mark.parametrize("token", ["", "x", "x" * 91, "A" * 91, "a.b.c", "\ud800"])
def test_revoking_what_is_no_token_ends_nothing(cast: People, token: str) -> None:
    sign_in(cast.okafor)
    assert not issuing.revoke(token=token, now=timezone.now())
    assert RefreshFamily.objects.get().revoked_at is None


def test_nothing_is_used_up_when_no_key_signs(cast: People) -> None:
    issued = sign_in(cast.okafor)
    SigningKey.objects.all().delete()
    key_ring.forget()
    with pytest.raises(key_ring.NoSigningKey):
        issuing.refresh(presented=issued.refresh, now=timezone.now())
    assert RefreshFamily.objects.get().generation == 0
