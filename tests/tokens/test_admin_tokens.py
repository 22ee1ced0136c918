"""Signing keys, clients and refresh families in the portal, over HTTP."""

from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from audit import paginator
from audit.events import EventType
from audit.refusals import Refused
from tests.accounts.portal import recorded, refusals, signed_in
from tests.people import People, make_user
from tokens import issuing, key_ring, refresh_families
from tokens.models import Client, RefreshFamily, SigningKey

State = SigningKey.State
pytestmark = pytest.mark.usefixtures("signing_keys")


def address(name: str, *args: Any) -> str:
    """Return a portal address by its name, such as "signingkey_revoke"."""
    return reverse(f"admin:tokens_{name}", args=args)


@pytest.fixture
def sam(people: People) -> Browser:
    """An administrator's browser."""
    return signed_in(people.sam)


@pytest.fixture
def family(people: People) -> RefreshFamily:
    """What Dr Okafor's sign-in has opened."""
    issuing.sign_in(user=people.okafor, amr="pwd", acr="aal1", now=timezone.now())
    return RefreshFamily.objects.get()


def signing() -> SigningKey:
    """Return the ES256 key that signs."""
    return SigningKey.objects.get(algorithm="ES256", state=State.ACTIVE)


# Signing keys


def test_a_key_whose_id_looks_escaped_can_be_opened_and_revoked(sam: Browser) -> None:
    key = SigningKey.objects.create(
        kid="Mci_2BGzj_5F0A", algorithm="ES256", state=State.PENDING, public_jwk={}, private_key={}
    )
    listed = sam.get(address("signingkey_changelist")).content.decode()
    home = sam.get("/admin/").context["attention"]["signing_keys"]
    url = next(shown["url"] for shown in home if shown["kid_short"] == key.kid[:8])
    assert f'href="{url}' in listed
    page = sam.get(url)
    assert page.context["original"] == key
    (verb,) = page.context["verbs"]
    assert sam.get(verb["url"]).status_code == 200
    assert sam.post(verb["url"], {"reason": "Lost"}).headers["Location"] == url
    key.refresh_from_db()
    assert key.state == State.REVOKED


def test_keys_are_listed_and_shown_with_their_public_part_alone(sam: Browser, people: People) -> None:
    key = signing()
    sealed = [
        value for value in (key.private_key or {}).values() if isinstance(value, str) and len(value) > 20
    ]
    assert sealed
    for client in (sam, signed_in(people.ines)):
        for url in (address("signingkey_changelist"), address("signingkey_change", key.kid)):
            page = client.get(url)
            assert page.status_code == 200
            assert key.kid[:8] in page.content.decode()
            assert not [value for value in sealed if value in page.content.decode()]
    detail = sam.get(address("signingkey_change", key.kid)).content.decode()
    assert key.public_jwk["x"] in detail
    assert "Began to sign" in detail


def test_no_page_of_keys_reads_the_private_part(sam: Browser, django_assert_max_num_queries: Any) -> None:
    for url in (address("signingkey_changelist"), address("signingkey_change", signing().kid), "/admin/"):
        with django_assert_max_num_queries(20) as captured:
            sam.get(url)
        assert not [query for query in captured if '"private_key"' in query["sql"].split("WHERE")[0]]


def test_rotating_publishes_the_next_keys_and_the_old_ones_go_on_signing(
    sam: Browser, people: People
) -> None:
    kid = signing().kid
    answer = sam.post(address("signingkey_rotate"))
    assert answer.headers["Location"] == address("signingkey_changelist")
    assert SigningKey.objects.filter(state=State.PENDING).count() == 2
    assert signing().kid == kid
    assert recorded(EventType.SIGNING_KEY_CREATED)[-1].actor_label == "sam"
    again = sam.post(address("signingkey_rotate"))
    assert again.status_code == 409
    assert b"published already" in again.content
    assert refusals("keys.rotate") == [("sam", "nothing_due")]
    assert SigningKey.objects.filter(state=State.PENDING).count() == 2


def test_rotating_at_once_signs_with_new_keys_and_the_old_ones_verify(sam: Browser) -> None:
    kid = signing().kid
    assert sam.post(address("signingkey_rotate-at-once")).status_code == 302
    assert signing().kid != kid
    assert SigningKey.objects.get(pk=kid).state == State.RETIRING
    assert key_ring.verifier(kid) is not None


def test_revoking_a_key_wants_a_reason_and_replaces_it(sam: Browser) -> None:
    kid = signing().kid
    url = address("signingkey_revoke", kid)
    assert b"This field is required." in sam.post(url, {"reason": " "}).content
    assert signing().kid == kid
    assert sam.post(url, {"reason": "Backup lost"}).status_code == 302
    key = SigningKey.objects.get(pk=kid)
    assert (key.state, key.private_key, key.revocation_reason) == (State.REVOKED, None, "Backup lost")
    assert signing().kid != kid
    assert recorded(EventType.SIGNING_KEY_REVOKED)[-1].actor_label == "sam"
    assert b"Backup lost" in sam.get(address("signingkey_change", kid)).content
    assert sam.post(url, {"reason": "Again"}).status_code == 409


