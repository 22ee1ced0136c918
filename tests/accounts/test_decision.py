"""decide(): each layer, their order, and that nothing is ever granted that nobody gave."""

import datetime
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.access.decision import (
    AccessGrantTie,
    Account,
    CareTeamTie,
    ClientPolicy,
    Decision,
    Facts,
    Outcome,
    Question,
    Reason,
    RoleInForce,
    decide,
    earliest,
)
from accounts.access.scopes import Scope, join, parse
from accounts.purposes import PURPOSES_OF_USE, TREATMENT_PURPOSES

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
ACTIVE = Account("active")
CLINICIAN = RoleInForce("clinician", 3, parse("patient/*.rs"), frozenset({"TREAT", "ETREAT"}))
TEAM = CareTeamTie("team-1")
GRANT = AccessGrantTie("grant-1", parse("patient/*.rs"), "TREAT", NOW + 60 * MINUTE)
BY_TEAM = Facts(ACTIVE, True, roles=(CLINICIAN,), care_teams=(TEAM,))
BY_GRANT = Facts(ACTIVE, True, roles=(CLINICIAN,), access_grants=(GRANT,))


def ask(facts: Facts, scope: str = "patient/Observation.rs", purpose: str = "TREAT") -> Decision:
    return decide(Question(purpose, parse(scope)), facts, NOW)


def test_nothing_known_is_refused() -> None:
    answer = ask(Facts(None, False))
    assert (answer.allowed, answer.basis, answer.scopes, answer.until) == (False, "", (), None)
    assert answer.reason == Reason.ACCOUNT_UNKNOWN


@pytest.mark.parametrize(
    ("facts", "layer", "reason"),
    [
        (replace(BY_TEAM, account=None), "account", Reason.ACCOUNT_UNKNOWN),
        (replace(BY_TEAM, account=Account("pending")), "account", Reason.ACCOUNT_NOT_ACTIVE),
        (replace(BY_TEAM, account=Account("suspended")), "account", Reason.ACCOUNT_NOT_ACTIVE),
        (replace(BY_TEAM, account=Account("ended")), "account", Reason.ACCOUNT_NOT_ACTIVE),
        (replace(BY_TEAM, account=Account("active", NOW)), "account", Reason.ACCOUNT_ENDED),
        (replace(BY_TEAM, client=ClientPolicy(active=False)), "client", Reason.CLIENT_NOT_ACTIVE),
        (replace(BY_TEAM, client=ClientPolicy(purposes=frozenset({"HPAYMT"}))), "client", Reason.CLIENT_PURPOSE),
        (replace(BY_TEAM, client=ClientPolicy(purposes=frozenset())), "client", Reason.CLIENT_PURPOSE),
        (replace(BY_TEAM, client=ClientPolicy(scopes=parse("patient/Patient.rs"))), "client", Reason.CLIENT_SCOPE),
        (replace(BY_TEAM, client=ClientPolicy(scopes=())), "client", Reason.CLIENT_SCOPE),
        (replace(BY_TEAM, roles=()), "role", Reason.NO_ROLE_FOR_PURPOSE),
        (replace(BY_TEAM, roles=(replace(CLINICIAN, purposes=frozenset({"HPAYMT"})),)), "role",
         Reason.NO_ROLE_FOR_PURPOSE),
        (replace(BY_TEAM, roles=(replace(CLINICIAN, ceiling=parse("patient/Patient.rs")),)), "role",
         Reason.BEYOND_ROLE),
        (replace(BY_TEAM, roles=(replace(CLINICIAN, ceiling=()),)), "role", Reason.BEYOND_ROLE),
        (replace(BY_TEAM, patient_exists=False), "patient", Reason.PATIENT_UNKNOWN),
        (replace(BY_TEAM, care_teams=()), "end", Reason.NO_RELATIONSHIP),
        (replace(BY_GRANT, access_grants=(replace(GRANT, purpose="HPAYMT"),)), "end", Reason.NO_RELATIONSHIP),
        (replace(BY_GRANT, access_grants=(replace(GRANT, scopes=parse("patient/Patient.rs")),)), "access grant",
         Reason.ACCESS_GRANT_SCOPE),
    ],
)  # fmt: skip
def test_each_layer_refuses_and_says_why(facts: Facts, layer: str, reason: Reason) -> None:
    answer = ask(facts)
    assert (answer.allowed, answer.basis, answer.scopes, answer.until) == (False, "", (), None)
    assert (answer.steps[-1].layer, answer.steps[-1].outcome, answer.reason) == (
        layer,
        Outcome.DENIED,
        reason,
    )


