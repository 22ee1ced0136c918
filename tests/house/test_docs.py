"""Documentation is tested: links lead somewhere, named paths and commands exist, decisions are listed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"python3 manage\.py ([a-z_]+)")
PATH = re.compile(r"(?:[a-z_]+/)+[A-Za-z_.-]*|[A-Z][A-Za-z-]+\.md|[a-z_-]+\.(?:py|yml|toml|lock)")
TOP = {
    "accounts",
    "audit",
    "bench",
    "crypto",
    "deploy",
    "docs",
    "examples",
    "idp",
    "static",
    "templates",
    "tests",
    "tokens",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_project_leads_to_a_file(page: Path) -> None:
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in targets if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_is_named_exists(page: Path) -> None:
    named = {code for code in CODE.findall(page.read_text()) if PATH.fullmatch(code)}
    within = {path for path in named if path.split("/")[0] in TOP and "/" in path}
    assert sorted(path for path in within if not (ROOT / path).exists()) == []


def test_every_command_that_is_named_exists() -> None:
    listed = subprocess.run(
        [sys.executable, "manage.py", "help", "--commands"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    named = {command for page in PAGES for command in COMMAND.findall(page.read_text())}
    assert named - {*listed, "tool"} == set()


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    files = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [name for name in files if f"]({name})" not in index] == []
    assert sorted(re.findall(r"\]\((\d{4}-[^)]+)\)", index)) == files


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 140


def test_every_row_of_the_specification_map_leads_to_code_and_to_a_test() -> None:
    rows = [
        line for line in (ROOT / "docs" / "spec-map.md").read_text().splitlines() if line.startswith("| ")
    ]
    named = {code for row in rows for code in CODE.findall(row) if "/" in code and ".py" in code}
    assert len(named) > 40
    missing = []
    for path, _, test in (code.partition("::") for code in named):
        file = ROOT / path
        if not file.exists() or (test and f"def {test}(" not in file.read_text()):
            missing.append(f"{path}::{test}")
    assert sorted(missing) == []


def test_what_diverges_says_so_at_the_place_and_on_its_page() -> None:
    marked = [path for path in (ROOT / "tokens").rglob("*.py") if "# Diverges: " in path.read_text()]
    page = (ROOT / "docs" / "divergences.md").read_text()
    assert {path.stem for path in marked} == {"views", "errors", "claims"}
    assert [number for number in ("6749", "7009", "9068", "6750") if f"| RFC {number} " not in page] == []
