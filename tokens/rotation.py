"""When does which signing key change its state? PURE.

pending -> active -> retiring -> retired. A key is published for at least the JWKS max-age and one poll before it
signs, so that every verifier that caches properly knows it; it verifies for the longest token life after it stopped
signing; then its private part is destroyed.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

ALGORITHMS = ("ES256", "RS256")


class Verb(StrEnum):
    """What to do with a key, or that one must be made."""

    PUBLISH = "publish"
    ACTIVATE = "activate"
    DESTROY = "destroy"


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A signing key as the plan sees it."""

    kid: str
    algorithm: str
    state: str
    created_at: datetime.datetime
    activated_at: datetime.datetime | None
    retiring_at: datetime.datetime | None


@dataclass(frozen=True, slots=True)
class Policy:
    """How long a key signs, is published before, and verifies after."""

    signs: datetime.timedelta
    published_before: datetime.timedelta
    verifies_after: datetime.timedelta


@dataclass(frozen=True, slots=True)
class Action:
    """One step. `kid` is empty for PUBLISH; activating retires the key that was active."""

    verb: Verb
    algorithm: str
    kid: str = ""


def plan(
    keys: Sequence[KeyFacts],
    policy: Policy,
    now: datetime.datetime,
    *,
    hurry: bool = False,
    skip_wait: bool = False,
) -> list[Action]:
    """Return what is due now, in order.

    Args:
        hurry: publish the next key although the active one is not old.
        skip_wait: let a pending key sign at once; verifiers must then fetch the key set again for an unknown kid.
    """
    actions: list[Action] = []
    for algorithm in ALGORITHMS:
        of_algorithm = [key for key in keys if key.algorithm == algorithm]
        active = next((key for key in of_algorithm if key.state == "active"), None)
        pending = next((key for key in of_algorithm if key.state == "pending"), None)
        if pending is not None:
            if active is None or skip_wait or pending.created_at + policy.published_before <= now:
                actions.append(Action(Verb.ACTIVATE, algorithm, pending.kid))
        elif active is None or hurry or _age(active, now) >= policy.signs - policy.published_before:
            actions.append(Action(Verb.PUBLISH, algorithm))
            if active is None or skip_wait:
                actions.append(Action(Verb.ACTIVATE, algorithm))
        actions += [
            Action(Verb.DESTROY, algorithm, key.kid)
            for key in of_algorithm
            if key.state == "retiring" and key.retiring_at and key.retiring_at + policy.verifies_after <= now
        ]
    return actions


def _age(key: KeyFacts, now: datetime.datetime) -> datetime.timedelta:
    return now - (key.activated_at or key.created_at)