def test_layers_are_asked_in_order_and_the_first_refusal_ends_it() -> None:
    """Make every layer refuse at once; mend them one by one, in order."""
    facts = Facts(Account("suspended"), False, ClientPolicy(active=False))
    mended = [
        ("account", {"account": ACTIVE}),
        ("client", {"client": ClientPolicy()}),
        ("role", {"roles": (CLINICIAN,)}),
        ("patient", {"patient_exists": True}),
    ]
    for position, (layer, mending) in enumerate(mended):
        answer = ask(facts)
        assert [step.layer for step in answer.steps] == [each for each, _ in mended[: position + 1]]
        assert answer.steps[-1].layer == layer
        facts = replace(facts, **mending)
    assert [step.layer for step in ask(facts).steps] == [
        "account", "client", "role", "patient", "care team", "access grant", "end",
    ]  # fmt: skip


def test_a_care_team_allows_all_that_the_role_does() -> None:
    answer = ask(BY_TEAM, "patient/Observation.cruds patient/Patient.rs")
    assert (answer.allowed, answer.basis, answer.reason) == (True, "care_team:team-1", Reason.CARE_TEAM)
    assert join(answer.scopes) == "patient/Observation.rs patient/Patient.rs"
    assert answer.until is None


@pytest.mark.parametrize("purpose", sorted(PURPOSES_OF_USE))
def test_a_care_team_counts_only_for_treatment(purpose: str) -> None:
    role = replace(CLINICIAN, purposes=frozenset(PURPOSES_OF_USE))
    assert ask(replace(BY_TEAM, roles=(role,)), purpose=purpose).allowed is (purpose in TREATMENT_PURPOSES)


def test_a_care_team_speaks_before_a_grant_and_a_grant_helps_where_the_team_may_not() -> None:
    role = replace(CLINICIAN, purposes=frozenset({"TREAT", "HPAYMT"}))
    both = replace(
        BY_TEAM,
        roles=(role,),
        access_grants=(GRANT, replace(GRANT, access_grant="grant-2", purpose="HPAYMT")),
    )
    assert ask(both).basis == "care_team:team-1"
    assert ask(both, purpose="HPAYMT").basis == "access_grant:grant-2"


def test_of_several_care_teams_the_one_that_lasts_longest_is_named() -> None:
    teams = (CareTeamTie("short", NOW + MINUTE), CareTeamTie("long", NOW + 9 * MINUTE))
    answer = ask(replace(BY_TEAM, care_teams=teams))
    assert (answer.basis, answer.until) == ("care_team:long", NOW + 9 * MINUTE)
    answer = ask(replace(BY_TEAM, care_teams=(*teams, CareTeamTie("open"))))
    assert (answer.basis, answer.until) == ("care_team:open", None)


@pytest.mark.parametrize("first", ["account", "role", "basis"])
def test_the_answer_ends_with_the_first_of_what_it_rests_on(first: str) -> None:
    ends = {name: NOW + (1 if name == first else 9) * MINUTE for name in ("account", "role", "basis")}
    account, role = Account("active", ends["account"]), replace(CLINICIAN, until=ends["role"])
    by_team = Facts(account, True, roles=(role,), care_teams=(CareTeamTie("t", ends["basis"]),))
    by_grant = Facts(account, True, roles=(role,), access_grants=(replace(GRANT, until=ends["basis"]),))
    assert ask(by_team).until == ask(by_grant).until == NOW + MINUTE


