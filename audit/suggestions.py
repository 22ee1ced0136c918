"""What the portal's autocomplete suggests: records by what tells them apart, and not by their title alone."""

from typing import Any

from django.contrib.admin.views.autocomplete import AutocompleteJsonView


def identification(obj: Any) -> str:
    """Return what tells a record apart: its own `identification`, else its title."""
    return str(getattr(obj, "identification", obj))


class Suggestions(AutocompleteJsonView):
    """Answers the autocomplete."""

    def serialize_result(self, obj: Any, to_field_name: str) -> dict[str, str]:
        return {**super().serialize_result(obj, to_field_name), "text": identification(obj)}
