"""Find people by the beginning of their username: one range of an index, however many people there are."""

from typing import Any

from accounts.models import User


def username_begins(queryset: Any, path: str, text: str) -> Any:
    """Return the rows whose username, at this path, begins with a text. Usernames are stored in lower case."""
    beginning = User.normalize_username(text)
    if "\x00" in beginning:
        return queryset.none()
    return queryset.filter(**{f"{path}__startswith": beginning}) if beginning else queryset
