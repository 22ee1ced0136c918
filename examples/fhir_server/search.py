"""Search and its Bundle: which parameters each type understands, what they select, and pages (FHIR R4 section 3.1.1).

Strict on purpose: an unknown, repeated or empty parameter is a 400 and not a wider result than the caller believes to
have asked for. The patient is the token's; a `patient` parameter can only repeat it. Links are built on the configured
base URL, never on the Host header.
"""

import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from .answers import invalid_request, other_patient, too_long
from .compartments import Compartment
from .matching import TOKEN_PARAMETERS, Resource, matches
from .scopes import Allowance

QUERY_LIMIT_CHARACTERS = 4_096
PARAMETERS_LIMIT = 20
DEFAULT_COUNT = 50
LARGEST_COUNT = 200
JSON_FORMATS = frozenset({"json", "application/json", "application/fhir+json"})
PAGING = frozenset({"_count", "_offset", "_format"})
PARAMETERS: dict[str, frozenset[str]] = {
    "Patient": PAGING | {"_id"},
    "Observation": PAGING | {"patient", "category", "code", "_sort"},
    "Condition": PAGING | {"patient", "category", "code", "_sort"},
    "Encounter": PAGING | {"patient", "_sort"},
}
READABLE_TYPES = frozenset({*PARAMETERS, "Practitioner"})
NO_PARAMETERS = frozenset({"_format"})


def read_parameters(query_string: str, understood: frozenset[str]) -> dict[str, str]:
    """Return the parameters of a raw query string, each once, decoded, printable and not empty. Raises Refusal."""
    if len(query_string) > QUERY_LIMIT_CHARACTERS:
        raise too_long()
    if not query_string.isascii() or re.search(r"%(?![0-9A-Fa-f]{2})", query_string):
        raise invalid_request("The query is not percent-encoded UTF-8.")
    try:
        pairs = urllib.parse.parse_qsl(
            query_string,
            keep_blank_values=True,
            strict_parsing=bool(query_string),
            errors="strict",
            max_num_fields=PARAMETERS_LIMIT,
        )
    except ValueError as error:  # includes UnicodeDecodeError
        raise invalid_request("The query is not a list of name=value pairs in UTF-8.") from error
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise invalid_request("A parameter may appear only once.")
    if not parameters.keys() <= understood:
        raise invalid_request(f"The parameters understood here are: {', '.join(sorted(understood))}.")
    if not all(value and value.isprintable() for value in parameters.values()):
        raise invalid_request("A parameter is empty or has characters that cannot be printed.")
    if parameters.get("_format", "json") not in JSON_FORMATS:
        raise invalid_request("The only format is application/fhir+json.")
    return parameters


def search(
    compartment: Compartment,
    resource_type: str,
    parameters: Mapping[str, str],
    *,
    patient: str,
    allowed: Allowance,
    base_url: str,
) -> dict[str, Any]:
    """Return the searchset Bundle of one type in the token's compartment. Raises Refusal."""
    if parameters.get("_id", patient) != patient:
        raise other_patient()
    if parameters.get("patient", patient) not in {patient, f"Patient/{patient}"}:
        raise other_patient()
    count, offset = (
        _whole_number(parameters, "_count", DEFAULT_COUNT),
        _whole_number(parameters, "_offset", 0),
    )
    count = min(count, LARGEST_COUNT)
    coded = {
        name: value for name, value in parameters.items() if name in TOKEN_PARAMETERS.get(resource_type, ())
    }
    found = [
        resource
        for resource in compartment.get(resource_type, {}).values()
        if allowed.covers(resource) and all(matches(resource, *pair) for pair in coded.items())
    ]
    if "_sort" in parameters:
        found = _sorted_by_date(found, parameters["_sort"])
    return _bundle(found, resource_type, parameters, count=count, offset=offset, base_url=base_url)


def _whole_number(parameters: Mapping[str, str], name: str, default: int) -> int:
    value = parameters.get(name)
    if value is None:
        return default
    if not re.fullmatch(r"[0-9]{1,6}", value):
        raise invalid_request(f"{name} is not a whole number.")
    return int(value)


def _sorted_by_date(resources: list[Resource], order: str) -> list[Resource]:
    if order not in {"date", "-date"}:
        raise invalid_request("The orders understood are: date, -date.")
    return sorted(resources, key=date_of, reverse=order.startswith("-"))


def date_of(resource: Resource) -> str:
    """Return the clinically relevant date; those of one server are all in UTC and compare as text."""
    if resource["resourceType"] == "Encounter":
        return str(resource["period"]["start"])
    return str(resource.get("effectiveDateTime") or resource.get("recordedDate", ""))


def _bundle(
    found: list[Resource],
    resource_type: str,
    parameters: Mapping[str, str],
    *,
    count: int,
    offset: int,
    base_url: str,
) -> dict[str, Any]:
    def link(relation: str, at: int) -> dict[str, str]:
        query = {**parameters, "_count": str(count), "_offset": str(at)}
        return {"relation": relation, "url": f"{base_url}/{resource_type}?{urllib.parse.urlencode(query)}"}

    links = [link("self", offset)]
    if count and offset + count < len(found):
        links.append(link("next", offset + count))
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(found),
        "link": links,
    }
    page = found[offset : offset + count]
    if page:  # FHIR has no empty lists
        bundle["entry"] = [
            {
                "fullUrl": f"{base_url}/{resource_type}/{resource['id']}",
                "resource": resource,
                "search": {"mode": "match"},
            }
            for resource in page
        ]
    return bundle
