"""Search parameters and pages; whatever is not understood is a 400 and never a wider result."""

import string
import urllib.parse
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples.client import Get
from tests.examples.conftest import BASE_URL
from tests.examples.issuer import Issuer

pytestmark = pytest.mark.embedded

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


@pytest.fixture
def found(get: Get, issuer: Issuer) -> Any:
    token = issuer.mint()

    def search(target: str) -> list[dict[str, Any]]:
        answer = get(target, token=token)
        assert answer.status == 200, answer.resource
        return [entry["resource"] for entry in answer.resource.get("entry", [])]

    return search


def test_the_category_selects(found: Any) -> None:
    everything = found("/Observation?_count=200")
    parts = [found(f"/Observation?_count=200&category={name}") for name in ("laboratory", "vital-signs")]
    assert sum(map(len, parts)) == len(everything)
    assert {each["category"][0]["coding"][0]["code"] for each in parts[0]} == {"laboratory"}


@pytest.mark.parametrize(
    ("value", "matches"),
    [
        (f"{CATEGORY}|laboratory", True), ("laboratory", True), (f"{CATEGORY}|", True), ("x,laboratory", True),
        (f"{CATEGORY}|laborator", False), ("|laboratory", False), ("http://other|laboratory", False),
        ("LABORATORY", False), ("laboratory*", False), ("|", False), (",", False), ("x,", False),
    ],
)  # fmt: skip
def test_a_token_value_means_what_fhir_says(found: Any, value: str, matches: bool) -> None:
    hits = found(f"/Observation?category={urllib.parse.quote(value)}&code=2345-7")
    assert bool(hits) is matches


def test_codes_are_or_and_parameters_are_and(found: Any) -> None:
    glucose, weight = found("/Observation?code=2345-7"), found("/Observation?code=29463-7")
    both = found("/Observation?code=2345-7,29463-7&_count=200")
    assert len(both) == len(glucose) + len(weight)
    assert found("/Observation?code=2345-7&category=vital-signs") == []


def test_sorting_is_by_date_in_both_directions(found: Any) -> None:
    for resource_type, date in (
        ("Observation", lambda each: each["effectiveDateTime"]), ("Condition", lambda each: each["recordedDate"]),
        ("Encounter", lambda each: each["period"]["start"]),
    ):  # fmt: skip
        dates = [date(each) for each in found(f"/{resource_type}?_sort=date&_count=200")]
        assert len(dates) > 1
        assert dates == sorted(dates)
        newest_first = [date(each) for each in found(f"/{resource_type}?_sort=-date&_count=200")]
        assert newest_first == sorted(dates, reverse=True)


@pytest.mark.parametrize("query", ["_count=7", "_count=7&category=vital-signs&_sort=-date", "_count=200", ""])
def test_following_next_shows_each_resource_once(get: Get, issuer: Issuer, query: str) -> None:
    token, seen, target, pages = issuer.mint(), [], f"/Observation?{query}".rstrip("?"), 0
    while target:
        bundle = get(target, token=token).resource
        seen += [entry["resource"]["id"] for entry in bundle["entry"]]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        assert all(url.startswith(f"{BASE_URL}/Observation?") for url in links.values())
        target = links.get("next", "").removeprefix(BASE_URL)
        pages += 1
    assert len(seen) == len(set(seen)) == bundle["total"]
    assert pages == -(
        -bundle["total"] // min(int(dict(urllib.parse.parse_qsl(query)).get("_count", 50)), 200)
    )


def test_a_page_is_bounded_and_may_be_empty(get: Get, issuer: Issuer) -> None:
    token = issuer.mint()
    assert "_count=200" in get("/Observation?_count=100000", token=token).resource["link"][0]["url"]
    for query in ("_count=0", "_offset=999999"):
        bundle = get(f"/Observation?{query}", token=token).resource
        assert bundle["total"] > 0
        assert "entry" not in bundle
        assert [link["relation"] for link in bundle["link"]] == ["self"]


def test_links_and_full_urls_ignore_the_host_header(get: Get, issuer: Issuer) -> None:
    body = get("/Observation?_count=1", token=issuer.mint()).body
    assert b"evil.example" not in body
    assert BASE_URL.encode() in body


REFUSED = [
    "subject=x", "_include=Observation:subject", "_has:x=y", "category:not=laboratory", "_id=x", "date=ge2020",
    "category=", "category", "=x", "&", "category=laboratory&category=vital-signs", "_count=-1", "_count=ten",
    "_count=1e3", "_count=%EF%BC%91", "_count=1234567", "_offset=-1", "_offset=0x1", "_sort=code", "_sort=date,code",
    "_format=xml", "_format=application/fhir%2Bxml", "code=%00", "code=%0d%0aX:1", "code=%ff", "code=%zz", "code=%",
    "code=%C3%28", "code=ä", "code=%E2%80%A8", "&".join(f"a{number}=1" for number in range(21)), "_COUNT=1",
]  # fmt: skip


@pytest.mark.parametrize("query", REFUSED, ids=lambda query: query[:30].encode("unicode_escape").decode())
def test_what_is_not_understood_is_a_400_without_an_echo(get: Get, issuer: Issuer, query: str) -> None:
    answer = get(f"/Observation?{query}", token=issuer.mint())
    assert answer.status == 400
    assert answer.resource["issue"][0]["code"] == "invalid"
    assert b"laboratory" not in answer.body


def test_a_reading_takes_no_search_parameters(get: Get, issuer: Issuer) -> None:
    token = issuer.mint()
    id_ = get("/Condition?_count=1", token=token).resource["entry"][0]["resource"]["id"]
    assert get(f"/Condition/{id_}?_format=json", token=token).status == 200
    assert get(f"/Condition/{id_}?category=x", token=token).status == 400


def test_an_overlong_query_is_a_414(get: Get, issuer: Issuer) -> None:
    assert get(f"/Observation?code={'x' * 5000}", token=issuer.mint()).status == 414


@given(query=st.text(st.sampled_from(string.printable + "é%\x00|"), max_size=60))
@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_query_is_a_500(get: Get, issuer: Issuer, query: str) -> None:
    answer = get(f"/Observation?{query}", token=issuer.mint())
    assert answer.status in {200, 400, 403}
