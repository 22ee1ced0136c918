"""Every address is on the golden list, with who may ask it; what is not public really refuses a stranger."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.urls.resolvers import RoutePattern

GOLDEN = Path(__file__).parent / "golden" / "routes.txt"
# Programs authenticate by token inside the view; each of these answers a stranger with what is public or with 401.
MACHINE = ("api/token/", ".well-known/", "livez", "readyz")
A_UUID = "00000000-0000-4000-8000-000000000000"
VALUES = {"int": "1", "uuid": A_UUID, "str": "x", "slug": "x", "path": "x"}


def routes(patterns: Any = None, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        text = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, text)
        else:
            yield text, pattern


def kind(text: str, pattern: URLPattern) -> str:
    if text.startswith(MACHINE):
        return "machine"
    return "closed" if getattr(pattern.callback, "login_required", True) else "public"


ROUTES = dict(routes())


def address(text: str, pattern: URLPattern) -> str:
    """Return an address that this route matches."""
    for converter in ("int", "uuid", "str", "slug", "path"):
        for part in text.split("<")[1:]:
            inside = part.partition(">")[0]
            if inside.partition(":")[0] == converter or (":" not in inside and converter == "str"):
                text = text.replace(f"<{inside}>", VALUES[converter])
    return "/" + text.replace("^", "").replace("$", "").replace("\\Z", "")


def test_the_routes_are_those_of_the_golden_list() -> None:
    lines = [f"{kind(text, pattern):8}{text}" for text, pattern in sorted(ROUTES.items())]
    assert GOLDEN.read_text().splitlines() == lines


CLOSED = sorted(text for text, pattern in ROUTES.items() if kind(text, pattern) == "closed")


@pytest.mark.django_db
@pytest.mark.parametrize("text", CLOSED)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_closed_route_refuses_a_stranger(text: str, method: str, client: Client) -> None:
    if not isinstance(ROUTES[text].pattern, RoutePattern):
        pytest.skip("a regular expression, which address() does not fill")
    answer = getattr(client, method)(address(text, ROUTES[text]))
    assert answer.status_code in (302, 403), answer.status_code
    if answer.status_code == 302:
        assert answer["Location"].startswith((reverse("account_login"), reverse("admin:login")))


def test_little_is_public() -> None:
    public = [text for text, pattern in ROUTES.items() if kind(text, pattern) == "public"]
    assert not [text for text in public if text.startswith("admin/") and "login" not in text]
    assert CLOSED
