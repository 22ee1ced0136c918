"""What a scope opens, in both versions of SMART's grammar; what is not understood opens nothing."""

import pytest

from examples.fhir_server.scopes import allowance, parse
from tests.examples.client import Get
from tests.examples.issuer import ROSA, Issuer

pytestmark = pytest.mark.embedded

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
LABORATORY = f"patient/Observation.rs?category={CATEGORY}|laboratory"


@pytest.mark.parametrize(
    ("scope", "interactions"),
    [
        ("patient/Observation.rs", "rs"), ("patient/Observation.r", "r"), ("patient/Observation.s", "s"),
        ("patient/Observation.cruds", "rs"), ("patient/*.rs", "rs"), ("patient/*.r", "r"),
        ("patient/Observation.read", "rs"), ("patient/*.read", "rs"), ("patient/Observation.*", "rs"),
        ("patient/*.*", "rs"), ("patient/Observation.r patient/Observation.s", "rs"),
        ("openid patient/Observation.rs", "rs"),
        ("", ""), ("patient/Observation.cud", ""), ("patient/Observation.write", ""), ("patient/Patient.rs", ""),
        ("user/Observation.rs", ""), ("system/*.rs", ""), ("patient/Observation.sr", ""),
        ("patient/Observation.rrs", ""), ("patient/Observation.", ""), ("patient/Observation", ""),
        ("Patient/Observation.rs", ""), ("patient/observation.rs", ""), ("patient/Observation.RS", ""),
        ("patient/Obs*.rs", ""), ("patient/Observation.rs?", ""), ("patient/Observation.rs?category", ""),
        ("patient/Observation.rs?category=", ""), ("patient/Observation.rs?subject=x", ""),
        ("patient/Observation.rs?category=a%2Cb", ""), ("patient/*.rs?_id=1", ""),
    ],
)  # fmt: skip
def test_a_scope_opens_exactly_these_interactions(scope: str, interactions: str) -> None:
    assert "".join(letter for letter in "rs" if allowance(scope, "Observation", letter)) == interactions


def test_a_scope_is_taken_apart_at_the_question_mark_first() -> None:
    parsed = parse(LABORATORY)
    assert parsed is not None
    assert (parsed.resource_type, parsed.permissions) == ("Observation", "rs")
    assert parsed.pairs == (("category", f"{CATEGORY}|laboratory"),)


def ids(get: Get, token: str, target: str = "/Observation?_count=200") -> set[str]:
    answer = get(target, token=token)
    assert answer.status == 200
    return {entry["resource"]["id"] for entry in answer.resource.get("entry", [])}


def test_a_granular_scope_shows_its_category_in_search_and_read(get: Get, issuer: Issuer) -> None:
    everything, laboratory = issuer.mint(scope="patient/Observation.rs"), issuer.mint(scope=LABORATORY)
    seen = ids(get, laboratory)
    assert seen == ids(get, everything, f"/Observation?_count=200&category={CATEGORY}%7Claboratory")
    hidden = next(iter(ids(get, everything) - seen))
    assert get(f"/Observation/{hidden}", token=everything).status == 200
    assert get(f"/Observation/{next(iter(seen))}", token=laboratory).status == 200
    refused = get(f"/Observation/{hidden}", token=laboratory)
    assert refused.status == 404
    assert refused.same_as(get("/Observation/no-such-thing", token=laboratory))


def test_a_search_cannot_widen_a_granular_scope(get: Get, issuer: Issuer) -> None:
    assert ids(get, issuer.mint(scope=LABORATORY), "/Observation?category=vital-signs") == set()


def test_two_granular_scopes_add_up(get: Get, issuer: Issuer) -> None:
    both = issuer.mint(scope=f"{LABORATORY} {LABORATORY.replace('laboratory', 'vital-signs')}")
    assert ids(get, both) == ids(get, issuer.mint(scope="patient/Observation.rs"))


@pytest.mark.parametrize("target", ["/Observation", "/Observation/x", "/Patient", f"/Patient/{ROSA}"])
def test_without_the_scope_the_answer_names_the_one_that_would_do(
    get: Get, issuer: Issuer, target: str
) -> None:
    answer = get(target, token=issuer.mint(scope="patient/Condition.rs"))
    needed = f"patient/{target.split('/')[1]}.{'r' if target.count('/') == 2 else 's'}"
    assert answer.status == 403
    assert answer.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{needed}"'


def test_reading_does_not_include_searching(get: Get, issuer: Issuer) -> None:
    token = issuer.mint(scope="patient/Patient.r")
    assert get(f"/Patient/{ROSA}", token=token).status == 200
    assert get("/Patient", token=token).status == 403
