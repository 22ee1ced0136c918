"""One winner, whatever comes at once: rotation, grace, reuse and revocation of refresh families."""

import datetime
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from audit.events import EventType
from audit.models import Event
from tests.people import People
from tokens import issuing
from tokens.errors import InvalidGrant
from tokens.models import RefreshFamily

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("signing_keys")]


def test_a_refresh_token_is_used_up(people: People) -> None:
    now = timezone.now()
    first = issuing.sign_in(user=people.okafor, amr="pwd", acr="aal1", now=now)
    second = issuing.refresh(presented=first.refresh, now=now)
    assert second.refresh != first.refresh
    later = now + datetime.timedelta(minutes=1)
    with pytest.raises(InvalidGrant) as refusal:
        issuing.refresh(presented=first.refresh, now=later)
    assert refusal.value.reason == "reuse"
    with pytest.raises(InvalidGrant):
        issuing.refresh(presented=second.refresh, now=later)
    assert Event.objects.filter(event=EventType.TOKEN_REUSED).count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_twenty_refreshes_at_once_give_one_successor(people: People) -> None:
    first = issuing.sign_in(user=people.okafor, amr="pwd", acr="aal1", now=timezone.now())
    barrier = threading.Barrier(20)

    def refresh() -> str:
        try:
            barrier.wait()
            return issuing.refresh(presented=first.refresh, now=timezone.now()).refresh
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        successors = {each.result() for each in [pool.submit(refresh) for _ in range(20)]}
    assert len(successors) == 1
    assert RefreshFamily.objects.get().generation == 1
    assert Event.objects.filter(event=EventType.TOKEN_REFRESHED).count() == 1
    assert Event.objects.filter(event=EventType.TOKEN_REPEATED).count() == 19
