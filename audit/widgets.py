"""Small parts of the portal's pages."""

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString


def without_buttons(formfield: Any) -> Any:
    """Take from a choice of another record the icons that open pop-up windows to add or change that one."""
    if formfield is not None and hasattr(formfield.widget, "can_add_related"):
        for what in ("add", "change", "delete", "view"):
            setattr(formfield.widget, f"can_{what}_related", False)
    return formfield


def badge(state: str, words: str) -> SafeString:
    """Return a state as every page of ours shows it."""
    return format_html('<span class="badge" data-state="{}">{}</span>', state, words)
