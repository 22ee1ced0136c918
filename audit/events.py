"""The closed vocabulary of events: "app:object:verb".

tests/house/golden/events.txt lists it, so that an addition shows up in review. An event's label is what a
compliance officer reads; its name is what the ledger stores and must never change its meaning.
"""

from django.db import models


class Outcome(models.IntegerChoices):
    """The AuditEvent.outcome codes of FHIR R4 (DICOM's): how it went, and whose fault it was when it did not."""

    SUCCESS = 0, "Success"
    REFUSED = 4, "Refused"
    SERIOUS = 8, "Serious failure"
    MAJOR = 12, "Major failure"


class EventType(models.TextChoices):
    """Everything the ledger can say."""

    # Signing in
    SIGN_IN = "accounts:session:start", "Signed in"
    SIGN_IN_FAILED = "accounts:session:refuse", "Sign-in failed"
    SIGN_OUT = "accounts:session:end", "Signed out"
    PASSWORD_CHANGED = "accounts:password:update", "Password changed"
    # People
    USER_CREATED = "accounts:user:create", "User created"
    USER_UPDATED = "accounts:user:update", "User changed"
    USER_DELETED = "accounts:user:delete", "User deleted"
    USER_ACTIVATED = "accounts:user:activate", "User activated"
    USER_SUSPENDED = "accounts:user:suspend", "User suspended"
    USER_ENDED = "accounts:user:end", "Employment ended"
    ROLE_CREATED = "accounts:role:create", "Role created"
    ROLE_UPDATED = "accounts:role:update", "Role changed"
    ROLE_DELETED = "accounts:role:delete", "Role deleted"
    ROLE_ASSIGNED = "accounts:role_assignment:create", "Role assigned"
    ROLE_ASSIGNMENT_APPROVED = "accounts:role_assignment:approve", "Role assignment approved"
    ROLE_ASSIGNMENT_ENDED = "accounts:role_assignment:end", "Role assignment ended"
    # Patients and who may see them
    PATIENT_CREATED = "accounts:patient:create", "Patient registered"
    PATIENT_UPDATED = "accounts:patient:update", "Patient changed"
    PATIENT_DELETED = "accounts:patient:delete", "Patient removed"
    PATIENT_VIEWED = "accounts:patient:view", "Patient record opened"
    PATIENT_SEARCHED = "accounts:patient:search", "Patients searched"
    CARE_TEAM_CREATED = "accounts:care_team:create", "Care team created"
    CARE_TEAM_UPDATED = "accounts:care_team:update", "Care team changed"
    CARE_TEAM_DELETED = "accounts:care_team:delete", "Care team removed"
    CARE_TEAM_MEMBER_CREATED = "accounts:care_team_member:create", "Care team member added"
    CARE_TEAM_MEMBER_UPDATED = "accounts:care_team_member:update", "Care team member changed"
    CARE_TEAM_MEMBER_DELETED = "accounts:care_team_member:delete", "Care team member removed"
    CARE_TEAM_PATIENT_CREATED = "accounts:care_team_patient:create", "Patient put under a care team"
    CARE_TEAM_PATIENT_UPDATED = "accounts:care_team_patient:update", "Patient's care team changed"
    CARE_TEAM_PATIENT_DELETED = "accounts:care_team_patient:delete", "Patient taken from a care team"
    ACCESS_GRANT_REQUESTED = "accounts:access_grant:request", "Access requested"
    ACCESS_GRANT_APPROVED = "accounts:access_grant:approve", "Access approved"
    ACCESS_GRANT_ACTIVATED = "accounts:access_grant:activate", "Access began"
    ACCESS_GRANT_REJECTED = "accounts:access_grant:reject", "Access request rejected"
    ACCESS_GRANT_REVOKED = "accounts:access_grant:revoke", "Access revoked"
    ACCESS_GRANT_EXPIRED = "accounts:access_grant:expire", "Access expired"
    ACCESS_EXPLAINED = "accounts:access:explain", "Access explained"
    OPERATION_REFUSED = "accounts:operation:refuse", "Change refused"
    # Tokens
    CLIENT_CREATED = "tokens:client:create", "Client registered"
    CLIENT_UPDATED = "tokens:client:update", "Client changed"
    CLIENT_DELETED = "tokens:client:delete", "Client removed"
    BASE_TOKEN_ISSUED = "tokens:base_token:create", "Base token issued"
    TOKEN_REFRESHED = "tokens:refresh_token:refresh", "Token refreshed"
    TOKEN_REPEATED = "tokens:refresh_token:repeat", "Refresh repeated within the grace"
    TOKEN_REUSED = "tokens:refresh_token:reuse", "Used refresh token presented again"
    PATIENT_TOKEN_ISSUED = "tokens:patient_token:create", "Patient token issued"
    REFRESH_FAMILY_REVOKED = "tokens:refresh_family:revoke", "Refresh family revoked"
    TOKEN_REFUSED = "tokens:token:refuse", "Token refused"
    SIGNING_KEY_CREATED = "tokens:signing_key:create", "Signing key published"
    SIGNING_KEY_ACTIVATED = "tokens:signing_key:activate", "Signing key activated"
    SIGNING_KEY_RETIRING = "tokens:signing_key:retire", "Signing key stopped signing"
    SIGNING_KEY_DESTROYED = "tokens:signing_key:destroy", "Private signing key destroyed"
    SIGNING_KEY_REVOKED = "tokens:signing_key:revoke", "Signing key revoked"
    ENCRYPTION_RESEALED = "tokens:encryption_key:reseal", "Stored secrets sealed under the current key"
    # The ledger itself
    LEDGER_READ = "audit:event:read", "Ledger read"
    LEDGER_EXPORTED = "audit:event:export", "Ledger exported"
    DATABASE_ROLE_RESTRICTED = "audit:database_role:restrict", "Database role restricted"


def event_choices() -> list[tuple[str, str]]:
    """Return the vocabulary as a field's choices; a function, so that a new event needs no migration."""
    return EventType.choices
