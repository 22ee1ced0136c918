"""Every answer carries its headers, knows its client, and no address, header or method makes a server error."""

import re

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from audit.events import EventType
from audit.models import Event
from tests.accounts.portal import signed_in
from tests.people import PASSWORD, People
from tokens import key_ring

pytestmark = pytest.mark.django_db
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
SSL = override_settings(
    SECURE_SSL_REDIRECT=True,
    SECURE_HSTS_SECONDS=63072000,
    SECURE_HSTS_PRELOAD=True,
    SECURE_HSTS_INCLUDE_SUBDOMAINS=True,
)


def browser() -> Client:
    return Client(raise_request_exception=False)


def recorded_address(**headers: str) -> str | None:
    """Fail to sign in with these request headers and return the address that the ledger names."""
    client = Client(raise_request_exception=False, **headers)  # type: ignore[arg-type]
    client.post("/account/login/", {"login": "okafor", "password": "wrong"})
    entry = Event.objects.filter(event=EventType.SIGN_IN_FAILED).first()
    return entry.remote_addr if entry else "nothing recorded"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 302), ("/account/login/", 200), ("/account/nothing/", 404), ("/nothing", 404), ("/admin/", 302),
        ("/api/token/", 405), ("/api/schema/", 200), ("/api/docs/", 200), ("/.well-known/jwks.json", 200),
        ("/livez", 200), ("/api/nothing", 404), ("/static/nothing.css", 404),
    ],
)  # fmt: skip
def test_every_answer_has_the_security_headers(path: str, status: int, signing_keys: None) -> None:
    response = browser().get(path)
    assert response.status_code == status
    assert {name: response[name] for name in HEADERS} == HEADERS
    assert re.fullmatch(r"[0-9a-f-]{36}", response["X-Request-Id"])
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "camera=()" in response["Permissions-Policy"]
    assert "Strict-Transport-Security" not in response


@pytest.mark.parametrize("host", ["evil.example", "a b", "testserver:x", "testserver@evil.example", "é", ""])
@SSL
def test_a_wrong_host_gets_the_headers_and_our_page(host: str) -> None:
    for secure in (False, True):
        response = browser().get("/account/login/", secure=secure, headers={"host": host})
        assert response.status_code == 400
        assert "That request could not be read" in response.content.decode()
        assert not host or host not in response.content.decode()
        assert {name: response[name] for name in HEADERS} == HEADERS
        assert "default-src 'none'" in response["Content-Security-Policy"]


@SSL
def test_https_is_demanded_and_remembered() -> None:
    assert browser().get("/account/login/")["Location"] == "https://testserver/account/login/"
    assert browser().get("/livez").status_code == 200
    hsts = browser().get("/account/login/", secure=True)["Strict-Transport-Security"]
    assert hsts == "max-age=63072000; includeSubDomains; preload"


@pytest.mark.parametrize("path", ["/", "/account/sessions/", "/account/password/change/", "/admin/"])
def test_no_cache_keeps_a_signed_in_page(path: str, people: People) -> None:
    client = signed_in(people.sam)
    client.raise_request_exception = False
    assert "no-store" in client.get(path)["Cache-Control"]
    assert "private" in client.get(path)["Cache-Control"]


@override_settings(WHITENOISE_USE_FINDERS=True, WHITENOISE_AUTOREFRESH=True)
def test_caches_keep_what_is_public(signing_keys: None) -> None:
    style = browser().get("/static/css/wardkey.css")
    assert style.status_code == 200
    assert "max-age" in style["Cache-Control"]
    assert style["X-Content-Type-Options"] == "nosniff"
    assert "public" in browser().get("/.well-known/jwks.json")["Cache-Control"]


def test_a_forwarded_address_is_not_believed_without_a_proxy(people: People) -> None:
    assert recorded_address(HTTP_X_FORWARDED_FOR="198.51.100.7") == "127.0.0.1"


