"""Signing keys, clients and refresh families in the portal."""

from django.contrib import admin

from audit.guarded import GuardedModelAdmin
from tokens.models import Client, RefreshFamily, SigningKey


@admin.register(SigningKey)
class SigningKeyAdmin(GuardedModelAdmin):
    """Signing keys, without their private part."""

    list_display = ("kid", "algorithm", "state", "created_at", "activated_at", "retired_at")
    exclude = ("private_key",)


@admin.register(Client)
class ClientAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Clients."""

    list_display = ("name", "client_id", "client_type", "owner", "is_active", "ends_at")
    search_fields = ("^client_id", "^name")


@admin.register(RefreshFamily)
class RefreshFamilyAdmin(GuardedModelAdmin):
    """Refresh families, without their digests."""

    list_display = ("id", "user", "client", "created_at", "rotated_at", "expires_at", "revoked_at")
    list_select_related = ("user", "client")
    exclude = ("current_digest", "previous_digest")
