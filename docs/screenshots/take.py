"""Take the README's pictures from a running demonstration: .venv/bin/python docs/screenshots/take.py .local"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
LARGE = {"width": 1280, "height": 860}
TELEPHONE = {"width": 360, "height": 740}


def window(browser: Browser, demo: dict[str, Any], **options: Any) -> Page:
    """Return a new window at the sign-in form."""
    page = browser.new_context(base_url=demo["issuer"], **{"viewport": LARGE, **options}).new_page()
    page.goto("/account/login/")
    return page


def signed_in(browser: Browser, demo: dict[str, Any], username: str) -> Page:
    """Return a window in which this person of the demonstration is signed in."""
    page = window(browser, demo)
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(demo["accounts"][username]["password"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Sign out").wait_for()
    return page


def picture(page: Page, name: str) -> None:
    """Keep what the window shows."""
    page.wait_for_load_state("networkidle")
    page.screenshot(path=HERE / f"{name}.png", animations="disabled", caret="hide")


def main(data_dir: str) -> None:
    """Take all of them."""
    demo = json.loads((Path(data_dir) / "demo-credentials.json").read_text())
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        picture(window(browser, demo), "sign-in")
        picture(window(browser, demo, color_scheme="dark"), "sign-in-dark")
        picture(window(browser, demo, viewport=TELEPHONE), "sign-in-narrow")
        picture(signed_in(browser, demo, "okafor"), "home")
        sam = signed_in(browser, demo, "sam")
        sam.goto("/admin/")
        picture(sam, "admin-home")
        sam.goto("/admin/accounts/patientaccessgrant/?state__exact=requested")
        sam.locator("#result_list tbody th a").first.click()
        picture(sam, "access-grant")
        ines = signed_in(browser, demo, "ines")
        ines.goto("/admin/audit/event/")
        picture(ines, "ledger")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".local")
