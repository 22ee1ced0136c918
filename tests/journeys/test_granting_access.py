"""The main story in a browser: access is asked for, approved, seen by the clinician, and in the ledger."""

import datetime

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import Opens
from tests.people import PASSWORD, People

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def sign_in(page: Page, username: str, *, to: str = "/") -> Page:
    """Sign in by the form, as a person does."""
    page.goto(to)
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    return page


def choose(page: Page, label: str, typed: str, option: str) -> None:
    """Pick from one of the portal's searching fields."""
    box = page.get_by_role("combobox", name=label).and_(page.locator("span"))  # not the select that it covers
    box.click()
    page.get_by_role("searchbox").fill(typed)
    page.get_by_role("option", name=option).click()


def test_from_the_request_to_the_ledger(opens: Opens, people: People) -> None:
    lind = sign_in(opens(), "lind")
    expect(lind.get_by_role("heading", name="No patient is open to you yet")).to_be_visible()

    sam = sign_in(opens(), "sam", to="/admin/accounts/patientaccessgrant/")
    sam.get_by_role("link", name="Request access").click()
    choose(sam, "Person who gets access", "lind", "lind")
    sam.get_by_label("Patient", exact=True).fill("MRN-000002")
    sam.get_by_label("Reason").fill("Consult on the night round")
    sam.get_by_role("button", name="Request access").click()
    expect(sam.get_by_text("The request waits for another administrator.")).to_be_visible()
    sam.get_by_role("link", name="Approve").click()
    sam.get_by_role("button", name="Approve").click()
    expect(sam.get_by_role("alert")).to_be_visible()  # nobody approves a request of their own

    vera = sign_in(opens(), "vera", to="/admin/")
    vera.goto(sam.url.replace("approve/", "change/"))
    vera.get_by_role("link", name="Approve").click()
    vera.get_by_role("button", name="Approve").click()
    expect(vera.get_by_text("Access is approved.")).to_be_visible()

    lind.reload()
    expect(lind.get_by_role("heading", name="Amir Haddad")).to_be_visible()
    expect(lind.get_by_text("Access grant, approved by Vera Nowak")).to_be_visible()
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30)
    expect(lind.get_by_text(f"Until {end.day} {end:%b %Y}")).to_be_visible()
    expect(lind.get_by_text("Rosa Alvarez")).to_have_count(0)

    ines = sign_in(opens(), "ines", to="/admin/audit/event/")
    table = ines.get_by_role("table")
    for line, actor in (
        ("Access requested", "sam"),
        ("Change refused", "sam"),
        ("Access approved", "vera"),
        ("Patients searched", "lind"),
    ):
        row = table.get_by_role("row").filter(has=ines.get_by_role("link", name=line)).filter(has_text=actor)
        expect(row.first).to_be_visible()
    expect(table).not_to_contain_text("Haddad")


def test_signing_in_and_searching_by_keyboard_alone(opens: Opens, people: People) -> None:
    page = opens()
    page.goto("/")
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type("okafor")
    page.keyboard.press("Tab")
    if page.get_by_role("button", name="Show password").evaluate(
        "button => button === document.activeElement"
    ):
        page.keyboard.press("Tab")
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Patients you may see")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("searchbox", name="Record number")).to_be_focused()
    page.keyboard.type("MRN-000001")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Rosa Alvarez")).to_be_visible()
    assert page.url.endswith("/")
    page.get_by_role("searchbox", name="Record number").press("ControlOrMeta+a")
    page.keyboard.type("MRN-000002")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="None of your patients has this record number")).to_be_visible()


def test_a_refused_sign_in_is_told_to_a_screen_reader(opens: Opens, people: People) -> None:
    page = opens()
    page.goto("/account/login/")
    page.get_by_label("Username").fill("okafor")
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not correct")
    expect(page.get_by_label("Password", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Password", exact=True)).to_have_value("")
    page.get_by_role("button", name="Show password").click()
    expect(page.get_by_label("Password", exact=True)).to_have_attribute("type", "text")


def test_a_session_elsewhere_is_ended(opens: Opens, people: People) -> None:
    here, elsewhere = sign_in(opens(), "okafor"), sign_in(opens(), "okafor")
    here.get_by_role("link", name="Sessions on other devices").click()
    here.get_by_role("button", name="End all other sessions").click()
    expect(here.get_by_role("status")).to_contain_text("1 session ended.")
    elsewhere.reload()
    expect(elsewhere.get_by_role("heading", name="Sign in")).to_be_visible()
