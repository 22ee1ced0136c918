"""Signing keys, clients and refresh families in the portal.

A signing key's private part, sealed as it is, never leaves the database on the way to a page; nor do the digests of
refresh tokens.
"""

import json
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html

from accounts.forms import PURPOSES, as_uuid, moment
from accounts.models import User
from audit import refusals
from audit.context import Person
from audit.guarded import Fact, GuardedModelAdmin, PortalModelAdmin, Step, Verb
from audit.paginator import BoundedPaginator
from audit.refusals import Refused
from audit.widgets import badge
from tokens import keys, refresh_families
from tokens.models import Client, RefreshFamily, SigningKey

State = SigningKey.State


class NothingToSay(forms.Form):
    """A verb that asks nothing."""


def rotate(*, by: Any, now: Any, skip_wait: bool) -> None:
    """Rotate the keys, and say so when there was nothing to do."""
    if not keys.rotate(by=by, now=now, hurry=True, skip_wait=skip_wait):
        raise Refused(
            "nothing_due", "The next keys are published already. They sign when every verifier knows them."
        )


ROTATE = Verb(
    name="rotate",
    label="Rotate",
    permission="tokens.rotate_signing_keys",
    operation="keys.rotate",
    act=lambda obj, by, now, cleaned: rotate(by=by, now=now, skip_wait=False),
    form=NothingToSay,
    done="The next signing keys are published. They sign when every verifier has had the time to learn them.",
    intro="Publishes the next key of each algorithm now. It signs after the time for which verifiers may keep the old"
    " key set; nobody notices. Rotation comes by itself as well.",
)
ROTATE_AT_ONCE = Verb(
    name="rotate-at-once",
    label="Rotate at once",
    permission="tokens.rotate_signing_keys",
    operation="keys.rotate",
    act=lambda obj, by, now, cleaned: rotate(by=by, now=now, skip_wait=True),
    form=NothingToSay,
    danger=True,
    done="New keys sign from now on.",
    intro="New keys sign from this moment. A verifier that does not fetch the key set again for a key that it has not"
    " seen refuses tokens until its copy is old. What was signed before stays valid.",
)
REVOKE_KEY = Verb(
    name="revoke",
    label="Revoke",
    permission="tokens.revoke_signing_key",
    operation="keys.revoke",
    act=lambda key, by, now, cleaned: keys.revoke(kid=key.pk, by=by, now=now, **cleaned),
    is_offered=lambda key: key.state != State.REVOKED,
    danger=True,
    done="The key is revoked.",
    intro="For a key that others may have. Every token that it signed is refused from now on, and a fresh key takes its"
    " place if it was signing.",
)


def end_family(family: RefreshFamily, by: Any, now: Any, cleaned: dict[str, Any]) -> RefreshFamily:
    """End a refresh family and return it as it is now."""
    code, words = "revoked_by_administrator", cleaned["reason"]
    if not refresh_families.revoke(family.pk, reason=code, by=by, now=now, words=words):
        raise Refused("wrong_state", "The family was revoked already.")
    family.refresh_from_db()
    return family


REVOKE_FAMILY = Verb(
    name="revoke",
    label="Revoke",
    permission="tokens.revoke_refresh_family",
    operation="refresh_families.revoke",
    act=end_family,
    is_offered=lambda family: family.revoked_at is None,
    danger=True,
    done="The refresh family is revoked.",
    intro="Whoever holds its token must sign in again. Access tokens that came from it are refused where Wardkey is"
    " asked, and elsewhere when they end, after some minutes.",
)


@admin.register(SigningKey)
class SigningKeyAdmin(GuardedModelAdmin):
    """Signing keys, without their private part."""

    list_display = (
        "key",
        "algorithm",
        "state_shown",
        "created_at",
        "activated_at",
        "retiring_at",
        "retired_at",
    )
    exclude = ("private_key",)
    sortable_by = ()
    paginator = BoundedPaginator
    verbs = (REVOKE_KEY,)
    list_verbs = (ROTATE, ROTATE_AT_ONCE)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SigningKey]:
        return super().get_queryset(request).defer("private_key")

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """A key id has no NUL, which PostgreSQL takes in no text."""
        return None if "\x00" in object_id else super().get_object(request, object_id, from_field)

    @admin.display(description="Key")
    def key(self, key: SigningKey) -> Any:
        """The beginning of the key id, as on the overview."""
        return format_html('<span class="ref">{}</span>', key.kid[:8])

    @admin.display(description="State")
    def state_shown(self, key: SigningKey) -> Any:
        """The state as a badge."""
        return badge(key.state, key.get_state_display())

    def facts(self, request: HttpRequest, obj: Any) -> list[Fact]:
        """Say which key it is and what everybody may know of it."""
        public = json.dumps(obj.public_jwk, sort_keys=True)
        return [
            Fact("Key id", format_html('<span class="ref">{}</span>', obj.kid)),
            Fact("Algorithm", obj.algorithm),
            Fact("Private part", "Destroyed" if obj.state in (State.RETIRED, State.REVOKED) else "Sealed"),
            Fact("Public key (JWK)", format_html('<span class="ref">{}</span>', public)),
        ]

    def timeline(self, request: HttpRequest, obj: Any) -> list[Step]:
        """Say when the key went from state to state."""
        steps = [
            Step("Published", None, obj.created_at),
            Step("Began to sign", None, obj.activated_at),
            Step("Stopped signing", None, obj.retiring_at),
            Step("Private part destroyed", None, obj.retired_at),
            Step("Revoked", None, obj.revoked_at, obj.revocation_reason),
        ]
        return [step for step in steps if step.at is not None]


