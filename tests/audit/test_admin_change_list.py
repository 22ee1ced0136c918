"""The portal's lists are sorted by the columns that they offer to sort by, and by no other that an address names."""

from typing import Any

import pytest
from django.urls import reverse

from accounts.models import CareTeam, PatientAccessGrant, Role, RoleAssignment, User
from tests.accounts.portal import signed_in
from tests.people import People, make_user
from tokens.models import Client, RefreshFamily, SigningKey

# By an index, or of a table that stays small: clients and roles are written by hand.
SORTABLE: dict[Any, set[str]] = {
    User: {"username"},
    Role: {"name", "code", "version", "may_break_glass", "needs_mfa"},
    Client: {"name", "client_id", "client_type", "owner", "is_active", "ends_at"},
    CareTeam: set(),
    PatientAccessGrant: set(),
    RoleAssignment: set(),
    RefreshFamily: set(),
    SigningKey: set(),
}
WITHOUT_A_LIST = {"patient", "event"}  # they have pages of their own


def listed(model: Any, order: str = "") -> Any:
    """Return the list of a model as an emergency administrator gets it, asked for in this order."""
    root = User.objects.filter(username="root").first() or make_user("root", is_superuser=True)
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    answer = signed_in(root).get(url, {"o": order} if order else {})
    assert answer.status_code == 200
    return answer.context["cl"]


def test_every_list_of_the_portal_is_in_the_table(people: People) -> None:
    models = listed(User).model_admin.admin_site._registry
    ours = {model for model in models if model._meta.app_label in ("accounts", "tokens", "audit")}
    assert {model for model in ours if model._meta.model_name not in WITHOUT_A_LIST} == SORTABLE.keys()


@pytest.mark.parametrize("model", SORTABLE, ids=lambda model: model.__name__)
def test_a_list_is_sorted_by_what_it_offers_and_by_nothing_else(people: People, model: Any) -> None:
    usual = listed(model)
    by_itself = usual.queryset.query.order_by
    sorting = set()
    for number, name in enumerate(usual.list_display):
        for order in (str(number), f"-{number}"):
            shown = listed(model, order)
            if shown.queryset.query.order_by != by_itself:
                sorting.add(name)
    assert sorting == SORTABLE[model]


@pytest.mark.parametrize(
    "order", ["99", "x", "-", "--", "1-", "..", "9" * 5000, "\u00b2", "1e1", " ", "%00", "1,2"]
)
@pytest.mark.parametrize("model", [User, RefreshFamily], ids=lambda model: model.__name__)
def test_an_order_that_is_none_is_the_usual_one(people: People, model: Any, order: str) -> None:
    assert listed(model, order).queryset.query.order_by == listed(model).queryset.query.order_by


def test_of_several_columns_those_stay_that_are_offered_each_once(people: People) -> None:
    order = ".".join(["0.2.-3"] * 50)
    assert listed(RefreshFamily, order).params == {}
    backwards = listed(User, f"-{order}")
    assert backwards.params == {"o": "-0.0"}
    assert [user.username for user in backwards.result_list][:2] == ["vera", "sam"]
    assert listed(User, "2.x.0").params == {"o": "0"}
