"""Logs: one JSON object a line, scrubbed of anything that looks like a token."""

import json
import logging
import re

from audit import context

# Access tokens, refresh tokens, whatever follows Bearer, query strings, the part of one that a list of the portal
# refuses to filter by, and the row that PostgreSQL shows when it refuses one.
SECRETS = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.[\w-]*|[\w-]{91}(?![\w-])|(?<=bearer )\S+|(?<=\?)\S+|(?<=DETAIL: )[^\n]+"
    r"|(?<=Filtering by )[^\n]+(?= not allowed)",
    re.IGNORECASE,
)


class Scrub(logging.Filter):
    """Takes tokens and query strings out of messages."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # a log call that is wrong must not become a failed request
            message = str(record.msg)
        record.msg, record.args = SECRETS.sub("(removed)", message), ()
        return True


class JSONFormatter(logging.Formatter):
    """Formats a record as one line of JSON; control characters cannot break the line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": context.current().request_id,
        }
        if record.exc_info:
            entry["exception"] = SECRETS.sub("(removed)", self.formatException(record.exc_info))
        return json.dumps(entry)
