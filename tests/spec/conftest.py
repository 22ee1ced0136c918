"""Tokens and keys of ours, to be judged by libraries that are not ours."""

import json
from typing import Any

import pytest
from django.test import Client

from tests.people import People
from tests.tokens import calls


@pytest.fixture
def cast(people: People, signing_keys: None) -> People:
    """The cast, in a house whose keys sign."""
    return people


@pytest.fixture
def issued(cast: People) -> dict[str, Any]:
    """What Dr Okafor's app got when she signed in."""
    return calls.obtain()


@pytest.fixture
def patient_token(cast: People, issued: dict[str, Any]) -> str:
    """A token for Rosa."""
    return str(calls.patient_token(issued["access"], cast.rosa.pk).json()["access"])


@pytest.fixture
def jwks(cast: People) -> dict[str, Any]:
    """The key set as it is served."""
    served: dict[str, Any] = json.loads(Client().get("/.well-known/jwks.json").content)
    return served
