"""The composition root as an app (for its commands and checks), and the portal as the default admin site."""

from django.apps import AppConfig
from django.contrib.admin.apps import SimpleAdminConfig


class IdpConfig(AppConfig):
    name = "idp"

    def ready(self) -> None:
        from idp import checks  # noqa: F401 (registers the system checks)


class PortalConfig(SimpleAdminConfig):
    """No autodiscovery: what third parties would register does not appear; idp.urls names our admin modules."""

    default_site = "idp.portal.Portal"
