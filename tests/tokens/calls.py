"""Calls of the token API as a client makes them."""

import json
from typing import Any

from django.test import Client

from tests.people import PASSWORD

OBTAIN, REFRESH, VERIFY = "/api/token/", "/api/token/refresh/", "/api/token/verify/"
REVOKE, PATIENT = "/api/token/revoke/", "/api/token/patient/"
ENDPOINTS = {
    OBTAIN: ("username", "password"),
    REFRESH: ("refresh",),
    VERIFY: ("token",),
    REVOKE: ("token",),
    PATIENT: ("patient", "purpose_of_use", "scope"),
}
OBSERVATIONS = "patient/Observation.rs"


def post(path: str, body: Any, *, client: Client | None = None, bearer: str = "", **extra: Any) -> Any:
    """POST JSON (a text or bytes go out as they are) and return the response; a bug answers, it does not raise."""
    client = client or Client(raise_request_exception=False)
    raw = body if isinstance(body, str | bytes) else json.dumps(body)
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    return client.post(
        path,
        raw,
        **{"content_type": "application/json", "headers": headers, **extra},  # type: ignore[arg-type]
    )


def obtain(username: str = "okafor", password: str = PASSWORD) -> dict[str, Any]:
    """Sign in and return the answer."""
    response = post(OBTAIN, {"username": username, "password": password})
    assert response.status_code == 200, response.content
    answer: dict[str, Any] = response.json()
    return answer


def patient_token(base: str, patient: Any, *, purpose: str = "TREAT", scope: str = OBSERVATIONS) -> Any:
    """Ask for a patient token and return the response."""
    body = {"patient": str(patient), "purpose_of_use": purpose, "scope": scope}
    return post(PATIENT, body, bearer=base)
