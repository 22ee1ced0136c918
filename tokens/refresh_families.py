"""Refresh families: open, rotate, revoke. One winner, whatever comes at once.

Rotation is one UPDATE that names the digest it replaces; on PostgreSQL a second one waits for the row and then finds
another digest, on SQLite writers queue. The refresh path is four round trips: BEGIN, that UPDATE (which brings back
what the decision needs), the ledger's INSERT, COMMIT.
"""

import datetime
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from accounts.access import scopes as smart
from accounts.access.decision import Account, ClientPolicy, Reason, earliest, standing
from accounts.access.lookup import Subject
from accounts.models import User
from accounts.operations.refusals import require
from audit import ledger
from audit.events import EventType, Outcome
from audit.raw_sql import timestamp_from, timestamp_parameter, uuid_from, uuid_parameter
from tokens import refresh_tokens
from tokens.errors import InvalidGrant
from tokens.models import Client, RefreshFamily
from tokens.refresh_tokens import RefreshToken

FACTS = """user_id, scope, acr, amr, auth_time, expires_at,
 (SELECT username FROM accounts_user WHERE id = user_id), (SELECT state FROM accounts_user WHERE id = user_id),
 (SELECT ends_at FROM accounts_user WHERE id = user_id), (SELECT client_id FROM tokens_client WHERE id = {fk}),
 (SELECT is_active FROM tokens_client WHERE id = {fk}), (SELECT ends_at FROM tokens_client WHERE id = {fk})
""".format(fk="tokens_refreshfamily.client_id")  # noqa: S608 (no input)
ROTATE = f"""
UPDATE tokens_refreshfamily
   SET generation = generation + 1, current_digest = %s, rotated_at = %s,
       idle_expires_at = %s
 WHERE id = %s AND current_digest = %s AND revoked_at IS NULL AND expires_at > %s AND idle_expires_at > %s
RETURNING {FACTS}
"""  # noqa: S608 (no input)
REPEAT = f"SELECT {FACTS} FROM tokens_refreshfamily WHERE id = %s"  # noqa: S608 (no input)
STANDING = f"""
SELECT {FACTS}, revoked_at, (SELECT scope FROM tokens_client WHERE id = tokens_refreshfamily.client_id),
       (SELECT CAST(purposes_of_use AS text) FROM tokens_client WHERE id = tokens_refreshfamily.client_id)
  FROM tokens_refreshfamily WHERE id = %s
"""  # noqa: S608 (no input)


