"""JSON bodies, strictly: UTF-8, at most 16 kB, no repeated names, no deep nesting."""

import json
from typing import IO, Any

from django.http import UnreadablePostError
from rest_framework.parsers import BaseParser

from tokens.errors import InvalidRequest, RequestTooLarge

MAX_BYTES = 16 * 1024


class StrictJSONParser(BaseParser):
    """Parses application/json and nothing else."""

    media_type = "application/json"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            body = stream.read(MAX_BYTES + 1)
        except UnreadablePostError as error:  # the client went away
            raise InvalidRequest("unreadable_body") from error
        if len(body) > MAX_BYTES:
            raise RequestTooLarge
        try:
            return json.loads(body.decode(), object_pairs_hook=_no_repeats, parse_constant=_no_constants)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest("malformed_json") from error


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise InvalidRequest("repeated_parameter")
    return dict(pairs)


def _no_constants(name: str) -> Any:
    raise InvalidRequest("malformed_json")
