"""How manage.py makes its environment: a small project, one package, a real pip, and what may go wrong."""

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.embedded

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-test.lock")


class Project:
    """A copy of manage.py with lock files of its own, beside the only packages pip can find."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.wheels = folder / "wheels"
        self.wheels.mkdir(parents=True)
        (self.root / "idp").mkdir(parents=True)
        (self.root / "idp" / "__init__.py").touch()
        shutil.copy(ROOT / "idp" / "embedded.py", self.root / "idp")
        shutil.copy(ROOT / "manage.py", self.root)
        self.stamp = self.root / ".venv" / ".stamp"
        self.pin("1.0")

    def pin(self, version: str, *, digest: str | None = None) -> None:
        wheel = make_wheel(self.wheels, version)
        digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
        for lock in LOCKS:
            (self.root / lock).write_text(f"lantern=={version} \\\n    --hash=sha256:{digest}\n")

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start `manage.py tool python ...`, away from any index and from this test's own environment."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("WARDKEY_", "PIP_"))
        }
        own = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}
        return subprocess.Popen(
            [sys._base_executable, "manage.py", "tool", "python", *arguments],
            cwd=self.root,
            env={**kept, **own, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        child = self.start(*arguments, **environment)
        out, err = child.communicate(timeout=60)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    def lit(self) -> str:
        """Return the version that the package in `.venv` says it has."""
        return self.run("-c", "import lantern; print(lantern.VERSION)").stdout.splitlines()[-1]


def make_wheel(folder: Path, version: str) -> Path:
    """Write a wheel (PEP 427) with one module."""
    about = f"lantern-{version}.dist-info"
    files = {
        "lantern.py": f"VERSION = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: lantern\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{about}/RECORD"
    lines = [f"{name},{digest_of(text)},{len(text)}" for name, text in files.items()]
    path = folder / f"lantern-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**files, record: "\n".join([*lines, f"{record},,", ""])}.items():
            wheel.writestr(zipfile.ZipInfo(name), text)
    return path


def digest_of(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def assert_one_sentence(ran: "subprocess.CompletedProcess[str]", pattern: str) -> None:
    assert ran.returncode in {1, 2}
    assert re.search(pattern, ran.stderr)
    assert ran.stderr.count("\n") == 1
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_it_installs_once_and_again_when_the_lock_changes(project: Project) -> None:
    first = project.run("-c", "import sys; print(sys.prefix)")
    assert first.stdout.splitlines()[-1] == str(project.root / ".venv")
    assert "Installed requirements-test.lock" in first.stdout
    assert project.run("-c", "print('here')").stdout == "here\n"
    project.pin("2.0")
    assert project.lit() == "2.0"


def test_the_test_lock_satisfies_the_runtime_lock(project: Project) -> None:
    project.run("-c", "")
    assert [line.split()[0] for line in project.stamp.read_text().splitlines()] == list(LOCKS)


def test_a_wrong_hash_is_one_sentence_and_installs_nothing(project: Project) -> None:
    project.pin("1.0", digest="0" * 64)
    assert_one_sentence(project.run("-c", ""), "does not have the hash")
    assert not project.stamp.exists()


def test_a_missing_index_is_one_sentence(project: Project) -> None:
    nowhere = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    shutil.rmtree(project.wheels)
    assert_one_sentence(project.run("-c", "", **nowhere), "No package index answered")


def test_a_package_that_nobody_offers_is_one_sentence(project: Project) -> None:
    shutil.rmtree(project.wheels)
    project.wheels.mkdir()
    assert_one_sentence(project.run("-c", ""), "No package index has lantern==1.0")


def test_an_unwritable_folder_is_one_sentence(project: Project) -> None:
    (project.root / ".venv.lock").mkdir()  # root may write anywhere, but not into a folder
    assert_one_sentence(project.run("-c", ""), "cannot be set up: Is a directory")


def test_without_a_stamp_everything_is_installed_anew(project: Project) -> None:
    project.run("-c", "")
    project.stamp.unlink()
    module = next((project.root / ".venv").glob("lib/python*/site-packages/lantern.py"))
    module.write_text("VERSION = 'half-written'\n")
    assert project.lit() == "1.0"


def test_a_package_that_was_deleted_is_one_sentence_and_installed_by_the_next(project: Project) -> None:
    project.run("-c", "")
    command = [
        project.root / ".venv" / "bin" / "python",
        "manage.py",
        "check",
    ]  # Django is not among these packages
    ran = subprocess.run(command, cwd=project.root, capture_output=True, text=True, timeout=60)
    assert_one_sentence(ran, "django is missing from .*: the same command installs it anew")
    assert not project.stamp.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_installation_is_repaired_by_the_next(project: Project, number: int) -> None:
    child = project.start("-c", "")
    deadline = time.monotonic() + 20
    while not (project.root / ".venv" / "bin" / "python").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert "Traceback" not in out + err
    assert child.returncode == (-number if number == signal.SIGKILL else 1)
    assert project.lit() == "1.0"


def test_two_at_once_build_one_environment(project: Project) -> None:
    children = [project.start("-c", "import lantern") for _ in range(2)]
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sum("Installed requirements-test.lock" in output for output in outputs) == 1


def test_tools_see_secrets_of_their_own_and_an_empty_folder(project: Project) -> None:
    program = "import json, os; print(json.dumps({n: v for n, v in os.environ.items() if 'WARDKEY' in n}))"
    first, second = (json.loads(project.run("-c", program).stdout.splitlines()[-1]) for _ in range(2))
    assert set(first) == {
        "WARDKEY_SECRET_KEY",
        "WARDKEY_ENCRYPTION_KEYS",
        "WARDKEY_HASH_KEY",
        "WARDKEY_DATA_DIR",
    }
    assert not set(first.values()) & set(second.values())
    assert not Path(first["WARDKEY_DATA_DIR"]).exists()


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^[\w.\[\],-]+==[^ \\\n]+", (ROOT / lock).read_text(), re.MULTILINE))


def test_the_real_test_lock_holds_the_real_runtime_lock() -> None:
    assert pins("requirements.lock") < pins("requirements-test.lock")


@pytest.mark.parametrize("lock", LOCKS)
def test_the_real_locks_pin_by_hash_and_name_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert len(re.findall(r"^\S+==", text, re.MULTILINE)) == len(
        re.findall(r"^\S+==[^\n]+\\\n +--hash=", text, re.MULTILINE)
    )
