"""Who changes access reads no ledger, who reads the ledger changes no access, and two people make either of them. PURE.

45 CFR 164.308(a)(1)(ii)(D) and (a)(4): whoever reviews activity must not be able to make the activity look right.
"""

from collections.abc import Iterable

READS_THE_LEDGER = frozenset({"audit.view_event", "audit.export_event"})
CHANGES_NOTHING = frozenset({"accounts.enter_portal", "accounts.explain_access"})


def changes_access(permission: str) -> bool:
    """Return whether a permission ("app.codename") lets its holder change who may see what."""
    app, _, codename = permission.partition(".")
    return (
        app in ("accounts", "tokens")
        and not codename.startswith("view_")
        and permission not in CHANGES_NOTHING
    )


def is_privileged(permissions: Iterable[str]) -> bool:
    """Return whether whoever holds these permissions changes access, handles keys or clients, or reads the ledger."""
    return any(permission in READS_THE_LEDGER or changes_access(permission) for permission in permissions)


def is_conflict(permissions: Iterable[str]) -> bool:
    """Return whether these permissions may not be in one hand."""
    held = set(permissions)
    return bool(held & READS_THE_LEDGER) and any(changes_access(permission) for permission in held)
