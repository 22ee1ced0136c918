"""A whole journey over HTTP, and then a search through everything that it left: no PHI, no password, no token.

Searched are every address (also where a redirect leads), every token's claims, every log line of every logger, every
answer of the API, every error page, and the ledger. Only the pages in NAMES_BELONG_HERE may show a patient's name.
"""

import base64
import datetime
import json
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.operations import access_grants
from audit.models import Event
from tests.people import PASSWORD, PHI, SCOPES, People
from tests.tokens.calls import OBTAIN, PATIENT, REFRESH, REVOKE, VERIFY

pytestmark = pytest.mark.django_db
NAMES_BELONG_HERE = ("/", "/admin/")  # the home, and below the portal
WRONG_PASSWORD = "not the right password at all"
IDENTIFYING = (*PHI, "14 Mar 1958", "2 Nov 1971")


@dataclass
class Journey:
    """What a program and a person send and get, kept to be searched."""

    browser: Client = field(default_factory=lambda: Client(raise_request_exception=False))
    addresses: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def page(self, method: str, address: str, form: dict[str, Any] | None = None, expect: int = 200) -> str:
        """Ask as a browser does; keep the page unless names belong on it."""
        response = getattr(self.browser, method)(address, form or {})
        assert response.status_code == expect, (address, response.status_code)
        self.addresses += [response.request["PATH_INFO"] + "?" + response.request["QUERY_STRING"]]
        self.addresses += [response.get("Location", "")]
        text = b"".join(response) if response.streaming else response.content
        belongs = address == "/" or address.startswith(NAMES_BELONG_HERE[1])
        if not belongs or response.status_code not in (
            200,
            409,
        ):  # 409: the page again, with why it was refused
            self.answers.append(text.decode() + str(response.headers))
        return str(text.decode())

    def call(self, address: str, body: Any, expect: int, bearer: str = "") -> Any:
        """Ask as a program does; keep the answer without its tokens, and the tokens."""
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        raw = body if isinstance(body, str) else json.dumps(body)
        response = Client(raise_request_exception=False).post(
            address, raw, content_type="application/json", headers=headers
        )
        assert response.status_code == expect, (address, response.content)
        self.addresses.append(address)
        answer = response.json()
        issued = [answer.pop(name) for name in ("access", "refresh") if name in answer]
        self.tokens += issued
        self.answers.append(json.dumps(answer) + str(response.headers))
        return issued

    def claims(self) -> list[str]:
        """Return header and payload of every signed token, readable."""
        parts = [part for token in self.tokens if token.count(".") == 2 for part in token.split(".")[:2]]
        return [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode() for part in parts]


def of_a_person(journey: Journey, people: People) -> None:
    """Sign in wrongly and rightly, look, search, err, and work in the portal."""
    login = "/account/login/"
    for name, password in (("okafor", WRONG_PASSWORD), ("Rosa Alvarez", PASSWORD), (PASSWORD, PASSWORD)):
        journey.browser.post(login, {"login": name, "password": password})
    journey.page("post", login, {"login": "okafor", "password": PASSWORD}, expect=302)
    assert "Rosa Alvarez" in journey.page("get", "/")
    for number in ("MRN-000001", "MRN-000002"):
        journey.page("post", "/", {"q": number})
    journey.page("post", "/", {"after": "MRN-000002 Haddad"}, expect=400)
    journey.page("get", "/account/sessions/")
    journey.page("post", "/account/sessions/", {"end": "Amir Haddad"}, expect=400)
    form = {"oldpassword": WRONG_PASSWORD, "password1": "Rosa Alvarez", "password2": "Amir Haddad"}
    journey.page("post", "/account/password/change/", form)
    journey.page("get", "/admin/", expect=403)
    journey.page("get", f"/admin/accounts/patient/{people.rosa.pk}/change/", expect=403)
    journey.page("post", "/account/logout/", expect=302)


