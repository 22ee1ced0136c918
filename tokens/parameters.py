"""The one reader of request parameters: each is a single, bounded, printable text; nothing else is let in."""

from collections.abc import Mapping
from typing import Any

from tokens.errors import InvalidRequest


def read(body: Any, lengths: Mapping[str, int]) -> dict[str, str]:
    """Return the parameters named in `lengths` (name: most characters), all of which must be there.

    Raises InvalidRequest for anything missing, unknown, empty, too long, not a text or not printable.
    """
    if not isinstance(body, dict):
        raise InvalidRequest("not_an_object")
    if body.keys() != lengths.keys():
        raise InvalidRequest("missing_or_unknown_parameter")
    for name, longest in lengths.items():
        value = body[name]
        if not isinstance(value, str) or not value or len(value) > longest or not _is_clean(value):
            raise InvalidRequest(f"malformed_{name}")
    return dict(body)


def _is_clean(value: str) -> bool:
    return value.isprintable() or all(character.isprintable() or character == " " for character in value)
