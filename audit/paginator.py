"""Pages of a list that may have millions of rows: it never counts further than it would show."""

from functools import cached_property
from typing import Any, cast

from django.core.paginator import Paginator
from django.db.models import QuerySet

MOST_ROWS = 1000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts and shows the first MOST_ROWS rows in the list's order; search leads to the others."""

    @cached_property
    def count(self) -> int:
        """The number of rows, or MOST_ROWS. A LIMIT bounds the count itself."""
        rows = cast(QuerySet[Any], self.object_list)
        return rows[:MOST_ROWS].count()
