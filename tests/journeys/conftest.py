"""A browser for a journey: it fails the test when a page breaks the Content-Security-Policy or logs an error."""

from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, Response

from accounts.models import User

Opens = Callable[..., Page]
REFUSED = (400, 403, 404, 409, 429)
VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`violates ${event.violatedDirective}: ${event.blockedURI}`));
"""


class Complaints(list[str]):
    """What the browser complained about, each with the page's address."""

    def watch(self, context: BrowserContext) -> None:
        """Listen to every page of the context; a page that answers 404 by design is no complaint."""
        context.add_init_script(VIOLATIONS)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.append(f"{error.page and error.page.url}: {error.error}"))
        context.on("response", self._response)

    def _console(self, message: object) -> None:
        text, kind = getattr(message, "text", ""), getattr(message, "type", "")
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.append(f"{getattr(message, 'location', {}).get('url', '')}: {text}")

    def _response(self, response: Response) -> None:
        is_page = response.request.is_navigation_request()
        if response.status >= 500 or (
            response.status >= 400 and not (is_page and response.status in REFUSED)
        ):
            self.append(f"{response.url}: {response.status}")


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """What any page of this test complained about; it must be nothing."""
    found = Complaints()
    yield found
    assert found == []


@pytest.fixture
def opens(chromium: Browser, live_server: object, complaints: Complaints) -> Iterator[Opens]:
    """Open a browser window of its own; `opens(user)` is signed in already."""
    contexts: list[BrowserContext] = []

    def window(user: User | None = None, *, width: int = 1280, scheme: str = "light") -> Page:
        context = chromium.new_context(
            base_url=str(live_server),
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": width, "height": 900},
        )
        contexts.append(context)
        complaints.watch(context)
        context.set_default_timeout(10_000)
        if user is not None:
            client = Client()
            client.force_login(user)
            name = settings.SESSION_COOKIE_NAME
            context.add_cookies(
                [{"name": name, "value": client.cookies[name].value, "url": str(live_server)}]
            )
        return context.new_page()

    yield window
    for context in contexts:
        context.close()
