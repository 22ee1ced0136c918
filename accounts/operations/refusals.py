"""What operations refuse with: the ledger's floor defines it, so that its portal machinery can show it as well."""

from accounts.models import User
from audit.refusals import Refused, record

__all__ = ["Refused", "record", "require"]


def require(by: User, permission: str) -> None:
    """Raise Refused unless this person holds this permission ("app.codename")."""
    if not by.has_perm(permission):
        raise Refused("not_permitted", "You do not have the permission for this.")