ACCOUNT_OVER = (Reason.ACCOUNT_NOT_ACTIVE, Reason.ACCOUNT_ENDED)


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a family knows of the sign-in it descends from, and how its account and client stand now."""

    family: uuid.UUID
    subject: Subject
    scope: str
    acr: str
    amr: str
    auth_time: datetime.datetime
    expires_at: datetime.datetime
    account: Account
    client_id: str
    client_active: bool
    client_ends_at: datetime.datetime | None
    revoked: bool = False
    client_policy: ClientPolicy = field(default_factory=ClientPolicy)

    def refusal(self, now: datetime.datetime) -> str:
        """Return why nothing may be issued from this sign-in, or an empty string."""
        if self.revoked:
            return "family_revoked"
        if self.expires_at <= now:
            return "family_expired"
        reason = standing(self.account, now)
        if reason is not Reason.ACCOUNT_ACTIVE:
            return str(reason)
        if not self.client_active or (self.client_ends_at is not None and self.client_ends_at <= now):
            return str(Reason.CLIENT_NOT_ACTIVE)
        return ""

    def seconds_left(
        self, now: datetime.datetime, *, most: int, until: datetime.datetime | None = None
    ) -> int:
        """Return how long a token issued now may live: `most` seconds, or to the first end of what it rests on."""
        end = earliest(self.expires_at, self.account.ends_at, self.client_ends_at, until)
        return most if end is None else min(most, int((end - now).total_seconds()))


def open_family(
    *, user: User, client: Client, scope: str, acr: str, amr: str, now: datetime.datetime
) -> tuple[RefreshFamily, RefreshToken]:
    """Begin a family with its first token; called inside the transaction that records the issue."""
    key = uuid.uuid4()
    token = refresh_tokens.first(key)
    family = RefreshFamily.objects.create(
        id=key, user=user, client=client, current_digest=token.digest, scope=scope, acr=acr, amr=amr, auth_time=now,
        rotated_at=now, idle_expires_at=now + datetime.timedelta(seconds=settings.REFRESH_IDLE_SECONDS),
        expires_at=now + datetime.timedelta(seconds=settings.REFRESH_ABSOLUTE_SECONDS), created_at=now,
    )  # fmt: skip
    return family, token


def rotate(presented: RefreshToken, *, jti: str, now: datetime.datetime) -> tuple[SignIn, RefreshToken]:
    """Use a refresh token up and return its successor. `jti` is the access token's that goes out with it.

    Raises InvalidGrant. A used token that comes back after the grace has then ended its family; so has any use while
    the account may do nothing, for good. A client that is switched off is refused and its families stay: whoever
    switches it on again has not signed everybody out.
    """
    successor = presented.successor()
    idle = now + datetime.timedelta(seconds=settings.REFRESH_IDLE_SECONDS)
    when = timestamp_parameter(now)
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(
                    ROTATE,
                    [successor.digest, when, timestamp_parameter(idle), uuid_parameter(presented.family),
                     presented.digest, when, when],
                )  # fmt: skip
                rows = cursor.fetchall()
            if rows:
                sign_in = _sign_in(presented.family, rows[0])
                _require_standing(sign_in, now)
                _record(EventType.TOKEN_REFRESHED, sign_in, jti=jti, now=now)
                return sign_in, successor
        return _not_current(presented, successor, jti=jti, now=now)
    except InvalidGrant as refusal:
        if refusal.reason in ACCOUNT_OVER:
            revoke(presented.family, reason=refusal.reason, now=now)
        raise


def _not_current(
    presented: RefreshToken, successor: RefreshToken, *, jti: str, now: datetime.datetime
) -> tuple[SignIn, RefreshToken]:
    """Judge a genuine token that is not the current one: a repeat within the grace, or reuse."""
    with transaction.atomic():
        family = _locked().filter(pk=presented.family).first()
        if family is None:
            raise InvalidGrant("family_unknown")
        if family.revoked_at is not None:
            raise InvalidGrant("family_revoked", session=str(family.pk), subject=str(family.user_id))
        if now >= min(family.expires_at, family.idle_expires_at):
            raise InvalidGrant("family_expired", session=str(family.pk), subject=str(family.user_id))
        grace = datetime.timedelta(seconds=settings.REFRESH_GRACE_SECONDS)
        if bytes(family.current_digest) == successor.digest and now - family.rotated_at <= grace:
            with connection.cursor() as cursor:
                cursor.execute(REPEAT, [uuid_parameter(presented.family)])
                sign_in = _sign_in(presented.family, cursor.fetchone())
            _require_standing(sign_in, now)
            _record(EventType.TOKEN_REPEATED, sign_in, jti=jti, now=now)
            return sign_in, successor
        _end(family, reason="reuse", now=now, event=EventType.TOKEN_REUSED, outcome=Outcome.SERIOUS)
    raise InvalidGrant("reuse", recorded=True)


def revoke(
    key: uuid.UUID, *, reason: str, now: datetime.datetime, by: User | None = None, words: str = ""
) -> bool:
    """End a family: every token that descends from it is refused at its next use. Return whether it was open.

    `reason` is a code. `by` is the administrator who does it, who needs the permission, and `words` say why. Raises
    Refused.
    """
    if by is not None:
        require(by, "tokens.revoke_refresh_family")
    with transaction.atomic():
        family = _locked().filter(pk=key, revoked_at__isnull=True).first()
        if family is None:
            return False
        _end(
            family,
            reason=reason,
            now=now,
            event=EventType.REFRESH_FAMILY_REVOKED,
            outcome=Outcome.SUCCESS,
            by=by,
            words=words,
        )
    return True


def revoke_of_user(user: User, *, reason: str, now: datetime.datetime) -> int:
    """End every family of a person. Return how many were open."""
    with transaction.atomic():
        families = list(_locked().filter(user_id=user.pk, revoked_at__isnull=True, expires_at__gt=now))
        for family in families:
            _end(
                family,
                reason=reason,
                now=now,
                event=EventType.REFRESH_FAMILY_REVOKED,
                outcome=Outcome.SUCCESS,
            )
    return len(families)


def sign_in_of(key: uuid.UUID) -> SignIn | None:
    """Return the sign-in behind an access token's `sid`, as it stands now. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(STANDING, [uuid_parameter(key)])
        row = cursor.fetchone()
    if row is None:
        return None
    *facts, revoked_at, scope, purposes = row
    policy = ClientPolicy(purposes=frozenset(json.loads(purposes)) or None, scopes=smart.parse(scope) or None)
    return replace(_sign_in(key, facts), revoked=revoked_at is not None, client_policy=policy)


def remove_ended(now: datetime.datetime) -> int:
    """Delete families a week after their last possible use. Their story stays in the ledger."""
    return RefreshFamily.objects.filter(expires_at__lt=now - datetime.timedelta(days=7)).delete()[0]


def _end(
    family: RefreshFamily,
    *,
    reason: str,
    now: datetime.datetime,
    event: EventType,
    outcome: Outcome,
    by: User | None = None,
    words: str = "",
) -> None:
    family.revoked_at, family.revocation_reason = now, reason[:40]
    family.save(update_fields=["revoked_at", "revocation_reason"])
    ledger.record(
        event, outcome=outcome, by=by, obj=family, object_label=str(family), session=str(family.pk),
        client=family.client.client_id, reason_code=reason[:64], reason=words,
        details={"user": str(family.user_id)}, now=now,
    )  # fmt: skip


def _locked() -> QuerySet[RefreshFamily]:
    """Return the families, each locked until commit when it is read, with their client in the same statement."""
    return RefreshFamily.objects.select_for_update(of=("self",)).select_related("client")


def _require_standing(sign_in: SignIn, now: datetime.datetime) -> None:
    if refusal := sign_in.refusal(now):
        raise InvalidGrant(refusal, by=sign_in.subject, client=sign_in.client_id, session=str(sign_in.family))


def _record(event: EventType, sign_in: SignIn, *, jti: str, now: datetime.datetime) -> None:
    ledger.record(
        event, by=sign_in.subject, client=sign_in.client_id, session=str(sign_in.family), jti=jti, now=now
    )


def _sign_in(family: uuid.UUID, row: Sequence[Any]) -> SignIn:
    (
        user,
        scope,
        acr,
        amr,
        auth_time,
        expires_at,
        username,
        state,
        ends_at,
        client_id,
        client_active,
        client_end,
    ) = row
    when: Any = timestamp_from(auth_time)
    expires: Any = timestamp_from(expires_at)
    account = Account(state, timestamp_from(ends_at))
    return SignIn(
        family, Subject(uuid_from(user), username), scope, acr, amr, when, expires, account,
        client_id, bool(client_active), timestamp_from(client_end),
    )  # fmt: skip
