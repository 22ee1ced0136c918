"""People, roles, patients and the relations between them: fields, constraints, querysets. No rule, no write."""

from accounts.models.access_grants import PatientAccessGrant
from accounts.models.patients import CareTeam, CareTeamMember, CareTeamPatient, Patient
from accounts.models.roles import Role, RoleAssignment
from accounts.models.users import User

__all__ = [
    "CareTeam",
    "CareTeamMember",
    "CareTeamPatient",
    "Patient",
    "PatientAccessGrant",
    "Role",
    "RoleAssignment",
    "User",
]
