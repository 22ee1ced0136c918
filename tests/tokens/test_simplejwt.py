"""djangorestframework-simplejwt is a door to our verify() and to nothing else."""

import pytest
from django.apps import apps
from django.conf import settings
from rest_framework import exceptions
from rest_framework.test import APIRequestFactory
from rest_framework_simplejwt.authentication import JWTAuthentication, JWTStatelessUserAuthentication
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, SlidingToken, UntypedToken
from rest_framework_simplejwt.views import token_obtain_pair, token_refresh, token_verify

from audit.models import Event
from tests.people import PASSWORD, People
from tests.tokens import calls, forging
from tokens.api.simplejwt import BaseToken

pytestmark = pytest.mark.django_db
STOCK = [AccessToken, RefreshToken, SlidingToken, UntypedToken]


@pytest.mark.parametrize("kind", [AccessToken, RefreshToken, SlidingToken])
def test_a_stock_class_signs_nothing(cast: People, kind: type[AccessToken]) -> None:
    with pytest.raises(TokenBackendError):
        str(kind())
    with pytest.raises(TokenBackendError):
        str(kind.for_user(cast.okafor))


@pytest.mark.parametrize("kind", STOCK)
def test_a_stock_class_reads_nothing_not_even_a_good_token(cast: People, kind: type[AccessToken]) -> None:
    token = calls.obtain()["access"]
    for verify in (True, False):
        with pytest.raises((TokenError, TokenBackendError)):
            kind(token, verify=verify)


def test_stock_views_let_nobody_in(cast: People) -> None:
    issued = calls.obtain()
    factory = APIRequestFactory()
    attempts = (
        (token_refresh, {"refresh": issued["refresh"]}),
        (token_verify, {"token": issued["access"]}),
        (token_obtain_pair, {"username": "okafor", "password": PASSWORD, "sub": "okafor"}),
    )
    for view, body in attempts:
        try:
            response = view(factory.post("/", body, format="json"))
        except (TokenBackendError, TokenError):
            continue
        assert response.status_code >= 400


def test_our_class_reads_a_base_token_and_signs_nothing(cast: People) -> None:
    issued = calls.obtain()
    assert BaseToken(issued["access"])["sub"] == str(cast.okafor.pk)
    before = Event.objects.count()
    for sign in (lambda: str(BaseToken()), lambda: str(BaseToken.for_user(cast.okafor))):
        with pytest.raises(TokenBackendError):
            sign()
    assert Event.objects.count() == before
    given = calls.patient_token(issued["access"], cast.rosa.pk).json()["access"]
    for token in (
        given,
        issued["refresh"],
        "",
        "x",
        forging.signed(forging.header(typ="JWT"), forging.claims()),
    ):
        with pytest.raises(TokenError):
            BaseToken(token)


def test_our_class_never_reads_without_verifying(cast: People) -> None:
    with pytest.raises((TokenError, TokenBackendError)):
        BaseToken(calls.obtain()["access"], verify=False)


def test_the_settings_leave_no_way_around_the_key_ring() -> None:
    assert not apps.is_installed("rest_framework_simplejwt.token_blacklist")
    assert api_settings.SIGNING_KEY is None
    assert api_settings.ALGORITHM == "ES256"
    assert list(api_settings.AUTH_TOKEN_CLASSES) == [BaseToken]
    rest = settings.REST_FRAMEWORK
    assert rest["DEFAULT_AUTHENTICATION_CLASSES"] == ["tokens.api.authentication.BaseTokenAuthentication"]
    assert rest["DEFAULT_PERMISSION_CLASSES"] == ["rest_framework.permissions.IsAuthenticated"]


@pytest.mark.parametrize("stock", [JWTAuthentication, JWTStatelessUserAuthentication])
def test_stock_authentication_accepts_no_other_kind_of_token(
    cast: People, stock: type[JWTAuthentication]
) -> None:
    issued = calls.obtain()
    given = calls.patient_token(issued["access"], cast.rosa.pk).json()["access"]
    for token in (given, issued["refresh"], "x"):
        request = APIRequestFactory().get("/", headers={"authorization": f"Bearer {token}"})
        with pytest.raises(exceptions.AuthenticationFailed):
            stock().authenticate(request)
