"""What the portal's tests share: signing in without the form, posting, and what the ledger says afterwards."""

from typing import Any

from django.test import Client
from django.urls import reverse

from accounts.models import User
from audit.events import EventType
from audit.models import Event


def signed_in(user: User) -> Client:
    """Return a browser of this person, which must send CSRF tokens like any other would."""
    client = Client()
    client.force_login(user)
    return client


def address(name: str, *args: Any) -> str:
    """Return a portal address by its name, such as "patientaccessgrant_approve"."""
    return reverse(f"admin:accounts_{name}", args=args)


def refusals(operation: str) -> list[tuple[str, str]]:
    """Return (actor, code) of the refusals of an operation, oldest first."""
    events = Event.objects.filter(event=EventType.OPERATION_REFUSED).order_by("pk")
    return [
        (event.actor_label, event.reason_code)
        for event in events
        if (event.additional_data or {})["operation"] == operation
    ]


def recorded(event: EventType) -> list[Event]:
    """Return the entries of an event, oldest first."""
    return list(Event.objects.filter(event=event).order_by("pk"))