@pytest.mark.parametrize("name", ["signingkey_rotate", "signingkey_rotate-at-once", "signingkey_revoke"])
def test_who_reads_the_ledger_changes_no_key(people: People, name: str) -> None:
    kid = signing().kid
    args = [kid] if name == "signingkey_revoke" else []
    assert signed_in(people.ines).post(address(name, *args), {"reason": "Why not"}).status_code == 403
    assert refusals(f"admin:tokens_{name}") == [("ines", "not_permitted")]
    assert signing().kid == kid
    assert not SigningKey.objects.filter(state=State.PENDING).exists()


def test_a_key_is_not_added_edited_or_deleted_by_form_a_superuser_included(people: People) -> None:
    key = signing()
    client = signed_in(make_user("root", is_superuser=True))
    assert client.post(address("signingkey_change", key.kid), {"state": "retired"}).status_code == 403
    assert client.post(address("signingkey_delete", key.kid), {"post": "yes"}).status_code == 403
    assert client.post(address("signingkey_add"), {"kid": "x"}).status_code == 403
    assert signing() == key


@pytest.mark.parametrize("kid", ["nonsense", "%00", "..%2F..", "x" * 300])
def test_a_key_that_is_not_there_is_no_fault(sam: Browser, kid: str) -> None:
    for last in ("change/", "revoke/"):
        url = f"{address('signingkey_changelist')}{kid}/{last}"
        assert sam.get(url).status_code in (302, 400, 404)
        assert sam.post(url, {"reason": "x"}).status_code in (302, 400, 403, 404)


# Clients


def client_form(**changed: Any) -> dict[str, Any]:
    """Return what the form for a client posts."""
    return {
        "name": "Chart app",
        "client_id": "chart-app",
        "client_type": "public",
        "owner": "Cardiology",
        "scope": "patient/Observation.rs  patient/Patient.rs",
        "purposes_of_use": ["TREAT"],
        "is_active": "on",
        "ends_at": "2031-01-01T00:00",
    } | changed


def test_a_client_is_added_and_changed_and_the_ledger_has_before_and_after(sam: Browser) -> None:
    assert sam.post(address("client_add"), client_form()).status_code == 302
    client = Client.objects.get(client_id="chart-app")
    assert (client.scope, client.purposes_of_use) == ("patient/Observation.rs patient/Patient.rs", ["TREAT"])
    changed = client_form(owner="Radiology", client_id="other")
    assert sam.post(address("client_change", client.pk), changed).status_code == 302
    client.refresh_from_db()
    assert (client.owner, client.client_id) == ("Radiology", "chart-app")
    assert [entry.actor_label for entry in recorded(EventType.CLIENT_CREATED)][-1:] == ["sam"]
    entry = recorded(EventType.CLIENT_UPDATED)[-1]
    assert entry.changes == {"owner": ["Cardiology", "Radiology"]}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"client_id": "direct"}, "Client with this Client id already exists."),
        ({"client_id": "a b"}, "Enter a valid “slug”"),
        ({"client_id": "a\x00"}, "Null characters are not allowed."),
        ({"scope": "Observation"}, "Each scope looks like patient/Observation.rs."),
        ({"scope": "patient/Observation.rs\x00"}, "Null characters are not allowed."),
        ({"purposes_of_use": ["FUN"]}, "Select a valid choice. FUN is not one of the available choices."),
        ({"client_type": "open"}, "Select a valid choice."),
        ({"ends_at": "soon"}, "Enter a valid date/time."),
        ({"name": ""}, "This field is required."),
    ],
)
def test_what_is_wrong_with_a_client_is_said_at_the_field(
    sam: Browser, changed: dict[str, Any], sentence: str
) -> None:
    answer = sam.post(address("client_add"), client_form(**changed))
    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert not Client.objects.filter(name="Chart app").exists()


def test_the_apis_own_client_and_one_in_use_are_not_deleted(sam: Browser, family: RefreshFamily) -> None:
    used = Client.objects.create(client_id="used", name="Used")
    RefreshFamily.objects.update(client=used)
    direct = Client.objects.get(client_id=Client.DIRECT)
    for client, sentence in ((direct, b"not removed"), (used, b"switch it off")):
        for answer in (
            sam.get(address("client_delete", client.pk), follow=True),
            sam.post(address("client_delete", client.pk), {"post": "yes"}, follow=True),
        ):
            assert answer.redirect_chain == [(address("client_change", client.pk), 302)]
            assert sentence in answer.content
    assert Client.objects.count() == 2
    assert refusals("client.delete") == [("sam", "direct_client")] * 2 + [("sam", "client_in_use")] * 2


def test_no_action_deletes_clients_past_their_page(sam: Browser) -> None:
    direct = Client.objects.get(client_id=Client.DIRECT)
    sam.post(
        address("client_changelist"),
        {"action": "delete_selected", "_selected_action": direct.pk, "post": "y"},
    )
    assert Client.objects.filter(pk=direct.pk).exists()


