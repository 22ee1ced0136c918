"""What the OpenAPI description says about authentication (drf-spectacular finds it when it is imported)."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class BaseTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes `Authorization: Bearer <base token>`."""

    target_class = "tokens.api.authentication.BaseTokenAuthentication"
    name = "baseToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT (RFC 9068)"}
