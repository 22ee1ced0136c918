"""The accounts app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "People and access"

    def ready(self) -> None:
        from accounts import registration, sign_ins, starter_roles

        registration.register_models()
        sign_ins.connect()
        # After the last app's tables are there: creating a role writes to the ledger.
        post_migrate.connect(starter_roles.create_missing, sender=self, dispatch_uid="wardkey.starter_roles")
