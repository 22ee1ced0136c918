"""`python -m examples.fhir_server`, and the file with the people it makes records of."""

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.fhir_server.patients_file import PatientsFile

pytestmark = pytest.mark.embedded

ROOT = Path(__file__).resolve().parents[2]
ROSA = {"id": "rosa", "family": "Alvarez", "given": "Rosa", "birth_date": "1958-03-14", "gender": "female"}


def start(*options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "examples.fhir_server", *options],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "patients.json"
    path.write_text(json.dumps({"patients": [ROSA]}))
    return path


def test_it_serves_until_it_is_interrupted(path: Path) -> None:
    server = start("--port", "0", "--patients", str(path))
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        port = int(line.partition(" port ")[2].partition(",")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/metadata")
        assert json.loads(connection.getresponse().read())["resourceType"] == "CapabilityStatement"
        connection.request("GET", "/Patient/rosa")
        assert connection.getresponse().status == 401
        connection.close()
    finally:
        server.send_signal(2)
        _, errors = server.communicate(timeout=10)
    assert server.returncode == 0
    assert "Traceback" not in errors
    assert "rosa" not in errors


BAD_FILES = [
    "", "[]", '{"patients": {}}', '{"patients": [1]}', '{"patients": [{"id": "Alvarez"}]}',
    json.dumps({"patients": [ROSA | {"birth_date": "never"}]}), json.dumps({"patients": [ROSA | {"given": 1}]}),
    json.dumps({"patients": [ROSA, ROSA]}), "[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("body", [BAD_FILES[0], BAD_FILES[4]])
def test_a_bad_patients_file_is_one_sentence(path: Path, body: str) -> None:
    path.write_text(body)
    server = start("--port", "0", "--patients", str(path))
    _, errors = server.communicate(timeout=10)
    assert server.returncode == 1
    assert errors.startswith("fhir_server: ")
    assert errors.count("\n") == 1
    assert "Alvarez" not in errors


@pytest.mark.parametrize("options", [["--issuer", "nowhere"], ["--base-url", "ftp://x"], ["--port", "99999"]])
def test_an_unusable_address_is_one_sentence(path: Path, options: list[str]) -> None:
    server = start("--port", "0", "--patients", str(path), *options)
    _, errors = server.communicate(timeout=10)
    assert (server.returncode, errors.count("\n")) == (1, 1)


def test_the_file_is_read_again_when_it_changes(path: Path) -> None:
    people = PatientsFile(path)
    assert people.compartment("rosa")["Patient"]["rosa"]["name"][0]["family"] == "Alvarez"
    path.write_text(json.dumps({"patients": [ROSA | {"id": "another-id"}]}))
    assert people.compartment("rosa") == {}
    assert people.compartment("another-id")
    path.unlink()
    assert people.compartment("another-id") == {}


@pytest.mark.parametrize("body", BAD_FILES, ids=lambda body: body[:30])
def test_a_file_that_became_bad_is_logged_without_its_contents_and_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture, body: str
) -> None:
    people = PatientsFile(path)
    assert people.compartment("rosa")
    path.write_text(body)
    os.utime(path, ns=(1, 1))
    assert people.compartment("rosa")
    assert "could not be read" in caplog.text
    assert "Alvarez" not in caplog.text