@pytest.mark.parametrize(
    ("count", "forwarded", "address"),
    [
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        (2, "203.0.113.9, 198.51.100.7, 192.0.2.1", "198.51.100.7"),
        (2, "198.51.100.7", "127.0.0.1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "fe80::1%eth0", "fe80::1"),
        (1, "198.51.100.7:52011", "198.51.100.7"),
        (1, "[2001:db8::1]:52011", "2001:db8::1"),
    ],
)
def test_the_address_is_what_the_own_proxies_appended(
    count: int, forwarded: str, address: str, people: People
) -> None:
    with override_settings(WARDKEY_TRUSTED_PROXY_COUNT=count, ALLAUTH_TRUSTED_PROXY_COUNT=count):
        assert recorded_address(HTTP_X_FORWARDED_FOR=forwarded) == address


@pytest.mark.parametrize(
    "forwarded",
    ["", ",", "nonsense", "1.2.3.4.5", "127.0.0.1:80", "\x00", "é", "'; DROP TABLE", "9" * 9000, "::1%\x00"],
)
def test_garbage_for_an_address_is_no_server_error(forwarded: str, people: People) -> None:
    with override_settings(WARDKEY_TRUSTED_PROXY_COUNT=1, ALLAUTH_TRUSTED_PROXY_COUNT=1):
        client = Client(raise_request_exception=False, HTTP_X_FORWARDED_FOR=forwarded)
        form = {"login": "okafor", "password": PASSWORD}
        assert client.post("/account/login/", form).status_code in (302, 403)
        assert client.get("/").status_code < 500


@pytest.mark.parametrize(
    "agent", ["", "\x00", "x" * 9000, "\x1b[31m", "é\u202e", "<script>alert(1)</script>", "\n\r"]
)
def test_garbage_for_a_browser_is_no_server_error(agent: str, people: People) -> None:
    client = Client(raise_request_exception=False, HTTP_USER_AGENT=agent)
    assert client.post("/account/login/", {"login": "okafor", "password": PASSWORD}).status_code == 302
    for path in ("/", "/account/sessions/"):
        response = client.get(path)
        assert response.status_code == 200
        assert "<script>alert" not in response.content.decode()
    kept = Event.objects.filter(event=EventType.SIGN_IN).latest().user_agent
    assert len(kept) <= 200
    assert kept.isprintable()


@pytest.mark.parametrize(
    "path",
    [
        "/%00", "/%FF%FE", "/account/login/%00", "/account/login/?next=%00", "/?q=%00", "/?%00=1", "/?q=%FF",
        "/" + "a" * 9000, "/account/login/?" + "a=1&" * 2000, "//evil.example/", "/..%2f..%2fetc/passwd",
        "/static/%00", "/static/..%2f..%2fmanage.py", "/static/../manage.py", "/static/%FF", "/%E2%80%AE",
        "/admin/accounts/user/%00/change/", "/admin/accounts/user/x/change/", "/admin/accounts/user/?q=%00",
        "/admin/accounts/user/?state__exact=%00", "/admin/accounts/user/?e=1&p=-5", "/admin/accounts/user/?o=999.x",
        "/admin/accounts/user/?password__startswith=a", "/admin/accounts/patient/?_to_field=record_number",
        "/admin/accounts/patientaccessgrant/?state__exact=%FF", "/admin/%FF/", "/admin/jsi18n/?x=%00",
        "/admin/r/999/x/", "/admin/r/x/%00/",
        "/api/schema/?format=%00", "/api/schema/?format=xml", "/api/schema/?lang=x", "/api/docs/?x=%FF",
        "/api/schema/?version=%0A", "/api/docs/?version=%0A", "/api/docs/?script=&version=%0A",
    ],
)  # fmt: skip
def test_no_address_is_a_server_error(path: str, people: People) -> None:
    signed = signed_in(people.sam)
    signed.raise_request_exception = False
    for client in (browser(), signed):
        for method in ("get", "head", "post"):
            response = getattr(client, method)(path)
            assert response.status_code < 500, (method, path)


@pytest.mark.parametrize(
    "cookie", ['"\\000aaaaaaaaaaaa"', '"aaaaaaaaaaaa\\000"', "a" * 5000, "../../etc", "\xe9" * 20]
)
def test_no_session_cookie_is_a_server_error(cookie: str, people: People) -> None:
    client = Client(
        raise_request_exception=False, HTTP_COOKIE=f"wardkey-session={cookie}; wardkey-csrf={cookie}"
    )
    for path in ("/", "/account/login/", "/admin/", "/api/docs/"):
        for method in (client.get, client.post):
            assert method(path).status_code < 500, path


@pytest.mark.parametrize(
    "method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW", "get"]
)
@pytest.mark.parametrize(
    "path", ["/", "/account/login/", "/admin/", "/api/schema/", "/livez", "/static/css/wardkey.css"]
)
def test_no_method_is_a_server_error(method: str, path: str, people: People) -> None:
    for client in (browser(), signed_in(people.okafor)):
        client.raise_request_exception = False
        assert client.generic(method, path).status_code < 500


@pytest.mark.parametrize(
    "path",
    [
        "/admin/accounts/user/", "/admin/accounts/patient/", "/admin/accounts/careteam/", "/admin/tokens/client/",
        "/admin/accounts/user/add/", "/admin/accounts/patient/add/", "/admin/accounts/careteam/add/",
        "/admin/accounts/role/add/", "/admin/accounts/patientaccessgrant/request/", "/admin/accounts/explain/",
        "/admin/tokens/client/add/",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "value", ["\x00", "x", "-1", "9" * 40, "\ufffd", "[]", "2026-13-45T99:99", "é" * 3000]
)
def test_no_form_of_the_portal_is_a_server_error(path: str, value: str, people: People) -> None:
    client = signed_in(people.sam)
    client.raise_request_exception = False
    page = client.get(path).content.decode()
    named = {*re.findall(r'<(?:input|select|textarea)[^>]* name="([^"]+)"', page)} - {"csrfmiddlewaretoken"}
    form = dict.fromkeys(named, value) | {"_selected_action": value, "action": "delete_selected"}
    assert client.post(path, form).status_code < 500


def test_the_policy_of_the_settings_is_the_policy_of_the_page() -> None:
    assert settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]["script-src"] == ["'self'"]
    assert "script-src 'self'" in browser().get("/account/login/")["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/api/token/verify/", "/.well-known/jwks.json", "/livez"])
def test_a_program_has_no_session_even_if_it_brings_one(
    path: str, people: People, signing_keys: None
) -> None:
    client = signed_in(people.sam)
    key_ring.current()
    with CaptureQueriesContext(connection) as captured:
        answer = client.post(path, "{}", "application/json") if "verify" in path else client.get(path)
    assert not [query["sql"] for query in captured.captured_queries if "django_session" in query["sql"]]
    assert "Cookie" not in answer.get("Vary", "")
    assert not answer.cookies
    assert [entry.actor_label for entry in Event.objects.filter(event=EventType.TOKEN_REFUSED)] in ([], [""])
