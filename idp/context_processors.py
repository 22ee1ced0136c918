"""What every page knows."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, str]:
    """Return the hospital's name."""
    return {"site_name": settings.WARDKEY_SITE_NAME}
