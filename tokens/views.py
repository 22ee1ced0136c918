"""The published key set (RFC 7517 section 5)."""

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from tokens import key_ring


@require_safe
@login_not_required
def jwks(request: HttpRequest) -> HttpResponseBase:
    """Serve the public keys from memory, with ETag (RFC 9110 section 13) and max-age; any origin may read them."""
    ring = key_ring.current()
    response = HttpResponse(ring.jwks, content_type="application/jwk-set+json")
    response["Cache-Control"] = f"public, max-age={settings.JWKS_MAX_AGE_SECONDS}"
    response["ETag"] = ring.etag
    answer = get_conditional_response(request, etag=ring.etag, response=response) or response
    answer["Access-Control-Allow-Origin"] = "*"
    return answer