def test_a_role_that_gives_nothing_to_this_request_does_not_shorten_it() -> None:
    other = RoleInForce("coder", 1, parse("patient/Condition.rs"), frozenset({"TREAT"}), NOW + MINUTE)
    answer = ask(replace(BY_TEAM, roles=(replace(CLINICIAN, ceiling=parse("patient/Observation.rs")), other)))
    assert answer.until is None
    assert "coder" not in next(step.ref for step in answer.steps if step.layer == "role")


def test_roles_add_up_and_the_answer_names_their_versions() -> None:
    coder = RoleInForce("coder", 2, parse("patient/Condition.rs"), frozenset({"TREAT"}))
    reader = RoleInForce("reader", 5, parse("patient/Observation.r"), frozenset({"TREAT"}))
    answer = ask(replace(BY_TEAM, roles=(coder, reader)), "patient/*.cruds")
    assert join(answer.scopes) == "patient/Condition.rs patient/Observation.r"
    assert next(step.ref for step in answer.steps if step.layer == "role") == "coder v2, reader v5"


def test_a_role_for_another_purpose_gives_nothing() -> None:
    biller = RoleInForce("biller", 1, parse("patient/*.cruds"), frozenset({"HPAYMT"}))
    answer = ask(replace(BY_TEAM, roles=(CLINICIAN, biller)), "patient/Observation.cruds")
    assert join(answer.scopes) == "patient/Observation.rs"


def test_grants_add_up_so_that_one_more_never_takes_anything_away() -> None:
    one = replace(GRANT, scopes=parse("patient/Patient.rs"), until=NOW + 5 * MINUTE)
    two = AccessGrantTie(
        "grant-2", parse("patient/Observation.rs patient/Condition.rs"), "TREAT", NOW + 9 * MINUTE
    )
    answer = ask(replace(BY_GRANT, access_grants=(one, two)), "patient/Patient.rs patient/Observation.rs")
    assert join(answer.scopes) == "patient/Patient.rs patient/Observation.rs"
    assert answer.until == NOW + 5 * MINUTE
    assert answer.basis == "access_grant:grant-2"  # as broad for this request, and it lasts longer
    assert answer.steps[-1].ref == "access_grant:grant-2, access_grant:grant-1"


def test_a_grant_that_adds_nothing_is_not_named_and_does_not_shorten() -> None:
    narrow = AccessGrantTie("grant-2", parse("patient/Observation.r"), "TREAT", NOW + MINUTE)
    answer = ask(replace(BY_GRANT, access_grants=(narrow, GRANT)))
    assert (answer.basis, answer.until) == ("access_grant:grant-1", GRANT.until)
    assert answer.steps[-1].ref == "access_grant:grant-1"


def test_one_wide_grant_is_preferred_to_several_narrow_ones() -> None:
    narrow = AccessGrantTie(
        "narrow", parse("patient/Patient.rs patient/Condition.rs"), "TREAT", NOW + 90 * MINUTE
    )
    answer = ask(replace(BY_GRANT, access_grants=(narrow, GRANT)), "patient/*.rs")
    assert answer.basis == "access_grant:grant-1"
    assert join(answer.scopes) == "patient/*.rs"


def test_the_client_narrows_before_anybody_else() -> None:
    client = ClientPolicy(purposes=frozenset({"TREAT"}), scopes=parse("patient/Patient.r"))
    answer = ask(replace(BY_GRANT, client=client), "patient/*.rs")
    assert join(answer.scopes) == "patient/Patient.r"


@pytest.mark.parametrize(
    ("times", "first"),
    [((), None), ((None,), None), ((None, NOW), NOW), ((NOW + MINUTE, None, NOW), NOW)],
)
def test_earliest_takes_none_for_no_end(
    times: tuple[datetime.datetime | None, ...], first: datetime.datetime | None
) -> None:
    assert earliest(*times) == first


