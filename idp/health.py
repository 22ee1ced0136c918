"""/livez: the process answers. /readyz: it could do its work (database, cache, signing keys)."""

import logging

from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from redis.exceptions import RedisError

from crypto.envelope import CannotOpen
from tokens import key_ring
from tokens.rotation import ALGORITHMS

logger = logging.getLogger(__name__)


@never_cache
@login_not_required
def livez(request: HttpRequest) -> JsonResponse:
    """Answer without touching anything."""
    return JsonResponse({"status": "ok"})


@never_cache
@login_not_required
def readyz(request: HttpRequest) -> JsonResponse:
    """Touch all three; the log says what is away."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        cache.set("readyz", "1", 10)
        ready = cache.get("readyz") == "1" and set(ALGORITHMS) <= key_ring.current().signers.keys()
    except (DatabaseError, RedisError, CannotOpen):
        logger.exception("not ready")
        ready = False
    if not ready:
        return JsonResponse({"status": "unavailable"}, status=503, headers={"Retry-After": "5"})
    return JsonResponse({"status": "ok"})
