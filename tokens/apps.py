"""The tokens app."""

from django.apps import AppConfig


class TokensConfig(AppConfig):
    name = "tokens"
    verbose_name = "Tokens"

    def ready(self) -> None:
        from audit import model_changes
        from tokens.api import simplejwt
        from tokens.models import Client

        model_changes.register(Client)
        simplejwt.close_stock_backend()
