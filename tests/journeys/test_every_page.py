"""Every page that a person can come to, in a real browser: no violation of the policy, no error, no sideways scroll."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.urls import Resolver404, resolve
from django.utils import timezone
from playwright.sync_api import Page

from accounts.models import User
from accounts.operations import access_grants
from tests.journeys.conftest import Opens
from tests.people import DAY, SCOPES, People

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
ANONYMOUS = ("/account/login/", "/account/signup/", "/account/inactive/", "/nothing", "/api/docs/")
OWN = (
    "/",
    "/account/sessions/",
    "/account/password/change/",
    "/account/reauthenticate/",
    "/account/logout/",
)
ENOUGH = 80
HAS_SIDEWAYS_SCROLL = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


def look(page: Page, path: str) -> None:
    """Open a page in the light, look at it in the dark and on a telephone."""
    page.goto(path)
    assert page.title()
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 800})
    assert not page.evaluate(HAS_SIDEWAYS_SCROLL), f"{path} is wider than a telephone"
    page.set_viewport_size({"width": 1280, "height": 900})
    page.emulate_media(color_scheme="light")


def paths_on(page: Page) -> Iterator[str]:
    """Yield the addresses on this origin that the page links to."""
    origin = urlsplit(page.url)
    for href in page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)"):
        address = urlsplit(href)
        if address.netloc == origin.netloc and not address.path.startswith("/static/"):
            yield address.path + (f"?{address.query}" if address.query else "")


def view_of(path: str) -> str:
    try:
        return resolve(urlsplit(path).path).view_name or path
    except Resolver404:
        return path


def crawl(page: Page, start: str) -> set[str]:
    """Open one address of each view that can be reached by links, and return the views' names."""
    seen, waiting = {view_of(start)}, [start]
    while waiting and len(seen) < ENOUGH:
        look(page, waiting.pop(0))
        for path in paths_on(page):
            if (view := view_of(path)) not in seen and view not in {"schema", "admin:logout"}:
                seen.add(view)
                waiting.append(path)
    return seen


@pytest.mark.parametrize("path", ANONYMOUS)
def test_a_page_for_everybody(path: str, opens: Opens) -> None:
    look(opens(), path)


def test_the_pages_of_a_clinician(opens: Opens, people: People) -> None:
    page = opens(people.okafor)
    for path in OWN:
        look(page, path)
    page.goto("/admin/")
    assert page.get_by_role("heading", name="This is not open to you").is_visible()


def test_the_description_of_the_api_unfolds(opens: Opens) -> None:
    page = opens()
    page.goto("/api/docs/")
    page.get_by_role("button", name="POST /api/token/patient/", exact=True).click()
    page.get_by_text("purpose_of_use").first.wait_for()


@pytest.mark.parametrize(
    ("name", "views"),
    [
        (
            "sam",
            {"admin:index", "explain_access", "admin:accounts_user_changelist", "admin:accounts_user_change"},
        ),
        ("ines", {"admin:index", "admin:audit_event_changelist"}),
    ],
)
def test_the_pages_of_the_portal(
    name: str, views: set[str], opens: Opens, people: People, signing_keys: None
) -> None:
    user: User = getattr(people, name)
    now = timezone.now()
    access_grants.request(
        patient=people.amir,
        grantee_user=people.lind,
        scopes=SCOPES,
        ends_at=now + DAY,
        reason="x",
        by=people.vera,
        now=now,
    )
    seen = crawl(opens(user), "/admin/")
    assert views <= seen
    assert len(seen) < ENOUGH
