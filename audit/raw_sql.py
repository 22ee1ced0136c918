"""How values cross the border where hot paths speak SQL directly, the same on SQLite and PostgreSQL.

SQLite keeps UUIDs as hexadecimal text and times as text without an offset; PostgreSQL has types for both.
"""

import datetime
import uuid
from typing import Any

from django.db import connection


def uuid_parameter(value: uuid.UUID) -> Any:
    """Return a UUID as a query parameter."""
    return value if connection.features.has_native_uuid_field else value.hex


def timestamp_parameter(value: datetime.datetime) -> Any:
    """Return an aware time as a query parameter."""
    return connection.ops.adapt_datetimefield_value(value)


def uuid_from(value: Any) -> uuid.UUID:
    """Return the UUID of a column's value."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)


def timestamp_from(value: Any) -> datetime.datetime | None:
    """Return the aware time of a column's value."""
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    if not isinstance(value, datetime.datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
