"""The tokens app."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save
from django.utils import timezone


class TokensConfig(AppConfig):
    name = "tokens"
    verbose_name = "Tokens"

    def ready(self) -> None:
        from accounts.models import User
        from audit import model_changes
        from tokens.api import simplejwt
        from tokens.models import Client

        model_changes.register(Client)
        simplejwt.close_stock_backend()
        post_save.connect(end_families, sender=User, dispatch_uid="wardkey.password_changed")
        post_migrate.connect(create_direct_client, sender=self, dispatch_uid="wardkey.direct_client")


def end_families(*, instance: Any, created: bool, **kwargs: Any) -> None:
    """End every refresh family of somebody whose password was changed, by whichever door; a receiver of `post_save`.

    `_password` holds the new password just then, and not when Django only moves an old hash to the current hasher.
    """
    from tokens import refresh_families

    if not created and instance._password is not None:
        refresh_families.revoke_of_user(instance, reason="password_changed", now=timezone.now())


def create_direct_client(**kwargs: Any) -> None:
    """Create the client that the API's own sign-in uses, where it is missing; a receiver of `post_migrate`."""
    from tokens.models import Client

    Client.objects.get_or_create(
        client_id=Client.DIRECT, defaults={"name": "Direct sign-in over the API", "owner": "Wardkey"}
    )