def of_the_portal(journey: Journey, people: People) -> None:
    """Ask for access, be refused the approval, find a patient, explain; and read about it all in the ledger."""
    journey.page("post", "/account/login/", {"login": "sam", "password": PASSWORD}, expect=302)
    grants = "/admin/accounts/patientaccessgrant/"
    ends_at = (timezone.now() + datetime.timedelta(days=3)).strftime("%Y-%m-%dT%H:%M")
    asked = {
        "grantee_user": people.lind.pk, "patient": "MRN-000002", "purpose_of_use": "TREAT", "scopes": SCOPES.split(),
        "ends_at": ends_at, "reason": "Second opinion",
    }  # fmt: skip
    journey.page("post", f"{grants}request/", asked, expect=302)
    journey.page("post", f"{grants}request/", asked | {"patient": "MRN-999999 Haddad"})
    waiting = people.amir.access_grants.get()
    journey.page("post", f"{grants}{waiting.pk}/approve/", {"reason": ""}, expect=409)
    for address in (grants, f"{grants}{waiting.pk}/change/", "/admin/accounts/patient/", "/admin/"):
        journey.page("get", address)
    journey.page("get", f"/admin/accounts/patient/{people.rosa.pk}/change/")
    journey.page("post", "/account/logout/", expect=302)
    access_grants.approve(grant=waiting, by=people.vera, now=timezone.now())
    journey.page("post", "/account/login/", {"login": "ines", "password": PASSWORD}, expect=302)
    journey.page("get", "/admin/audit/event/")


def of_a_program(journey: Journey, people: People) -> None:
    """Obtain, refresh, narrow, be refused, send nonsense, revoke."""
    journey.call(OBTAIN, {"username": "okafor", "password": WRONG_PASSWORD}, 401)
    journey.call(OBTAIN, {"username": "Rosa Alvarez", "password": PASSWORD}, 401)
    base, refresh = journey.call(OBTAIN, {"username": "okafor", "password": PASSWORD}, 200)
    base, refresh = journey.call(REFRESH, {"refresh": refresh}, 200)
    wanted = {"patient": str(people.rosa.pk), "purpose_of_use": "TREAT", "scope": "patient/Observation.rs"}
    (token,) = journey.call(PATIENT, wanted, 200, bearer=base)
    journey.call(PATIENT, wanted | {"patient": str(people.amir.pk)}, 403, bearer=base)
    for wrong in ({"patient": "MRN-000002"}, {"scope": "Rosa Alvarez"}, {"purpose_of_use": "Haddad"}):
        journey.call(PATIENT, wanted | wrong, 403 if "patient" in wrong else 400, bearer=base)
    journey.call(PATIENT, wanted, 401, bearer=base[:-4] + "AAAA")
    journey.call(VERIFY, {"token": token}, 200)
    journey.call(VERIFY, {"token": token + "x"}, 401)
    journey.call(OBTAIN, '{"username": "Rosa Alvarez", ' + PASSWORD, 400)
    journey.call(OBTAIN + "?username=x", {"username": "okafor"}, 400)
    journey.call(REVOKE, {"token": refresh}, 200)
    journey.call(REFRESH, {"refresh": refresh}, 401)


def leaks(texts: list[str], secrets: list[str]) -> list[tuple[str, str]]:
    """Return (secret, where it is) for each secret that occurs in a text."""
    return [
        (secret[:24], text[max(0, text.find(secret) - 80) :][:200])
        for text in texts
        for secret in secrets
        if secret in text
    ]


def test_a_whole_journey_leaves_no_phi_no_password_and_no_token(
    people: People, signing_keys: None, caplog: pytest.LogCaptureFixture
) -> None:
    journey = Journey()
    with caplog.at_level(logging.DEBUG):
        for name in set(logging.root.manager.loggerDict) - set(settings.LOGGING["loggers"]):
            logging.getLogger(name).setLevel(logging.DEBUG)
        of_a_person(journey, people)
        of_a_program(journey, people)
        of_the_portal(journey, people)
    lines = [caplog.text]  # with the tracebacks
    ledger = [json.dumps(values, default=str) for values in Event.objects.values()]
    passwords = [PASSWORD, WRONG_PASSWORD]
    assert len(journey.tokens) == 5
    assert len(journey.claims()) == 6
    assert "Forbidden" in caplog.text
    assert len(ledger) > 30

    everywhere = [*journey.addresses, *journey.claims(), *lines, *ledger]
    assert leaks([*everywhere, *journey.answers], [*IDENTIFYING, *passwords]) == []
    assert leaks([*everywhere, *journey.answers], journey.tokens) == []


def test_the_search_finds_what_is_there() -> None:
    assert leaks(["/patients/?q=MRN-000001"], [*IDENTIFYING]) == [("MRN-000001", "/patients/?q=MRN-000001")]
