"""People and access in the portal: a module for each noun."""

from accounts.admin import access_grants, care_teams, patients, role_assignments, roles, users

__all__ = ["access_grants", "care_teams", "patients", "role_assignments", "roles", "users"]
