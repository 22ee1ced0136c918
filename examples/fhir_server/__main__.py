"""Run the server by itself: `python -m examples.fhir_server --port 8100 --issuer URL --patients FILE.json`.

For a developer's machine: the standard library's WSGI server, a thread for each connection, loopback only unless told.
Wardkey must mint tokens for this audience (WARDKEY_FHIR_BASE=http://127.0.0.1:8100), which is printed at the start.
"""

import argparse
import logging
import socketserver
import sys
import urllib.parse
import wsgiref.simple_server
from pathlib import Path
from typing import TYPE_CHECKING

from .app import application_of
from .patients_file import parse_people

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

IDLE_SECONDS = 30


class ThreadingServer(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """wsgiref's server with a thread for each connection."""

    daemon_threads = True


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    """wsgiref's handler without its access log, which writes whole URLs: the application logs for itself."""

    timeout = IDLE_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def serve(application: "WSGIApplication", host: str, port: int) -> ThreadingServer:
    """Return a server bound to host and port (0 for any free one); call its `serve_forever`."""
    server = ThreadingServer((host, port), QuietHandler)
    server.set_app(application)
    return server


def main(arguments: list[str]) -> int:
    """Serve until interrupted; return an exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.fhir_server", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--issuer", default="http://127.0.0.1:8000", help="Wardkey's public address")
    parser.add_argument(
        "--base-url", help="this server's public address and audience (default http://HOST:PORT)"
    )
    parser.add_argument(
        "--patients", type=Path, required=True, help="JSON file with the people to make records of"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    base_url = (options.base_url or f"http://{options.host}:{options.port}").rstrip("/")
    try:
        parse_people(options.patients.read_bytes())
        application = application_of(options.issuer.rstrip("/"), base_url, options.patients)
        server = serve(application, options.host, options.port)
    except (OSError, ValueError, OverflowError) as error:
        print(f"fhir_server: {error}", file=sys.stderr)
        return 1
    path = urllib.parse.urlsplit(base_url).path
    if path:
        print(
            f"fhir_server: a proxy must take {path} off the path: routes start at the root here",
            file=sys.stderr,
        )
    print(
        f"fhir_server: listening on {options.host} port {server.server_port}, audience {base_url}", flush=True
    )
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("fhir_server: stopped", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
