"""The environment: every variable that the settings read is described, and no secret has a default."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "idp" / "settings.py"
PAGE = ROOT / "docs" / "settings.md"


def calls() -> list[tuple[str, str, ast.Call]]:
    """Return (function, variable, call) for each reading of the environment."""
    found = []
    for node in ast.walk(ast.parse(SETTINGS.read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = ast.unparse(node.func)
            if re.fullmatch(r"secret|env\.\w+", function):
                found.append((function, str(node.args[0].value), node))
    return found


def test_no_secret_has_a_default() -> None:
    secrets = [(name, call) for function, name, call in calls() if function == "secret"]
    assert {"WARDKEY_SECRET_KEY", "WARDKEY_ENCRYPTION_KEYS", "WARDKEY_HASH_KEY", "DATABASE_URL"} <= {
        name for name, _ in secrets
    }
    assert all(len(call.args) == 1 and not call.keywords for _, call in secrets)
    others = [name for function, name, _ in calls() if function != "secret"]
    assert not [name for name in others if re.search(r"SECRET|PASSWORD|_KEYS?$|CREDENTIAL", name)]


def test_every_variable_is_described_and_nothing_else_is() -> None:
    read = {name for _, name, _ in calls()}
    described = set(re.findall(r"^\|\s*`([A-Z][A-Z0-9_]+)`", PAGE.read_text(), re.MULTILINE))
    assert described == read
