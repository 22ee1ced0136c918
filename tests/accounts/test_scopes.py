"""SMART resource scopes: what is understood, what fits inside what, and that nothing ever widens."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.access import scopes as smart
from accounts.access.scopes import InvalidScope, Scope, intersect, join, parse, parse_one

TYPES = ("Observation", "Patient", "Condition")
PAIRS = (
    "category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
    "code=8480-6",
    "a=b/c.d?e",
)


def subsets(text: str) -> st.SearchStrategy[str]:
    """Return non-empty subsets of the letters, in their order."""
    return st.sets(st.sampled_from(text), min_size=1).map(
        lambda held: "".join(letter for letter in text if letter in held)
    )


PERMISSIONS = st.one_of(subsets("cruds"), st.sampled_from(["read", "write", "*"]))
TEXTS = st.builds(
    lambda context, kind, permissions, pairs: (
        f"{context}/{kind}.{permissions}" + (f"?{'&'.join(sorted(pairs))}" if pairs else "")
    ),
    st.sampled_from(["patient", "user"]),
    st.sampled_from([*TYPES, "*"]),
    PERMISSIONS,
    st.sets(st.sampled_from(PAIRS), max_size=2),
)
LISTS = st.lists(TEXTS, max_size=5).map(" ".join)
ACTS = st.tuples(
    st.sampled_from(["patient", "user", "system"]),
    st.sampled_from([*TYPES, "Encounter"]),
    st.sampled_from("cruds"),
    st.sets(st.sampled_from(PAIRS)).map(frozenset),
)
Act = tuple[str, str, str, frozenset[str]]


def allows(text: str, act: Act) -> bool:
    """Say naively whether a list of scopes allows one letter on one resource that has these search pairs."""
    context, kind, letter, pairs = act
    return any(
        scope.context == context
        and scope.resource_type in (kind, "*")
        and letter in scope.permissions
        and scope.pairs <= pairs
        for scope in parse(text)
    )


@pytest.mark.parametrize(
    ("text", "context", "kind", "permissions", "pairs"),
    [
        ("patient/Observation.rs", "patient", "Observation", "rs", set()),
        ("user/*.cruds", "user", "*", "cruds", set()),
        ("system/Patient.s", "system", "Patient", "s", set()),
        ("patient/Observation.read", "patient", "Observation", "rs", set()),
        ("patient/Observation.write", "patient", "Observation", "cud", set()),
        ("patient/*.*", "patient", "*", "cruds", set()),
        (f"patient/Observation.rs?{PAIRS[0]}", "patient", "Observation", "rs", {PAIRS[0]}),
        (
            f"patient/Observation.rs?{PAIRS[2]}&{PAIRS[1]}",
            "patient",
            "Observation",
            "rs",
            {PAIRS[1], PAIRS[2]},
        ),
    ],
)
def test_a_scope_is_taken_apart_and_its_text_kept(
    text: str, context: str, kind: str, permissions: str, pairs: set[str]
) -> None:
    scope = parse_one(text)
    assert (scope.context, scope.resource_type, scope.permissions, scope.pairs) == (
        context, kind, permissions, pairs,
    )  # fmt: skip
    assert str(scope) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "patient", "patient/", "patient/Observation", "patient/Observation.", "patient/.rs", "/Observation.rs",
        "Patient/Observation.rs", "clinician/Observation.rs", "patient/observation.rs", "patient/Observation.sr",
        "patient/Observation.dus", "patient/Observation.rrs", "patient/Observation.x", "patient/Observation.RS",
        "patient/Observation.readwrite", "patient/Observation.rs.read", "patient/Observation/1.rs", "patient/**.rs",
        "patient/Observation.rs?", "patient/Observation.rs?category", "patient/Observation.rs?=x",
        "patient/Observation.rs?a=", "patient/Observation.rs?a=b&", "patient/Observation.rs?a=b&&c=d",
        'patient/Observation.rs?a="', "patient/Observation.rs?a=\\", "patient/Observation.rs\n",
        "patient/Observatión.rs",
        "patient/Observation.rs\x00", "patient/Obs\u0065\u0301rvation.rs", "patient/Observation.\uff52\uff53", "openid",
        f"patient/{'A' * 65}.rs", f"patient/Observation.rs?a={'b' * 257}", "patient\\Observation.rs",
        "http://smarthealthit.org/fhir/scopes/patient/Observation.rs",
    ],
)  # fmt: skip
def test_what_is_not_a_resource_scope_is_refused(text: str) -> None:
    with pytest.raises(InvalidScope):
        parse_one(text)


def test_a_list_is_split_at_spaces_alone_and_repeats_are_dropped() -> None:
    scopes = parse("  patient/Observation.read patient/Observation.rs  patient/Patient.r ")
    assert join(scopes) == "patient/Observation.read patient/Patient.r"
    for separator in ("\t", "\n", "\u00a0", ",", "+"):
        with pytest.raises(InvalidScope):
            parse(f"patient/Patient.r{separator}patient/Observation.r")
    assert parse("") == ()


def test_a_list_is_bounded() -> None:
    with pytest.raises(InvalidScope):
        parse(" ".join(f"patient/Observation.r?code={'1' * 200}{i}" for i in range(30)))
    with pytest.raises(InvalidScope):
        parse(" ".join(f"patient/*.r?a={i}" for i in range(smart.MAX_SCOPES + 1)))


def test_the_widest_request_is_met_with_the_widest_ceiling_without_burning_time() -> None:
    wanted = parse(" ".join(f"patient/*.r?a={i}" for i in range(smart.MAX_SCOPES)))
    ceiling = parse(" ".join(f"patient/{kind}.rs" for kind in smart.RESOURCE_NAMES if kind != "*"))
    began = time.process_time()
    assert len(intersect(wanted, ceiling)) == len(wanted) * len(ceiling)
    assert time.process_time() - began < 1  # a tenth of it, when nothing else runs


@pytest.mark.parametrize(
    ("inner", "outer", "fits"),
    [
        ("patient/Observation.r", "patient/Observation.rs", True),
        ("patient/Observation.rs", "patient/Observation.r", False),
        ("patient/Observation.rs", "patient/*.cruds", True),
        ("patient/*.rs", "patient/Observation.rs", False),
        ("patient/Observation.rs", "user/Observation.rs", False),
        ("user/Observation.rs", "patient/Observation.rs", False),
        ("patient/Observation.rs", "system/*.cruds", False),
        ("patient/Observation.rs?code=8480-6", "patient/Observation.rs", True),
        ("patient/Observation.rs", "patient/Observation.rs?code=8480-6", False),
        ("patient/Observation.rs?a=1&b=2", "patient/Observation.rs?b=2", True),
        ("patient/Observation.read", "patient/Observation.rs", True),
    ],
)
def test_containment(inner: str, outer: str, fits: bool) -> None:
    assert parse_one(inner).fits_inside(parse_one(outer)) is fits


@pytest.mark.parametrize(
    ("requested", "ceiling", "granted"),
    [
        ("patient/Observation.rs", "patient/Observation.rs", "patient/Observation.rs"),
        ("patient/Observation.read", "patient/*.rs", "patient/Observation.read"),
        ("patient/Observation.cruds", "patient/Observation.rs", "patient/Observation.rs"),
        ("patient/*.rs", "patient/Patient.rs patient/Condition.r", "patient/Patient.rs patient/Condition.r"),
        ("patient/Observation.crs", "patient/Observation.rs patient/Observation.c",
         "patient/Observation.rs patient/Observation.c"),
        ("patient/Observation.rs", "patient/Observation.rs?a=1 patient/Observation.rs?a=2",
         "patient/Observation.rs?a=1 patient/Observation.rs?a=2"),
        ("patient/*.rs patient/Observation.rs", "patient/*.rs", "patient/*.rs"),
        ("patient/Observation.rs", "user/Observation.rs", ""),
        ("patient/Observation.c", "patient/Observation.rs", ""),
        ("", "patient/*.cruds", ""),
        ("patient/*.cruds", "", ""),
    ],
)  # fmt: skip
def test_a_request_is_narrowed_to_the_ceiling(requested: str, ceiling: str, granted: str) -> None:
    assert join(intersect(parse(requested), parse(ceiling))) == granted


@given(LISTS, LISTS)
def test_every_granted_scope_fits_inside_the_request_and_inside_the_ceiling(
    requested: str, ceiling: str
) -> None:
    wanted, allowed = parse(requested), parse(ceiling)
    for scope in intersect(wanted, allowed):
        assert any(scope.fits_inside(other) for other in wanted)
        assert any(scope.fits_inside(other) for other in allowed)


@given(LISTS, LISTS, ACTS)
def test_an_act_is_allowed_exactly_when_request_and_ceiling_both_allow_it(
    requested: str, ceiling: str, act: Act
) -> None:
    granted = join(intersect(parse(requested), parse(ceiling)))
    assert allows(granted, act) == (allows(requested, act) and allows(ceiling, act))


@given(LISTS, LISTS)
def test_narrowing_again_changes_nothing(requested: str, ceiling: str) -> None:
    allowed = parse(ceiling)
    once = intersect(parse(requested), allowed)
    assert parse(join(once)) == parse(join(intersect(parse(join(once)), allowed)))


@given(TEXTS)
def test_the_canonical_spelling_means_the_same(text: str) -> None:
    scope = parse_one(text)
    assert scope.same_meaning(parse_one(scope.canonical()))
    assert not scope.same_meaning(Scope("system", scope.resource_type, scope.permissions, scope.pairs))


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_and_nothing_else_happens(text: str) -> None:
    try:
        scopes = parse(text)
    except InvalidScope:
        return
    assert all(scope.permissions and set(scope.permissions) <= set("cruds") for scope in scopes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("patient/Observation.rs", "read observations (vital signs, laboratory)"),
        ("patient/*.cruds", "read, create, change, delete all record types"),
        (
            f"patient/Observation.rs?{PAIRS[0]}",
            "read observations (vital signs, laboratory), only laboratory",
        ),
    ],
)
def test_a_scope_is_told_in_plain_language(text: str, sentence: str) -> None:
    assert smart.in_plain_language(parse_one(text)) == sentence