def test_a_client_nobody_used_is_deleted_and_recorded(sam: Browser) -> None:
    client = Client.objects.create(client_id="unused", name="Unused")
    assert sam.post(address("client_delete", client.pk), {"post": "yes"}).status_code == 302
    assert not Client.objects.filter(client_id="unused").exists()
    assert recorded(EventType.CLIENT_DELETED)[-1].object_repr == "unused"


def test_who_reads_the_ledger_changes_no_client(people: People) -> None:
    ines, direct = signed_in(people.ines), Client.objects.get(client_id=Client.DIRECT)
    assert ines.get(address("client_change", direct.pk)).status_code == 200
    assert ines.post(address("client_change", direct.pk), client_form()).status_code == 403
    assert ines.post(address("client_add"), client_form()).status_code == 403
    assert ines.post(address("client_delete", direct.pk), {"post": "yes"}).status_code == 403


# Refresh families


def test_a_family_is_revoked_with_a_reason_and_its_token_is_refused(sam: Browser, people: People) -> None:
    issued = issuing.sign_in(user=people.okafor, amr="pwd", acr="aal1", now=timezone.now())
    family = RefreshFamily.objects.get()
    url = address("refreshfamily_revoke", family.pk)
    assert b"This field is required." in sam.post(url, {"reason": ""}).content
    assert sam.post(url, {"reason": "Lost phone"}).status_code == 302
    entry = recorded(EventType.REFRESH_FAMILY_REVOKED)[-1]
    assert (entry.actor_label, entry.reason, entry.reason_code) == (
        "sam",
        "Lost phone",
        "revoked_by_administrator",
    )
    assert Browser().post(
        "/api/token/refresh/", {"refresh": issued.refresh}, content_type="application/json"
    ).status_code in (400, 401)
    again = sam.post(url, {"reason": "Lost phone"})
    assert again.status_code == 409
    assert refusals("refresh_families.revoke") == [("sam", "wrong_state")]
    assert len(recorded(EventType.REFRESH_FAMILY_REVOKED)) == 1


def test_who_may_not_revoke_a_family_sees_no_button_and_is_refused(
    people: People, family: RefreshFamily
) -> None:
    ines, page = signed_in(people.ines), address("refreshfamily_change", family.pk)
    assert ines.get(page).context["verbs"] == []
    assert ines.post(address("refreshfamily_revoke", family.pk), {"reason": "x"}).status_code == 403
    family.refresh_from_db()
    assert family.revoked_at is None


def test_the_operation_itself_refuses_who_may_not_revoke_a_family(
    people: People, family: RefreshFamily
) -> None:
    with pytest.raises(Refused):
        refresh_families.revoke(family.pk, reason="x", by=people.ines, now=timezone.now())
    family.refresh_from_db()
    assert family.revoked_at is None


def test_no_page_of_families_shows_a_digest(sam: Browser, family: RefreshFamily) -> None:
    for url in (address("refreshfamily_changelist"), address("refreshfamily_change", family.pk)):
        text = sam.get(url).content.decode()
        assert str(family.pk)[:8] in text
        assert bytes(family.current_digest).hex() not in text
        assert repr(bytes(family.current_digest)) not in text


def test_a_family_is_found_by_exact_username_or_id(
    people: People, sam: Browser, family: RefreshFamily
) -> None:
    issuing.sign_in(user=people.lind, amr="pwd", acr="aal1", now=timezone.now())

    def found(text: str) -> list[RefreshFamily]:
        return list(sam.get(address("refreshfamily_changelist"), {"q": text}).context["cl"].result_list)

    assert found("OKAFOR") == found(str(people.okafor.pk)) == found(str(family.pk)) == [family]
    assert found("okaf") == found("nobody") == []
    assert len(found("")) == 2
    assert sam.get(f"{address('refreshfamily_changelist')}?q=%00").status_code in (200, 400)


def test_a_list_of_families_never_counts_further_than_it_shows(
    people: People, sam: Browser, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    for _ in range(6):
        issuing.sign_in(user=people.okafor, amr="pwd", acr="aal1", now=timezone.now())
    monkeypatch.setattr(paginator, "MOST_ROWS", 4)
    with django_assert_max_num_queries(10) as captured:
        page = sam.get(address("refreshfamily_changelist"))
    assert page.context["cl"].paginator.count == 4
    counts = [
        query["sql"] for query in captured if "COUNT(" in query["sql"] and "refreshfamily" in query["sql"]
    ]
    assert counts
    assert all("LIMIT 4" in sql for sql in counts)


def test_a_family_is_not_edited_by_form_a_superuser_included(people: People, family: RefreshFamily) -> None:
    root = signed_in(make_user("root", is_superuser=True))
    assert root.post(address("refreshfamily_change", family.pk), {"scope": "x"}).status_code == 403
    assert root.post(address("refreshfamily_delete", family.pk), {"post": "yes"}).status_code == 403
