"""Logs: one JSON object a line, scrubbed of anything that looks like a token."""

import json
import logging
import re

from audit import context

SECRETS = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*|[\w-]{91}(?![\w-])|(?<=\?)\S+")


class Scrub(logging.Filter):
    """Takes tokens and query strings out of messages."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = SECRETS.sub("(removed)", record.getMessage()), ()
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
