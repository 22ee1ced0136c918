"""FHIR token search on coded fields: `code`, `system|code`, `|code`, `system|`, and commas for "or".

FHIR R4 search, section 3.1.1.4.10. Used by the search itself and by scopes that carry a query, so that both mean the
same. A parameter not in `TOKEN_PARAMETERS` matches nothing here: whoever asks must refuse it first.
"""

from collections.abc import Iterator
from typing import Any

Resource = dict[str, Any]

TOKEN_PARAMETERS: dict[str, frozenset[str]] = {
    "Observation": frozenset({"category", "code"}),
    "Condition": frozenset({"category", "code"}),
}


def matches(resource: Resource, parameter: str, value: str) -> bool:
    """Say whether a coded field of `resource` matches a token search value; an empty alternative matches nothing."""
    if parameter not in TOKEN_PARAMETERS.get(resource["resourceType"], frozenset()):
        return False
    codings = list(_codings(resource.get(parameter, [])))
    return any(_coding_matches(coding, wanted) for wanted in value.split(",") for coding in codings)


def _codings(concepts: Any) -> Iterator[dict[str, str]]:
    for concept in concepts if isinstance(concepts, list) else [concepts]:
        yield from concept.get("coding", [])


def _coding_matches(coding: dict[str, str], wanted: str) -> bool:
    system, bar, code = wanted.rpartition("|")
    if not code:
        return bool(system) and coding.get("system") == system
    if not bar:
        return coding.get("code") == code
    return coding.get("code") == code and coding.get("system", "") == system
