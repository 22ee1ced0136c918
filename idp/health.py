"""/livez: the process answers. /readyz: it could do its work (database, cache, signing keys)."""

from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from tokens import key_ring


@never_cache
@login_not_required
def livez(request: HttpRequest) -> JsonResponse:
    """Answer without touching anything."""
    return JsonResponse({"status": "ok"})


@never_cache
@login_not_required
def readyz(request: HttpRequest) -> JsonResponse:
    """Touch the database, the cache and the key ring; a database that is away is the middleware's 503."""
    cache.set("readyz", "1", 10)
    missing = [alg for alg in ("ES256", "RS256") if alg not in key_ring.current().signers]
    if missing or cache.get("readyz") != "1":
        return JsonResponse({"status": "unavailable"}, status=503, headers={"Retry-After": "5"})
    return JsonResponse({"status": "ok"})
