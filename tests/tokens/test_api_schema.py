"""The OpenAPI description is what the API does: schemathesis sends what it allows and what it does not."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.people import People
from tests.tokens import calls

pytestmark = pytest.mark.django_db
SCHEMA: dict[str, Any] = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
described = schemathesis.openapi.from_dict(SCHEMA)
described.app = get_wsgi_application()
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def base(cast: People) -> Iterator[str]:
    """A base token, and one connection, and with it the test's transaction, kept through many requests."""
    token = str(calls.obtain()["access"])  # Django's test client connects these signals again when it is done
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    yield token
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)
    cache.clear()


def test_every_endpoint_is_described() -> None:
    assert set(SCHEMA["paths"]) == set(calls.ENDPOINTS)
    for operation in SCHEMA["paths"].values():
        assert {"400", "401", "405", "413", "415", "503"} <= operation["post"]["responses"].keys()


@described.parametrize()
@settings(
    max_examples=40, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
def test_the_api_answers_as_described(case: Any, base: str) -> None:
    headers = {"Authorization": f"Bearer {base}"} if case.path == calls.PATIENT else {}
    case.call_and_validate(base_url="http://testserver", headers=headers, checks=CHECKS)
