"""The secrets and the folder that `manage.py up` makes before Django starts."""

import base64
import socket
import stat
from pathlib import Path

import pytest

from idp import embedded

pytestmark = pytest.mark.embedded

NAMES = ("WARDKEY_SECRET_KEY", "WARDKEY_ENCRYPTION_KEYS", "WARDKEY_HASH_KEY")


@pytest.fixture(autouse=True)
def environment_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def written_secrets(data_dir: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (data_dir / "secrets").iterdir()}


def test_secrets_have_the_formats_that_the_settings_read() -> None:
    secrets = embedded.fresh_secrets()
    key_id, _, key = secrets["WARDKEY_ENCRYPTION_KEYS"].partition(":")
    assert len(secrets["WARDKEY_SECRET_KEY"]) == 64
    assert len(key_id) == len("2026-01-31")
    for encoded in (key, secrets["WARDKEY_HASH_KEY"]):
        assert len(base64.urlsafe_b64decode(encoded + "=")) == 32


def test_no_two_runs_make_the_same_secret() -> None:
    first, second = embedded.fresh_secrets(), embedded.fresh_secrets()
    assert not set(first.values()) & set(second.values())


def test_only_the_owner_reads_them(tmp_path: Path) -> None:
    assert embedded.make_secrets(tmp_path) == list(NAMES)
    assert mode(tmp_path / "secrets") == 0o700
    assert set(written_secrets(tmp_path)) == {name.lower() for name in NAMES}
    assert {mode(path) for path in (tmp_path / "secrets").iterdir()} == {0o600}


def test_a_secret_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    embedded.make_secrets(tmp_path)
    (tmp_path / "secrets").chmod(0o755)
    (tmp_path / "secrets" / "wardkey_hash_key").chmod(0o644)
    embedded.make_secrets(tmp_path)
    assert mode(tmp_path / "secrets") == 0o700
    assert mode(tmp_path / "secrets" / "wardkey_hash_key") == 0o600


def test_the_second_run_keeps_them(tmp_path: Path) -> None:
    embedded.make_secrets(tmp_path)
    before = written_secrets(tmp_path)
    assert embedded.make_secrets(tmp_path) == []
    assert written_secrets(tmp_path) == before


def test_a_secret_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    embedded.write_secret(path, "first")
    with pytest.raises(FileExistsError):
        embedded.write_secret(path, "second")
    assert path.read_text() == "first\n"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_first_run_is_completed(tmp_path: Path) -> None:
    embedded.make_secrets(tmp_path)
    before = written_secrets(tmp_path)
    (tmp_path / "secrets" / "wardkey_hash_key").rename(tmp_path / "secrets" / ".wardkey_hash_key.0123")
    assert embedded.make_secrets(tmp_path) == ["WARDKEY_HASH_KEY"]
    after = written_secrets(tmp_path)
    assert set(after) == set(before)
    assert after["wardkey_secret_key"] == before["wardkey_secret_key"]


@pytest.mark.parametrize("name", NAMES)
def test_a_lost_secret_is_not_replaced_once_there_is_a_database(tmp_path: Path, name: str) -> None:
    embedded.make_secrets(tmp_path)
    (tmp_path / embedded.DATABASE_NAME).touch()
    (tmp_path / "secrets" / name.lower()).unlink()
    with pytest.raises(embedded.Refusal, match=name.lower()):
        embedded.make_secrets(tmp_path)
    assert not (tmp_path / "secrets" / name.lower()).exists()


def test_a_secret_from_the_environment_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDKEY_HASH_KEY", "given")
    monkeypatch.setenv("WARDKEY_SECRET_KEY_FILE", "/run/secrets/wardkey_secret_key")
    assert embedded.make_secrets(tmp_path) == ["WARDKEY_ENCRYPTION_KEYS"]


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    embedded.lock(tmp_path, "the first")
    with pytest.raises(embedded.Refusal, match=r"already running.*the first"):
        embedded.lock(tmp_path, "the second")


def test_a_taken_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(embedded.Refusal, match=f"port {port}.*--port"):
            embedded.require_free_port("127.0.0.1", port)
    embedded.require_free_port("127.0.0.1", port)


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_what_is_no_port_is_refused(port: str) -> None:
    with pytest.raises(SystemExit):
        embedded.prepare(["--port", port])


@pytest.mark.parametrize(
    ("host", "named"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")]
)
def test_the_issuer_is_an_address_that_this_machine_can_open(host: str, named: str) -> None:
    assert embedded.url_host(host) == named
