"""Refusals: a stable code, a fixed sentence, and their entry in the ledger."""

from django.db import models, transaction

from audit import ledger
from audit.context import Person
from audit.events import EventType, Outcome


class Refused(Exception):
    """An operation that may not happen. `code` is stable; the sentence never holds input."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def record(
    refused: Refused, *, operation: str, by: Person | None, obj: models.Model | None = None, patient: str = ""
) -> None:
    """Record a refusal in a transaction of its own; called by views and commands after the operation raised.

    `by` is None for an operator on the machine who named no account.
    """
    with transaction.atomic():
        ledger.record(
            EventType.OPERATION_REFUSED,
            outcome=Outcome.REFUSED,
            by=by,
            obj=obj,
            patient=patient,
            reason_code=refused.code,
            details={"operation": operation},
        )
