"""The portal's lists: sorted only by the columns that a page offers to sort by.

Django takes `?o=` for any column that it lists, `sortable_by` or not: of a large table, a sort that no index serves.
"""

from typing import Any

from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.http import HttpRequest


class PortalChangeList(ChangeList):
    """A list that forgets what else an address asks it to sort by."""

    def get_ordering(self, request: HttpRequest, queryset: Any) -> Any:
        asked = dict.fromkeys(self.params.pop(ORDER_VAR, "").split("."))
        if offered := [part for part in asked if self.is_offered(part)]:
            self.params[ORDER_VAR] = ".".join(offered)
        return super().get_ordering(request, queryset)

    def is_offered(self, part: str) -> bool:
        """Return whether a part of the parameter, such as "2" or "-2", is the number of a column to sort by."""
        try:
            name = self.list_display[int(part.rpartition("-")[2])]
        except (IndexError, ValueError):
            return False
        return name in (self.sortable_by or ()) and bool(self.get_ordering_field(name))
