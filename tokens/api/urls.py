"""The addresses of the token API."""

from django.urls import path

from tokens.api import schema, views  # noqa: F401 (schema registers itself)

urlpatterns = [
    path("", views.ObtainToken.as_view(), name="token_obtain"),
    path("refresh/", views.RefreshToken.as_view(), name="token_refresh"),
    path("verify/", views.VerifyToken.as_view(), name="token_verify"),
    path("revoke/", views.RevokeToken.as_view(), name="token_revoke"),
    path("patient/", views.PatientToken.as_view(), name="token_patient"),
]
