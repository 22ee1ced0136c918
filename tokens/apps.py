"""The tokens app."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TokensConfig(AppConfig):
    name = "tokens"
    verbose_name = "Tokens"

    def ready(self) -> None:
        from audit import model_changes
        from tokens.api import simplejwt
        from tokens.models import Client

        model_changes.register(Client)
        simplejwt.close_stock_backend()
        post_migrate.connect(create_direct_client, sender=self, dispatch_uid="wardkey.direct_client")


def create_direct_client(**kwargs: Any) -> None:
    """Create the client that the API's own sign-in uses, where it is missing; a receiver of `post_migrate`."""
    from tokens.models import Client

    Client.objects.get_or_create(
        client_id=Client.DIRECT, defaults={"name": "Direct sign-in over the API", "owner": "Wardkey"}
    )
