"""The published key set (RFC 7517 section 5)."""

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.views.decorators.http import require_safe

from tokens import key_ring


@require_safe
@login_not_required
def jwks(request: HttpRequest) -> HttpResponse:
    """Serve the public keys from memory, with ETag and max-age; any origin may read them."""
    ring = key_ring.current()
    response: HttpResponse
    if request.headers.get("If-None-Match") == ring.etag:
        response = HttpResponseNotModified()
    else:
        response = HttpResponse(ring.jwks, content_type="application/jwk-set+json")
    response["Cache-Control"] = f"public, max-age={settings.JWKS_MAX_AGE_SECONDS}"
    response["ETag"] = ring.etag
    response["Access-Control-Allow-Origin"] = "*"
    return response
