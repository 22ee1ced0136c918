"""What `manage.py up` needs before Django can read its settings: a folder, its lock, a free port, secrets.

Invariants: an existing secret is never written again; a secret file is complete or absent, and mode 0600; no
secret is made for a database that already exists, because that database could not be read with it.

Must use the standard library only and must not import Django: settings read what is made here.
"""

import argparse
import base64
import datetime
import fcntl
import os
import secrets
import socket
from pathlib import Path

DEFAULT_PORT = 8000
ROOT = Path(__file__).resolve().parent.parent
DATABASE_NAME = "wardkey.sqlite3"
# The C library keeps the 19 MiB of each password hash in the heap of the thread that made it, unless it is told to map
# and return them: 109 MiB instead of 265 after a burst of sign-ins.
RETURN_MEMORY = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}
WILDCARD_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - named to be replaced, not to be bound


class Refusal(Exception):
    """One sentence for the person at the terminal, who can do something about it."""


def fresh_secrets() -> dict[str, str]:
    """Return new random secrets by setting name, in the formats that the settings expect."""
    return {
        "WARDKEY_SECRET_KEY": secrets.token_urlsafe(48),  # 64 characters
        "WARDKEY_ENCRYPTION_KEYS": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}:{_random_key()}",
        "WARDKEY_HASH_KEY": _random_key(),
    }


def _random_key() -> str:
    """Return 32 random bytes, BASE64URL without padding."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `up`, once for this module and for the Django command."""
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="port of the web server (8000)")
    parser.add_argument("--host", default="127.0.0.1", help="address the web server listens on (127.0.0.1)")
    parser.add_argument("--data-dir", help="folder for database, keys and logs (WARDKEY_DATA_DIR, or .local)")
    parser.add_argument("--no-demo", action="store_true", help="start empty: ask for an administrator")


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return port


def prepare(arguments: list[str]) -> None:
    """Make the data folder ready for `up` and set the environment that its settings and its children read.

    Holds the lock on the folder until this process ends. Raises Refusal.
    """
    if {"-h", "--help"} & set(arguments):
        return
    parser = argparse.ArgumentParser(prog="manage.py up", add_help=False)
    add_arguments(parser)
    options, _ = parser.parse_known_args(arguments)
    os.umask(0o077)
    data_dir = Path(options.data_dir or os.environ.get("WARDKEY_DATA_DIR") or ROOT / ".local").absolute()
    issuer = os.environ.get("WARDKEY_ISSUER") or f"http://{url_host(options.host)}:{options.port}"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock(data_dir, f"{issuer}, process {os.getpid()}")
        require_free_port(options.host, options.port)
        make_secrets(data_dir)
    except (FileExistsError, NotADirectoryError) as error:
        raise Refusal(
            f"The data folder {data_dir} cannot be made: {error.filename} is not a folder."
        ) from error
    except OSError as error:
        raise Refusal(f"The data folder {data_dir} cannot be used: {error.strerror}.") from error
    os.environ["WARDKEY_DATA_DIR"] = str(data_dir)
    os.environ["WARDKEY_ISSUER"] = issuer
    for name, value in RETURN_MEMORY.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("WARDKEY_ALLOWED_HOSTS", f"127.0.0.1,localhost,[::1],{options.host}")
    if options.no_demo:
        os.environ.pop("WARDKEY_DEMO", None)
    else:
        os.environ["WARDKEY_DEMO"] = "1"


def url_host(host: str) -> str:
    """Return the host as a URL on this machine names it."""
    host = WILDCARD_HOSTS.get(host, host)
    return f"[{host}]" if ":" in host else host


def lock(data_dir: Path, holder: str) -> int:
    """Take the folder for this process; return the descriptor that holds it. Raises Refusal when taken."""
    descriptor = os.open(data_dir / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        running = os.read(descriptor, 500).decode(errors="replace").strip()
        os.close(descriptor)
        raise Refusal(
            f"Wardkey is already running on {data_dir} ({running}): stop it first, "
            "or choose another folder with --data-dir."
        ) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, f"{holder}\n".encode())
    return descriptor


def require_free_port(host: str, port: int) -> None:
    """Raise Refusal unless a server could listen on this address now."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do: a connection that is only waiting out its last minute does not keep the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise Refusal(
            f"Wardkey cannot listen on {host} port {port} ({error.strerror}): choose another with --port."
        ) from error


def make_secrets(data_dir: Path) -> list[str]:
    """Make the secrets that neither the environment nor the folder has, and return their names.

    Raises Refusal when one is missing beside a database, which was written with the one that is gone.
    """
    folder = data_dir / "secrets"
    missing = {
        name: value
        for name, value in fresh_secrets().items()
        if not (os.environ.get(name) or os.environ.get(f"{name}_FILE") or (folder / name.lower()).exists())
    }
    if missing and (data_dir / DATABASE_NAME).exists() and not os.environ.get("DATABASE_URL"):
        raise Refusal(
            f"{data_dir} has a database but not the secret it was written with: put back "
            f"{folder / next(iter(missing)).lower()} from a copy, or choose another folder with --data-dir."
        )
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    for existing in folder.iterdir():
        if existing.name.startswith("."):
            existing.unlink()  # left unfinished by a run that was killed
        else:
            existing.chmod(0o600)
    for name, value in missing.items():
        write_secret(folder / name.lower(), value)
    return list(missing)


def write_secret(path: Path, value: str) -> None:
    """Write a new file of mode 0600, complete or not at all. Raises FileExistsError when there is one."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{value}\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, refuses to replace.
        os.link(unfinished, path)
    finally:
        unfinished.unlink()
