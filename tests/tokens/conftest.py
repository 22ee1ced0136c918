"""Every test here has the cast, and keys that sign."""

import pytest

from tests.people import People


@pytest.fixture
def cast(people: People, signing_keys: None) -> People:
    """The cast, in a house whose keys sign."""
    return people
