"""One direction: no import and no relation between tables points up; the pure modules stay pure."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ["crypto", "audit", "accounts", "tokens", "idp"]
PURE = ["accounts/access/decision.py", "accounts/access/scopes.py", "tokens/claims.py", "tokens/rotation.py"]


def test_the_import_contracts_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout


def test_no_relation_points_up() -> None:
    """A foreign key written as a string slips past the import contracts."""
    wrong = [
        f"{model._meta.label}.{field.name} -> {field.related_model._meta.label}"
        for floor in FLOORS[1:-1]
        for model in apps.get_app_config(floor).get_models(include_auto_created=True)
        for field in model._meta.get_fields()
        if field.is_relation and not field.auto_created and field.related_model is not None
        if field.related_model._meta.app_label in FLOORS[FLOORS.index(floor) + 1 :]
    ]
    assert not wrong


def test_ledger_and_crypto_know_nobody() -> None:
    related = [
        field
        for model in apps.get_app_config("audit").get_models()
        for field in model._meta.get_fields()
        if field.is_relation
    ]
    assert not related
    assert not list(apps.all_models.get("crypto", {}))


@pytest.mark.parametrize("path", PURE)
def test_a_pure_module_asks_no_clock_no_chance_and_no_environment(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
        )
    }
    assert not imported & {
        "django",
        "os",
        "random",
        "secrets",
        "time",
        "socket",
        "psycopg",
        "sqlite3",
        "subprocess",
    }
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not called & {"now", "utcnow", "today"}
