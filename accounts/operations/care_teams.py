"""Care teams: what nobody may do to one for their own benefit.

A care team is a registered model, which the portal's form writes; being on one opens its patients' charts, so whoever
keeps care teams neither joins one nor puts patients under one of their own: that would be a grant to oneself.
"""

import datetime
from typing import Any

from django.db.models import Q

from accounts.models import CareTeam, User
from accounts.operations.refusals import Refused


def refuse_own_membership(*, user_id: Any, by: User) -> None:
    """Raise Refused when somebody would put themselves on a care team, or change their time in it."""
    if user_id == by.pk:
        raise Refused("own_access", "Nobody puts themselves on a care team.")


def refuse_patients_of_own_team(*, care_team: CareTeam, by: User, now: datetime.datetime) -> None:
    """Raise Refused when somebody would put patients under a care team that they are in, or will be."""
    if care_team.members.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now), user=by).exists():
        raise Refused("own_access", "Nobody puts patients under a care team of their own.")