class ClientForm(forms.ModelForm):  # type: ignore[type-arg]
    """A client."""

    purposes_of_use = forms.MultipleChoiceField(
        choices=PURPOSES,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=Client._meta.get_field("purposes_of_use").help_text,
    )
    ends_at = moment("Ends", required=False, help_text="In UTC. Nothing is issued to it afterwards.")

    class Meta:
        widgets = {"scope": forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})}

    def clean_scope(self) -> str:
        return " ".join(self.cleaned_data["scope"].split())


@admin.register(Client)
class ClientAdmin(PortalModelAdmin):
    """Clients."""

    form = ClientForm
    actions = None
    list_display = ("name", "client_id", "client_type", "owner", "is_active", "ends_at")
    search_fields = ("client_id__startswith", "name__startswith")
    fields = (
        ("name", "client_id"),
        "client_type",
        "owner",
        "scope",
        "purposes_of_use",
        ("is_active", "ends_at"),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Client | None = None) -> Any:
        """The ledger and the client's own configuration name it by its id for good."""
        return ("client_id",) if obj else ()

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        client = self.get_object(request, unquote(object_id))
        if client is None or not self.has_delete_permission(request, client):
            return super().delete_view(request, object_id, extra_context)
        refused = self.not_deleted(client)
        if refused is None:
            return super().delete_view(request, object_id, extra_context)
        refusals.record(refused, operation="client.delete", by=cast(Person, request.user), obj=client)
        self.message_user(request, str(refused), messages.ERROR)
        return HttpResponseRedirect(self.record_url(client))

    def not_deleted(self, client: Client) -> Refused | None:
        """Return why a client must stay, or None."""
        if client.client_id == Client.DIRECT:
            return Refused("direct_client", "The API's own client can be switched off but not removed.")
        if client.refresh_families.exists():
            return Refused("client_in_use", "People have signed in with this client: switch it off instead.")
        return None


@admin.register(RefreshFamily)
class RefreshFamilyAdmin(GuardedModelAdmin):
    """Refresh families, without their digests."""

    list_display = ("family", "user", "client", "state_shown", "created_at", "rotated_at", "expires_at")
    list_select_related = ("user", "client")
    exclude = ("current_digest",)
    ordering = ("-created_at", "id")
    sortable_by = ()
    paginator = BoundedPaginator
    search_fields = ("user__username",)
    search_help_text = "A username in full, or the id of a person or a family. Without: the newest thousand."
    verbs = (REVOKE_FAMILY,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RefreshFamily]:
        return super().get_queryset(request).defer("current_digest")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Look a username or an id up exactly."""
        text = search_term.strip()
        if (key := as_uuid(text)) is not None:
            return queryset.filter(Q(pk=key) | Q(user=key)), False
        if "\x00" in text:
            return queryset.none(), False
        return (queryset.filter(user__username=User.normalize_username(text)) if text else queryset), False

    @admin.display(description="Family")
    def family(self, family: RefreshFamily) -> Any:
        """The beginning of the id."""
        return format_html('<span class="ref">{}</span>', str(family.pk)[:8])

    @admin.display(description="State")
    def state_shown(self, family: RefreshFamily) -> Any:
        """Whether it is of use still, as a badge."""
        return badge(*state_of(family))

    def facts(self, request: HttpRequest, obj: Any) -> list[Fact]:
        """Say whose it is, with which client, how they signed in and how long it can live."""
        return [
            Fact("State", badge(*state_of(obj))),
            Fact("Person", obj.user),
            Fact("Client", obj.client),
            Fact("Id", format_html('<span class="ref">{}</span>', obj.pk)),
            Fact("Scope", obj.scope),
            Fact("Signed in by", f"{obj.amr} ({obj.acr})"),
            Fact("Times refreshed", str(obj.generation)),
            Fact("Ends if unused", obj.idle_expires_at),
            Fact("Ends at the latest", obj.expires_at),
        ]

    def timeline(self, request: HttpRequest, obj: Any) -> list[Step]:
        """Say when it began, was last used and ended."""
        steps = [Step("Signed in", None, obj.auth_time)]
        if obj.generation:
            steps.append(Step("Last refreshed", None, obj.rotated_at))
        if obj.revoked_at is not None:
            steps.append(Step("Revoked", None, obj.revoked_at, obj.revocation_reason.replace("_", " ")))
        return steps


def state_of(family: RefreshFamily) -> tuple[str, str]:
    """Return the state that a family's times amount to now: its code, and in words."""
    if family.revoked_at is not None:
        return "revoked", "Revoked"
    over = min(family.expires_at, family.idle_expires_at) <= timezone.now()
    return ("expired", "Expired") if over else ("active", "Active")
