"""An application of the demonstration: JSON over HTTP to the running server, without a proxy and without redirects."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 10


class StoryBroken(Exception):
    """The story cannot go on: one sentence that says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` is empty when it was no JSON object."""

    status: int
    body: dict[str, Any]
    raw: bytes

    @property
    def sentence(self) -> str:
        """Return what a refusal says: the API's detail, or the diagnostics of a FHIR OperationOutcome."""
        issues = self.body.get("issue")
        if isinstance(issues, list) and issues and isinstance(issues[0], dict):
            return str(issues[0].get("diagnostics", ""))
        return str(self.body.get("detail", ""))

    def text(self, name: str) -> str:
        """Return a member that the rest of the story needs. Raises StoryBroken."""
        value = self.body.get(name)
        if not isinstance(value, str):
            raise StoryBroken(f"The server gave no {name} token, and without one the story cannot go on.")
        return value


class App:
    """One application; each request is a connection of its own."""

    def __init__(self, address: str, user_agent: str) -> None:
        self.address = address
        self._user_agent = user_agent

    def get(self, path: str, token: str = "") -> Answer:
        """GET `path` with a bearer token. Raises StoryBroken when there is no answer."""
        return self._send("GET", path, None, token)

    def post(self, path: str, body: dict[str, str], token: str = "") -> Answer:
        """POST `body` as JSON to `path`. Raises StoryBroken when there is no answer."""
        return self._send("POST", path, json.dumps(body).encode(), token)

    def _send(self, method: str, path: str, body: bytes | None, token: str) -> Answer:
        parts = urlsplit(self.address)
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = connect(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        headers = {"User-Agent": self._user_agent, "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise StoryBroken(f"No server answers at {self.address}.") from error
        finally:
            connection.close()
        return Answer(response.status, _json_object(raw), raw)


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(raw)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
