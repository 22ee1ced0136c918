"""Which models are registered: plain records whose every change the ledger keeps with before and after.

The others are guarded: their rows change only by operations, which write their own entries.
"""

from accounts.models import CareTeam, CareTeamMember, CareTeamPatient, Patient, Role, User
from audit import model_changes

PHI = ("family_name", "given_name", "birth_date", "record_number")


def register_models() -> None:
    """Hand the registered models to django-auditlog."""
    model_changes.register(User, excluded=("password", "last_login", "is_active"))
    model_changes.register(Role, m2m=("permissions", "incompatible_roles"))
    model_changes.register(
        Patient, masked=PHI, excluded=("record_number_index", "family_name_index", "created_at")
    )
    model_changes.register(CareTeam)
    model_changes.register(CareTeamMember)
    model_changes.register(CareTeamPatient)
