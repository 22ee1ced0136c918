"""The last act: what the ledger has about the story, read by the compliance officer, and recorded as read."""

from itertools import groupby
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.operations.refusals import require
from audit import ledger
from audit.events import EventType, Outcome
from audit.models import Event

if TYPE_CHECKING:
    from idp.story.acts import Story

TOLD = (
    EventType.BASE_TOKEN_ISSUED,
    EventType.PATIENT_TOKEN_ISSUED,
    EventType.TOKEN_REFUSED,
    EventType.SIGNING_KEY_CREATED,
    EventType.SIGNING_KEY_ACTIVATED,
    EventType.TOKEN_REFRESHED,
    EventType.TOKEN_REPEATED,
    EventType.ACCESS_GRANT_REVOKED,
    EventType.ACCESS_GRANT_REQUESTED,
    EventType.ACCESS_GRANT_APPROVED,
    EventType.TOKEN_REUSED,
)


def tell(story: "Story") -> None:
    """Show the ledger's lines about the story, repeated ones once."""
    ines = story.stage.people["ines"]
    story.narrator.act("What the ledger says about all of that")
    story.narrator.begin("Ines Duarte, compliance officer, reads it")
    with transaction.atomic():
        require(ines, "audit.view_event")
        events = list(lines_about(story))
        ledger.record(EventType.LEDGER_READ, by=ines, details={"filters": ["session_ref", "user_agent"]})
    missing = [str(kind) for kind in TOLD if kind not in {event.event for event in events}]
    came = (
        f"nothing about {', '.join(missing)}" if missing else f"{len(events)} lines; her reading is one more"
    )
    story.narrator.end(came, right=not missing)
    for text, same in groupby(events, key=sentence):
        group = list(same)
        times = f" ({len(group)} times)" if len(group) > 1 else ""
        story.narrator.line(f"{group[0].recorded_at:%H:%M:%S}  {text}{times}")


def lines_about(story: "Story") -> QuerySet[Event]:
    """Return the events of the story's requests, commands and sign-ins, and of nobody else's."""
    ours = Q(user_agent__contains=story.run) | Q(session_ref__in=story.families)
    return Event.objects.filter(ours, recorded_at__gte=story.began_at).order_by("pk")


def sentence(event: Event) -> str:
    """Return one event without its time: what, who, about whom and why, in opaque ids."""
    who = event.actor_label or "-"
    outcome = "" if event.outcome == Outcome.SUCCESS else Outcome(event.outcome).label.lower()
    details = event.additional_data or {}
    subject = details.get("subject") or details.get("user") or ""
    about = [
        outcome,
        event.reason_code,
        f"subject {subject[:8]}" if subject else "",
        f"patient {event.patient_ref[:8]}" if event.patient_ref else "",
        event.basis[:21],
        f"key {event.object_pk[:8]} {details.get('alg', '')}"
        if event.object_type == "tokens.SigningKey"
        else "",
    ]
    return f"{EventType(event.event).label:38} {who:8} {', '.join(filter(None, about))}".rstrip()
