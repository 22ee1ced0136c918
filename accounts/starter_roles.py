"""The roles a new installation begins with. They are data, which administrators change afterwards.

Who changes access reads no ledger, and who reads the ledger changes no access (45 CFR 164.308(a)(1)(ii)(D) and (a)(4)).
"""

from typing import Any

from django.apps import apps as installed_apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Permission
from django.db import transaction

from accounts.models import Role

CHART = "Patient Practitioner Encounter Condition Observation AllergyIntolerance MedicationRequest Procedure"
CLINICAL_READING = " ".join(f"patient/{resource_type}.rs" for resource_type in CHART.split())
TREATING = ["TREAT", "ETREAT", "COC"]
SEES_PEOPLE = (
    "accounts.enter_portal accounts.view_user accounts.view_role accounts.view_roleassignment accounts.view_patient"
    " accounts.view_careteam accounts.view_careteammember accounts.view_careteampatient"
    " accounts.view_patientaccessgrant accounts.explain_access tokens.view_client tokens.view_signingkey"
    " tokens.view_refreshfamily"
)
CHANGES_PEOPLE = (
    "accounts.add_user accounts.change_user accounts.add_role accounts.change_role accounts.assign_role"
    " accounts.end_role_assignment accounts.add_patient accounts.change_patient accounts.add_careteam"
    " accounts.change_careteam accounts.delete_careteam accounts.add_careteammember accounts.change_careteammember"
    " accounts.delete_careteammember accounts.add_careteampatient accounts.change_careteampatient"
    " accounts.delete_careteampatient accounts.request_access_grant accounts.approve_access_grant"
    " accounts.revoke_access_grant tokens.add_client tokens.change_client tokens.delete_client"
    " tokens.rotate_signing_keys tokens.revoke_signing_key tokens.revoke_refresh_family"
)
STARTER_ROLES: tuple[dict[str, Any], ...] = (
    {
        "code": "clinician",
        "name": "Clinician",
        "description": "Physicians, nurses and others who treat patients and read their charts.",
        "justification": "Treating a patient needs the whole chart (45 CFR 164.502(b)(2)(i)).",
        "scope_ceiling": CLINICAL_READING,
        "purposes_of_use": TREATING,
        "may_break_glass": True,
        "permissions": "",
    },
    {
        "code": "administrator",
        "name": "Access administrator",
        "description": "Keeps users, roles, patients, care teams and access grants; reads no chart and no ledger.",
        "justification": "Needs names and record numbers to find the right person, and no clinical category of PHI.",
        "needs_mfa": True,
        "permissions": f"{SEES_PEOPLE} {CHANGES_PEOPLE}",
    },
    {
        "code": "compliance-officer",
        "name": "Compliance officer",
        "description": "Reads the ledger, reviews and exports; changes nobody's access.",
        "justification": "Activity review is required (45 CFR 164.308(a)(1)(ii)(D)).",
        "needs_mfa": True,
        "permissions": f"{SEES_PEOPLE} audit.view_event audit.export_event",
    },
)
INCOMPATIBLE = ("administrator", "compliance-officer")


def create_missing(**kwargs: Any) -> None:
    """Create the starter roles in a database that has no role at all; a receiver of `post_migrate`."""
    if Role.objects.exists():
        return
    for label in ("accounts", "tokens", "audit"):
        create_permissions(installed_apps.get_app_config(label), verbosity=0)
    with transaction.atomic():
        made = {}
        for fields in STARTER_ROLES:
            role = Role.objects.create(**{name: fields[name] for name in fields if name != "permissions"})
            role.permissions.set(_permissions(fields["permissions"]))
            made[role.code] = role
        made[INCOMPATIBLE[0]].incompatible_roles.add(made[INCOMPATIBLE[1]])


def _permissions(names: str) -> list[Permission]:
    """Return the permissions of space-separated "app.codename" names. Raises Permission.DoesNotExist."""
    return [
        Permission.objects.get(content_type__app_label=app, codename=codename)
        for app, _, codename in (name.partition(".") for name in names.split())
    ]
