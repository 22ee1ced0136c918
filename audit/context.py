"""Who is asking, in this request or job: set by the middleware, read by the ledger.

A context variable and not an argument, because model changes are recorded by django-auditlog's signals, which
have no request. Operations name their actor; the context only fills what they did not say.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Protocol


class Person(Protocol):
    """Whoever acts: a user of the identity provider."""

    @property
    def pk(self) -> Any: ...

    def get_username(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Context:
    """Facts of a request that every entry carries. Strings are bounded and printable when they get here."""

    actor_ref: str = ""
    actor_label: str = ""
    client_ref: str = ""
    session_ref: str = ""
    request_id: str = ""
    remote_addr: str | None = None
    user_agent: str = ""


NOBODY = Context()
_current: ContextVar[Context] = ContextVar("wardkey_audit_context", default=NOBODY)


def current() -> Context:
    """Return the context of this request or job."""
    return _current.get()


@contextmanager
def use(context: Context) -> Iterator[None]:
    """Make this the context until the block ends."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def acting(person: Person) -> Iterator[None]:
    """Name the actor of everything that is recorded in this block."""
    with use(replace(_current.get(), actor_ref=str(person.pk), actor_label=person.get_username())):
        yield


def identify(*, actor_ref: str, actor_label: str = "", client_ref: str = "", session_ref: str = "") -> None:
    """Add who was authenticated to the context of the running request."""
    _current.set(
        replace(
            _current.get(),
            actor_ref=actor_ref,
            actor_label=actor_label,
            client_ref=client_ref,
            session_ref=session_ref,
        )
    )
