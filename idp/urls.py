"""All addresses. tests/house/golden/routes.txt lists them, and which of them are public."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

import accounts.admin  # noqa: F401 (the three register the portal's pages)
import audit.admin  # noqa: F401
import tokens.admin  # noqa: F401
from accounts.admin.explain import explain
from accounts.views import home
from idp import health
from tokens import views as token_views

urlpatterns = [
    path("", home, name="home"),
    path("account/", include("accounts.urls")),
    path("admin/accounts/explain/", admin.site.admin_view(explain), name="explain_access"),
    path("admin/", admin.site.urls),
    path("api/token/", include("tokens.api.urls")),
    path("api/schema/", login_not_required(SpectacularAPIView.as_view()), name="schema"),
    path(
        "api/docs/", login_not_required(SpectacularSwaggerSplitView.as_view(url_name="schema")), name="docs"
    ),
    path(".well-known/jwks.json", token_views.jwks, name="jwks"),
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
]
handler400 = "idp.views.bad_request"
handler403 = "idp.views.permission_denied"
handler404 = "idp.views.page_not_found"
handler500 = "idp.views.server_error"
