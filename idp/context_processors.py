"""What every page knows."""

from django.conf import settings
from django.http import HttpRequest

from audit import context


def site(request: HttpRequest) -> dict[str, str]:
    """Return the hospital's name, and the reference by which the service desk finds this request."""
    return {"site_name": settings.WARDKEY_SITE_NAME, "request_id": context.current().request_id}
