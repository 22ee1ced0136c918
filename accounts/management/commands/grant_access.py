"""Request, approve or revoke access to a patient from the shell, by the same operations as the portal's buttons."""

import argparse
import datetime
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import CareTeam, Patient, PatientAccessGrant
from accounts.operations import access_grants, refusals
from accounts.operations.refusals import Refused
from accounts.purposes import PURPOSES_OF_USE
from accounts.shell import acting_in_shell, find_user


class Command(BaseCommand):
    help = (
        "Request access for a person or a care team (--to or --care-team, --patient, --scope, --until, --reason), "
        "or decide on it: --approve ID, --reject ID, --revoke ID."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--by", required=True, help="username of the administrator who does this")
        verbs = parser.add_mutually_exclusive_group()
        for verb in ("approve", "reject", "revoke"):
            verbs.add_argument(f"--{verb}", metavar="ID", type=uuid.UUID, help=f"{verb} this access grant")
        parser.add_argument("--to", help="username of the person who gets access")
        parser.add_argument("--care-team", help="name of the care team that gets access")
        parser.add_argument("--patient", help="exact record number or FHIR id")
        parser.add_argument("--scope", default="", help="such as 'patient/Patient.rs patient/Observation.rs'")
        parser.add_argument("--purpose", choices=PURPOSES_OF_USE, default="TREAT")
        parser.add_argument("--until", type=_time, metavar="YYYY-MM-DD[THH:MM]", help="end, in UTC")
        parser.add_argument("--reason", default="")

    def handle(self, **options: Any) -> None:
        by, now = find_user(options["by"]), timezone.now()
        verb = next((verb for verb in ("approve", "reject", "revoke") if options[verb]), "request")
        grant = None if verb == "request" else self.find_grant(options[verb])
        with acting_in_shell("grant_access"):
            try:
                if grant is None:
                    grant = access_grants.request(**self.wanted(options), by=by, now=now)
                else:
                    operation = getattr(access_grants, verb)
                    grant = operation(grant=grant, reason=options["reason"], by=by, now=now)
            except Refused as refused:
                refusals.record(refused, operation=f"access_grants.{verb}", by=by, obj=grant)
                raise CommandError(str(refused)) from refused
        self.stdout.write(f"{grant.pk} {grant.state}")

    def wanted(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return what is requested, as the operation's arguments. Raises CommandError."""
        if not options["patient"] or not options["until"]:
            raise CommandError("A request needs --patient and --until.")
        patients = list(Patient.objects.search(options["patient"])[:2])
        if len(patients) != 1:
            raise CommandError("No patient, or more than one, has that record number or FHIR id.")
        team = CareTeam.objects.filter(name=options["care_team"]).first() if options["care_team"] else None
        if options["care_team"] and team is None:
            raise CommandError("There is no care team of that name.")
        return {
            "patient": patients[0],
            "grantee_user": find_user(options["to"]) if options["to"] else None,
            "grantee_care_team": team,
            "scopes": options["scope"],
            "purpose_of_use": options["purpose"],
            "ends_at": options["until"],
            "reason": options["reason"],
        }

    def find_grant(self, key: uuid.UUID) -> PatientAccessGrant:
        """Return the access grant of an id. Raises CommandError."""
        grant = PatientAccessGrant.objects.filter(pk=key).first()
        if grant is None:
            raise CommandError("There is no such access grant.")
        return grant


def _time(text: str) -> datetime.datetime:
    try:
        parsed = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("a time is written 2027-01-31 or 2027-01-31T17:30") from error
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.UTC)
