"""One shape for what programs are refused with, also where no view was reached: {"code", "detail"}, never a page.

A bad Host, an unknown address, a bug: Django answers these with the pages for people. Below PATHS they become JSON
with a code from the table of tokens.errors; nothing of the request is repeated.
"""

import json
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from tokens import errors

GetResponse = Callable[[HttpRequest], HttpResponse]
PATHS = ("/api/", "/.well-known/")
OF_STATUS = {
    each.status: each
    for each in (
        errors.InvalidRequest,
        errors.AccessDenied,
        errors.NotFound,
        errors.MethodNotAllowed,
        errors.RequestTooLarge,
        errors.ServerError,
        errors.TemporarilyUnavailable,
    )
}


class JSONRefusalsMiddleware:
    """Turns the error pages that programs would get into JSON."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_json = response.get("Content-Type", "").startswith("application/json")
        if response.status_code < 400 or is_json or not request.path_info.startswith(PATHS):
            return response
        refusal = OF_STATUS.get(response.status_code, errors.InvalidRequest)
        response.content = json.dumps({"code": refusal.code, "detail": refusal.detail}).encode()
        response["Content-Type"] = "application/json"
        response["Cache-Control"] = "no-store"
        response.headers.pop("Content-Length", None)
        return response
