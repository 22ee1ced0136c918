"""Roles: what nobody adds to one that somebody has.

A role is a registered model, which the portal's form writes. Its holders got it for what it was: a privilege that came
to it afterwards would reach them without a second person, and maybe beside one that it may not be combined with.
"""

import datetime

from accounts.access import segregation
from accounts.models import Role
from accounts.operations.refusals import Refused


def refuse_privileges_for_holders(*, role: Role, permissions: set[str], now: datetime.datetime) -> None:
    """Raise Refused when `permissions` ("app.codename") add a privilege to a role that somebody has. Locks the role."""
    Role.objects.select_for_update().get(pk=role.pk)
    added = permissions - role.permission_names
    if segregation.is_privileged(added) and role.assignments.held(now).exists():
        raise Refused(
            "role_is_held",
            "Somebody has this role, and would get a privilege that no second person approved: make another role.",
        )