SCOPES = st.lists(
    st.builds(
        "{}/{}.{}{}".format,
        st.sampled_from(["patient", "user"]),
        st.sampled_from(["Observation", "Patient", "*"]),
        st.sampled_from(["r", "s", "rs", "cruds", "c", "write"]),
        st.sampled_from(["", "?a=1", "?b=2", "?a=1&b=2"]),
    ),
    max_size=4,
).map(lambda texts: parse(" ".join(texts)))
ENDS = st.one_of(st.none(), st.integers(1, 9).map(lambda minutes: NOW + minutes * MINUTE))
PURPOSES = st.sampled_from(["TREAT", "HPAYMT"])
FACTS = st.builds(
    Facts,
    st.one_of(st.none(), st.builds(Account, st.sampled_from(["active", "ended"]), ENDS), st.just(ACTIVE)),
    st.booleans(),
    st.builds(
        ClientPolicy,
        st.booleans(),
        st.one_of(st.none(), st.frozensets(PURPOSES)),
        st.one_of(st.none(), SCOPES),
    ),
    st.lists(
        st.builds(RoleInForce, st.just("role"), st.just(1), SCOPES, st.frozensets(PURPOSES), ENDS), max_size=3
    ).map(tuple),
    st.lists(st.builds(CareTeamTie, st.sampled_from("ab"), ENDS), max_size=2).map(tuple),
    st.lists(
        st.builds(
            AccessGrantTie,
            st.sampled_from(["one", "two", "three"]),
            SCOPES,
            PURPOSES,
            st.integers(1, 9).map(lambda minutes: NOW + minutes * MINUTE),
        ),
        max_size=3,
        unique_by=lambda tie: tie.access_grant,
    ).map(tuple),
)


def within(scopes: tuple[Scope, ...], limit: tuple[Scope, ...]) -> bool:
    return all(any(scope.fits_inside(other) for other in limit) for scope in scopes)


@given(FACTS, SCOPES, PURPOSES)
def test_nothing_is_granted_that_was_not_asked_for_and_given_by_everybody(
    facts: Facts, wanted: tuple[Scope, ...], purpose: str
) -> None:
    answer = decide(Question(purpose, wanted), facts, NOW)
    if not answer.allowed:
        assert (answer.basis, answer.scopes, answer.until) == ("", (), None)
        assert answer.steps[-1].outcome is Outcome.DENIED
        return
    roles = [role for role in facts.roles if purpose in role.purposes]
    grants = [tie for tie in facts.access_grants if tie.purpose == purpose]
    assert facts.account is not None
    assert facts.account.state == "active"
    assert facts.patient_exists
    assert facts.client.active
    assert facts.client.purposes is None or purpose in facts.client.purposes
    assert answer.scopes
    assert within(answer.scopes, wanted)
    assert facts.client.scopes is None or within(answer.scopes, facts.client.scopes)
    assert within(answer.scopes, tuple(scope for role in roles for scope in role.ceiling))
    kind, _, key = answer.basis.partition(":")
    if kind == "care_team":
        assert key in {tie.care_team for tie in facts.care_teams}
    else:
        assert kind == "access_grant"
        assert key in {tie.access_grant for tie in grants}
        named = [
            tie for tie in grants if f"access_grant:{tie.access_grant}" in answer.steps[-1].ref.split(", ")
        ]
        assert within(answer.scopes, tuple(scope for tie in named for scope in tie.scopes))
        assert answer.until is not None
        assert all(answer.until <= tie.until for tie in named)
    assert facts.account.ends_at is None or (
        answer.until is not None and answer.until <= facts.account.ends_at
    )


@given(FACTS, SCOPES, PURPOSES)
def test_asking_again_for_what_was_granted_gives_the_same(
    facts: Facts, wanted: tuple[Scope, ...], purpose: str
) -> None:
    """A token is judged again at every use by asking for the scopes it carries."""
    first = decide(Question(purpose, wanted), facts, NOW)
    if first.allowed:
        again = decide(Question(purpose, parse(join(first.scopes))), facts, NOW)
        assert (again.allowed, join(again.scopes)) == (True, join(first.scopes))


@given(FACTS, SCOPES, PURPOSES)
def test_one_grant_more_never_takes_anything_away(
    facts: Facts, wanted: tuple[Scope, ...], purpose: str
) -> None:
    fewer = replace(facts, access_grants=facts.access_grants[:1])
    before, after = (
        decide(Question(purpose, wanted), fewer, NOW),
        decide(Question(purpose, wanted), facts, NOW),
    )
    assert within(before.scopes, after.scopes)
