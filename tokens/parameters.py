"""The one reader of request parameters: each is a single, bounded, printable text; nothing else is let in."""

from collections.abc import Collection, Mapping
from typing import Any

from tokens.errors import InvalidRequest


def read(body: Any, lengths: Mapping[str, int], *, free: Collection[str] = ()) -> dict[str, str]:
    """Return the parameters named in `lengths` (name: most characters), all of which must be there.

    Those in `free` may hold any character but NUL and lone surrogates: people put anything into a password.

    Raises InvalidRequest for anything missing, unknown, empty, too long, not a text or not printable.
    """
    if not isinstance(body, dict):
        raise InvalidRequest("not_an_object")
    if body.keys() != lengths.keys():
        raise InvalidRequest("missing_or_unknown_parameter")
    for name, longest in lengths.items():
        value = body[name]
        if not isinstance(value, str) or not 0 < len(value) <= longest:
            raise InvalidRequest(f"malformed_{name}")
        if not (_is_storable(value) if name in free else value.isprintable()):
            raise InvalidRequest(f"malformed_{name}")
    return dict(body)


def _is_storable(value: str) -> bool:
    return not any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in value)
