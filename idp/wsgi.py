"""The WSGI entry. In demo mode the example FHIR server is mounted at /fhir, as a reverse proxy would."""

import gc
import os
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "idp.settings")
WSGIApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]


def with_demo_fhir_server(wardkey: WSGIApplication) -> WSGIApplication:
    """Return an application that hands everything below /fhir to the example FHIR server."""
    from examples.fhir_server.app import from_environment
    from examples.fhir_server.in_process import asker

    fhir = from_environment(ask=asker(wardkey))

    def dispatch(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/fhir" or path.startswith("/fhir/"):
            mounted = {
                **environ,
                "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + "/fhir",
                "PATH_INFO": path[5:],
            }
            return fhir(mounted, start_response)
        return wardkey(environ, start_response)

    return dispatch


if settings.SECRETS_MISSING:
    raise ImproperlyConfigured(
        "Set WARDKEY_SECRET_KEY, WARDKEY_ENCRYPTION_KEYS and WARDKEY_HASH_KEY, or their _FILE."
    )
application: WSGIApplication = get_wsgi_application()
if settings.WARDKEY_DEMO:
    application = with_demo_fhir_server(application)
# What is loaded by now stays for good: without this each full collection walks all of it, a tenth of a request's time.
gc.collect()
gc.freeze()
