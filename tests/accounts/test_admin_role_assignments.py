"""Role assignments in the portal: assigned, approved and ended by verbs, never by oneself."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Role, RoleAssignment
from audit.events import EventType
from tests.accounts.portal import address, recorded, refusals, signed_in
from tests.people import DAY, People, make_user

ASSIGN = "roleassignment_assign"


def form(people: People, **changed: Any) -> dict[str, Any]:
    """Return what the form posts that makes Dr Lind an administrator."""
    role = Role.objects.get(code="administrator")
    return {
        "user": people.lind.pk,
        "role": role.pk,
        "starts_at": "",
        "ends_at": "",
        "reason": "New job",
    } | changed


def test_a_privileged_role_is_assigned_by_one_and_counts_when_approved_by_another(people: People) -> None:
    answer = signed_in(people.sam).post(address(ASSIGN), form(people))
    assignment = RoleAssignment.objects.get(user=people.lind, role__code="administrator")
    assert answer.url == address("roleassignment_change", assignment.pk)
    assert assignment.assigned_by == people.sam
    assert recorded(EventType.ROLE_ASSIGNED)[-1].reason == "New job"
    assert b"Waits for approval" in signed_in(people.ines).get(answer.url).content
    assert signed_in(people.lind).get(address("user_changelist"), follow=True).status_code == 403
    url = address("roleassignment_approve", assignment.pk)
    assert b"Known to me" not in signed_in(people.vera).get(url).content
    assert signed_in(people.vera).post(url, {"reason": "Known to me"}).status_code == 302
    assert signed_in(people.lind).get(address("user_changelist")).status_code == 200
    assert recorded(EventType.ROLE_ASSIGNMENT_APPROVED)[-1].reason == "Known to me"
    shown = signed_in(people.vera).get(answer.url)
    assert [verb["label"] for verb in shown.context["verbs"]] == ["End"]
    assert [step.label for step in shown.context["timeline"]] == ["Assigned", "Approved"]
    again = signed_in(people.vera).post(url, {"reason": ""})
    assert (again.status_code, refusals("role_assignments.approve")) == (409, [("vera", "wrong_state")])


def test_a_role_without_privileges_counts_at_once(people: People) -> None:
    wanted = form(people, user=people.vera.pk, role=Role.objects.get(code="clinician").pk)
    answer = signed_in(people.sam).post(address(ASSIGN), wanted)
    shown = signed_in(people.sam).get(answer.url)
    assert b"In force" in shown.content
    assert [verb["label"] for verb in shown.context["verbs"]] == ["End"]


def test_nobody_approves_an_assignment_of_their_own_or_for_themselves(people: People) -> None:
    root = make_user("root", is_superuser=True)
    signed_in(people.sam).post(address(ASSIGN), form(people, user=root.pk))
    assignment = root.role_assignments.get()
    url = address("roleassignment_approve", assignment.pk)
    for person in (people.sam, root):
        answer = signed_in(person).post(url, {"reason": ""})
        assert answer.status_code == 409
        assert b"Nobody approves a" in answer.content
    assert refusals("role_assignments.approve") == [("sam", "own_request"), ("root", "own_account")]
    for name in ("ines", "okafor"):
        assert signed_in(getattr(people, name)).post(url, {"reason": ""}, follow=True).status_code == 403
    assignment.refresh_from_db()
    assert assignment.approved_at is None


def test_the_list_is_filtered_by_what_waits(people: People) -> None:
    client = signed_in(people.sam)
    client.post(address(ASSIGN), form(people))
    for state, count in (("waiting", 1), ("in_force", 5), ("x", 6)):
        shown = client.get(address("roleassignment_changelist"), {"state": state}, follow=True)
        assert (shown.status_code, len(shown.context["cl"].result_list)) == (200, count)


def test_a_role_is_ended_and_counts_no_more(people: People) -> None:
    assignment = people.vera.role_assignments.get()
    url = address("roleassignment_end", assignment.pk)
    client = signed_in(people.sam)
    assert client.post(url, {"reason": "Left the office"}).status_code == 302
    assert signed_in(people.vera).get(address("user_changelist"), follow=True).status_code == 403
    assert recorded(EventType.ROLE_ASSIGNMENT_ENDED)[-1].reason == "Left the office"
    again = client.post(url, {"reason": "Left the office"})
    assert again.status_code == 409
    assert b"has ended already" in again.content
    assert refusals("role_assignments.end") == [("sam", "wrong_state")]
    shown = client.get(address("roleassignment_change", assignment.pk))
    assert shown.context["verbs"] == []
    assert b"Left the office" in shown.content


def test_nobody_assigns_a_role_to_themselves_a_superuser_included(people: People) -> None:
    root = make_user("root", is_superuser=True)
    clinician = Role.objects.get(code="clinician")
    for person in (people.sam, root):
        answer = signed_in(person).post(address(ASSIGN), form(people, user=person.pk, role=clinician.pk))
        assert answer.status_code == 409
        assert b"Nobody assigns a role to themselves." in answer.content
    assert refusals("role_assignments.assign") == [("sam", "own_account"), ("root", "own_account")]
    assert not RoleAssignment.objects.filter(user__in=[people.sam, root], role=clinician).exists()


@pytest.mark.parametrize(
    ("code", "who", "refusal"),
    [("administrator", "ines", "incompatible_roles"), ("clinician", "lind", "already_assigned")],
)
def test_a_role_that_does_not_fit_is_refused(people: People, code: str, who: str, refusal: str) -> None:
    wanted = form(people, user=getattr(people, who).pk, role=Role.objects.get(code=code).pk)
    assert signed_in(people.sam).post(address(ASSIGN), wanted).status_code == 409
    assert refusals("role_assignments.assign") == [("sam", refusal)]


def test_the_second_of_two_posts_assigns_nothing_more(people: People) -> None:
    client = signed_in(people.sam)
    assert client.post(address(ASSIGN), form(people)).status_code == 302
    again = client.post(address(ASSIGN), form(people))
    assert again.status_code == 409
    assert b"holds this role already" in again.content
    assert RoleAssignment.objects.filter(user=people.lind, role__code="administrator").count() == 1


def test_an_end_that_has_passed_is_refused(people: People) -> None:
    ends_at = (timezone.now() - DAY).strftime("%Y-%m-%dT%H:%M")
    assert signed_in(people.sam).post(address(ASSIGN), form(people, ends_at=ends_at)).status_code == 409
    assert refusals("role_assignments.assign") == [("sam", "ends_before_start")]


@pytest.mark.parametrize(
    "changed", [{"user": "x"}, {"role": "x"}, {"role": "999"}, {"reason": ""}, {"starts_at": "soon"}]
)
def test_what_cannot_be_read_is_a_form_error(people: People, changed: dict[str, str]) -> None:
    answer = signed_in(people.sam).post(address(ASSIGN), form(people, **changed))
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == list(changed)


@pytest.mark.parametrize("name", ["okafor", "ines"])
def test_who_lacks_the_permission_changes_nothing(people: People, name: str) -> None:
    client = signed_in(getattr(people, name))
    held = people.vera.role_assignments.get()
    answers = (
        client.post(address(ASSIGN), form(people), follow=True),
        client.post(address("roleassignment_end", held.pk), {"reason": "No"}, follow=True),
    )
    assert [answer.status_code for answer in answers] == [403, 403]
    held.refresh_from_db()
    assert held.ended_at is None
    assert not RoleAssignment.objects.filter(user=people.lind, role__code="administrator").exists()
    denied = recorded(EventType.OPERATION_REFUSED)
    assert [(entry.actor_label, entry.reason_code) for entry in denied] == [(name, "not_permitted")] * 2


def test_a_longer_list_takes_no_more_statements(people: People, django_assert_num_queries: Any) -> None:
    client, url = signed_in(people.sam), address("roleassignment_changelist")
    with django_assert_num_queries(6):
        client.get(url)
    for number in range(15):
        make_user(f"nurse-{number}", role="clinician", by=people.sam)
    with django_assert_num_queries(6):
        client.get(url)


def test_the_list_says_what_counts_now_and_finds_people(people: People) -> None:
    client = signed_in(people.ines)
    shown = client.get(address("roleassignment_changelist"), {"q": "okaf"})
    assert [each.user for each in shown.context["cl"].result_list] == [people.okafor]
    assert b"In force" in shown.content
