"""The token API. No rule, no write: each view reads its parameters and calls one operation.

Answers are JSON and nothing else, so they need no negotiated rendering after the view: Django's JsonResponse.
"""

from typing import Any

from allauth.account.adapter import get_adapter
from django.core.exceptions import ValidationError
from django.http import JsonResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.views import APIView

from tokens import issuing, parameters
from tokens.api.authentication import BaseTokenAuthentication
from tokens.errors import InvalidCredentials, InvalidRequest, TooManyAttempts

TOKEN_LENGTH = 8192
REFUSAL = OpenApiResponse(
    inline_serializer("Refusal", {"code": serializers.CharField(), "detail": serializers.CharField()}),
    description="Refused: a stable code and a sentence.",
)
REFUSALS = dict.fromkeys((400, 401, 405, 413, 415, 503), REFUSAL)
ISSUED = inline_serializer(
    "Issued",
    {
        "access": serializers.CharField(),
        "refresh": serializers.CharField(),
        "token_type": serializers.CharField(),
        "expires_in": serializers.IntegerField(),
    },
)


def takes(name: str, *fields: str) -> Any:
    """Describe a request body of required texts."""
    return inline_serializer(name, {field: serializers.CharField() for field in fields})


# Diverges: JSON with `access` and `refresh` (simplejwt's interface), not RFC 6749's forms; the OAuth endpoints follow.
class TokenEndpoint(APIView):
    """What all endpoints share: POST alone, nothing in the address, no cache keeps an answer."""

    http_method_names = ("post",)
    permission_classes: Any = (AllowAny,)
    authentication_classes: Any = ()

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Refuse a query string before anything else: a token in an address ends up in somebody's log."""
        if request.META.get("QUERY_STRING"):
            raise InvalidRequest("query_string")
        super().initial(request, *args, **kwargs)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        response["Pragma"] = "no-cache"
        return response


def issued(answer: issuing.Issued) -> JsonResponse:
    """Return a base token with its refresh token."""
    return JsonResponse(
        {
            "access": answer.access,
            "refresh": answer.refresh,
            "token_type": "Bearer",
            "expires_in": answer.expires_in,
        }
    )


class ObtainToken(TokenEndpoint):
    """Sign in with username and password."""

    @extend_schema(
        request=takes("SignIn", "username", "password"), responses={200: ISSUED, 429: REFUSAL, **REFUSALS}
    )
    def post(self, request: Any) -> JsonResponse:
        given = parameters.read(request.data, {"username": 150, "password": 1024}, free=("password",))
        try:
            user = get_adapter(request._request).authenticate(request._request, **given)
        except ValidationError as error:
            raise TooManyAttempts(recorded=True) from error
        if user is None:
            raise InvalidCredentials(recorded=True)
        return issued(issuing.sign_in(user=user, amr="pwd", acr="aal1", now=timezone.now()))


class RefreshToken(TokenEndpoint):
    """Trade a refresh token, which is used up, for the next."""

    @extend_schema(request=takes("Refresh", "refresh"), responses={200: ISSUED, **REFUSALS})
    def post(self, request: Any) -> JsonResponse:
        given = parameters.read(request.data, {"refresh": 512})
        return issued(issuing.refresh(presented=given["refresh"], now=timezone.now()))


class VerifyToken(TokenEndpoint):
    """Ask whether an access token still holds."""

    @extend_schema(
        request=takes("Verification", "token"), responses={200: inline_serializer("Holds", {}), **REFUSALS}
    )
    def post(self, request: Any) -> JsonResponse:
        given = parameters.read(request.data, {"token": TOKEN_LENGTH})
        issuing.check(token=given["token"], now=timezone.now())
        return JsonResponse({})


class RevokeToken(TokenEndpoint):
    """End a token's whole family (RFC 7009); 200 whatever the token was."""

    # Diverges: whoever has the token may end it; no client authentication, and JSON for a form.

    @extend_schema(
        request=takes("Revocation", "token"), responses={200: inline_serializer("Revoked", {}), **REFUSALS}
    )
    def post(self, request: Any) -> JsonResponse:
        given = parameters.read(request.data, {"token": TOKEN_LENGTH})
        issuing.revoke(token=given["token"], now=timezone.now())
        return JsonResponse({})


class PatientToken(TokenEndpoint):
    """Trade a base token for a token that names one patient."""

    authentication_classes = (BaseTokenAuthentication,)
    permission_classes = (IsAuthenticated,)

    @extend_schema(
        request=takes("PatientTokenRequest", "patient", "purpose_of_use", "scope"),
        responses={
            200: inline_serializer(
                "IssuedForPatient",
                {
                    "access": serializers.CharField(),
                    "token_type": serializers.CharField(),
                    "expires_in": serializers.IntegerField(),
                    "scope": serializers.CharField(),
                    "patient": serializers.CharField(),
                    "purpose_of_use": serializers.CharField(),
                },
            ),
            403: REFUSAL,
            **REFUSALS,
        },
    )
    def post(self, request: Any) -> JsonResponse:
        given = parameters.read(request.data, {"patient": 64, "purpose_of_use": 32, "scope": 4000})
        answer = issuing.for_patient(base=request.user.claims, now=timezone.now(), **given)
        return JsonResponse(
            {
                "access": answer.access,
                "token_type": "Bearer",
                "expires_in": answer.expires_in,
                "scope": answer.scope,
                "patient": answer.patient,
                "purpose_of_use": answer.purpose_of_use,
            }
        )
